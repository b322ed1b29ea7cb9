"""Whether what was measured is enough for an adapter to be served."""

from __future__ import annotations

from collections.abc import Mapping

from presets.tuning_job import GateSettings


def failures(gate: GateSettings, metrics: Mapping[str, float]) -> tuple[str, ...]:
    """A sentence for each limit that is missed. A limit on what was not measured is missed.

    >>> failures(GateSettings(held_out_loss_improvement=0.05), {"held_out_loss_improvement": 0.012})
    ('the held-out loss fell by 1.2%, and has to fall by 5.0%',)
    >>> failures(GateSettings(exact_match=0.5), {"exact_match_after": 0.5})
    ()
    """
    limits = (
        (
            "held_out_loss_improvement",
            gate.held_out_loss_improvement,
            "the held-out loss fell by {}, and has to fall by {}",
        ),
        ("exact_match_after", gate.exact_match, "{} of the answers are word for word, and {} have to be"),
        ("rouge_l_after", gate.rouge_l, "ROUGE-L of the answers is {}, and has to be {}"),
    )
    missed = [_missed(metrics, *limit) for limit in limits]
    rise, most = metrics.get("regression_loss_increase"), gate.regression_loss_increase
    if most is not None and (rise is None or not rise <= most):
        said = "was not measured" if rise is None else f"rose by {rise:.1%}"
        missed.append(f"the loss over general questions {said}, and may rise by {most:.1%}")
    return tuple(sentence for sentence in missed if sentence)


def _missed(metrics: Mapping[str, float], name: str, limit: float | None, sentence: str) -> str:
    if limit is None:
        return ""
    value = metrics.get(name)
    if value is None:
        why = "there are no held-out rows, or their answers are long"
        return f"{name} was not measured, and the gate has {limit:.1%}: {why}"
    # A value that is not a number reaches no limit.
    return "" if value >= limit else sentence.format(f"{value:.1%}", f"{limit:.1%}")
