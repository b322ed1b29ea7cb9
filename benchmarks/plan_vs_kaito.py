"""Nodes and money of every preset on KAITO's sizes, KAITO's estimate beside Modelyard's plan; arithmetic alone.

python -m benchmarks.plan_vs_kaito, or make bench BENCH=plan_vs_kaito.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

from benchmarks.environment import Environment
from benchmarks.kaito_estimator import DEFAULT_SIZE, UTILIZATION, estimate, kaito_models, kaito_sizes
from benchmarks.plan_comparison import CONTEXTS, Comparison, Failure, comparisons, failure
from benchmarks.report import Report, Row
from components.planning.cluster_plan import EASY_NODES, plan_on_nodes
from components.planning.spec import parse_spec, raw_config
from presets.catalog import catalog
from presets.engines import engine_facts
from presets.node_sizes import find_node_size
from presets.price import BASE_REGION, list_prices

CHOICE_CONTEXT = 8192
"""Tokens for which a size is chosen where the config names none."""

_OWN = f"{engine_facts('vllm').utilization:.0%}"
_SAME = f"{UTILIZATION:.0%}"

COLUMNS: Row = (
    "preset", "size", "context", "KAITO", f"at {_SAME}", f"at {_OWN}",
    "KAITO's US$/h", f"more at {_SAME}", f"more at {_OWN}", "why",
)  # fmt: skip
"""Nodes, then money: KAITO's, and how much more Modelyard's is."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A preset without an instanceType: KAITO's default size, and the size that Modelyard chooses."""

    preset: str
    context: int
    kaito: int | None
    """Nodes of DEFAULT_SIZE."""
    kaito_per_hour: float | None
    size: str
    nodes: int
    per_hour: float | None
    failure: Failure | None
    """Of KAITO's plan."""

    @property
    def why(self) -> str:
        parts = [f"KAITO's would not load: {self.failure.text}"] if self.failure else []
        if self.per_hour is not None and self.kaito_per_hour is not None and self.per_hour > self.kaito_per_hour:
            parts.append(f"a choice keeps to {EASY_NODES} nodes a replica where it can")
        return "; ".join(parts)

    def row(self) -> Row:
        money = (_money(self.kaito_per_hour), "", _difference(self.per_hour, self.kaito_per_hour))
        ours = f"{self.nodes} x {_short(self.size)}"
        return (self.preset, "no instanceType", str(self.context), _count(self.kaito), "", ours, *money, self.why)


def run(here: Environment) -> Report:
    """All of it; takes a few seconds."""
    compared, chosen = list(comparisons()), list(choices())
    return report(compared, chosen, here)


def choices() -> Iterator[Choice]:
    """Of every preset, with one sequence of CHOICE_CONTEXT tokens or of the preset's limit."""
    contexts = {name: min(CHOICE_CONTEXT, preset.max_context) for name, preset in catalog().items()}
    spec = parse_spec(raw_config(_config(contexts)), stack_file="plan_vs_kaito")
    default, size = find_node_size(DEFAULT_SIZE), kaito_sizes()[DEFAULT_SIZE]
    price = list_prices().of(default)
    for workspace in sorted(plan_on_nodes(spec, code_version="").workspaces, key=lambda workspace: workspace.preset):
        name = workspace.preset
        model, context = kaito_models()[catalog()[name].repository.name], contexts[name]
        kaito = estimate(model, size, context).nodes()
        assert workspace.node is not None
        yield Choice(
            preset=name,
            context=context,
            kaito=kaito,
            kaito_per_hour=_cost(kaito, price and price.per_hour),
            size=workspace.node.name,
            nodes=workspace.nodes,
            per_hour=_cost(workspace.nodes, workspace.price and workspace.price.per_hour),
            failure=failure(catalog()[name], model, size, default, kaito, context) if kaito else None,
        )


def _config(contexts: Mapping[str, int]) -> dict[str, object]:
    """A stack with a workspace for every preset, on the target that may spread a replica over nodes, as KAITO does."""
    return {
        "target": "aks",
        "region": BASE_REGION,
        "workspaces": [
            {
                "name": name.replace(".", "-"),
                "inference": {"preset": {"name": name}, "config": {"maxContext": context, "maxSequences": 1}},
            }
            for name, context in contexts.items()
        ],
    }


def report(compared: Sequence[Comparison], chosen: Sequence[Choice], here: Environment) -> Report:
    return Report(
        name="plan_vs_kaito",
        title="nodes of one replica, KAITO v0.12's estimate beside Modelyard's plan with its margin and with its own",
        environment=here,
        columns=COLUMNS,
        rows=[*(choice.row() for choice in chosen), *_rows(compared)],
        text_columns=("size", "context", "why"),
        notes=[*summary(compared), *_choice_summary(chosen)],
        parameters={"contexts": CONTEXTS, "sequences": 1, "region": BASE_REGION, "choice_context": CHOICE_CONTEXT},
        runs=[*(each.document() for each in compared), *({**asdict(choice), "why": choice.why} for choice in chosen)],
    )


def _rows(compared: Iterable[Comparison]) -> Iterator[Row]:
    """Where there is something to say, but for AMD; contexts with the same outcome share a row, and the reason is that
    of the shortest."""
    told = (each for each in compared if each.why and not _is_amd(each))
    for _, group in groupby(told, lambda each: (each.preset, each.size, each.kaito, each.ours, each.ours_by_default,
                                                each.steps, each.failure and each.failure.kind)):  # fmt: skip
        same = list(group)
        first = same[0]
        kaito = _cost(first.kaito, first.price)
        yield (
            first.preset,
            _short(first.size),
            "/".join(str(each.context) for each in same),
            *(_count(nodes) for nodes in (first.kaito, first.ours, first.ours_by_default)),
            _money(kaito),
            *(_difference(_cost(nodes, first.price), kaito) for nodes in (first.ours, first.ours_by_default)),
            first.why,
        )


def summary(compared: Sequence[Comparison]) -> list[str]:
    """Counts and totals, in sentences."""
    models, sizes = {each.preset for each in compared}, {each.size for each in compared}
    amd = [each for each in compared if _is_amd(each)]
    nvidia = [each for each in compared if not _is_amd(each)]
    verdicts = Counter(each.verdict for each in nvidia)
    failures = Counter(each.failure.kind for each in nvidia if each.failure)
    dearer = [each for each in nvidia if each.verdict in ("more expensive", "only KAITO")]
    unexplained = [f"{each.preset} on {each.size} at {each.context}" for each in dearer if each.failure is None]
    too_old = [each for each in nvidia if each.failure and each.failure.kind == "compute capability"]
    gpus = sorted({find_node_size(each.size).gpu.name for each in too_old})
    also_equal = sum(each.verdict == "equal" for each in nvidia if each.failure)
    return [
        f"{len(compared)} combinations: {len(models)} presets, {len(sizes)} sizes, 1 sequence of "
        f"{', '.join(map(str, CONTEXTS))} tokens or of the preset's limit; rows without a difference are in the JSON",
        f"{len(amd)} of them on AMD GPUs, for which KAITO counts nodes as for others; no engine here runs "
        "without CUDA, and KAITO waits for nvidia.com/gpu; in the JSON, not in the table and the figures below",
        f"with the same margin, {_SAME} of the memory: {verdicts['cheaper']} cheaper, {verdicts['equal']} equal, "
        f"{verdicts['more expensive']} more expensive, {verdicts['only KAITO']} only KAITO plans, "
        f"{verdicts['only Modelyard']} only Modelyard plans, {verdicts['neither']} neither",
        f"KAITO's plan would not load in {failures.total()}: "
        + ", ".join(f"{kind} {count}" for kind, count in sorted(failures.items()))
        + f"; in {also_equal} of them Modelyard plans as many nodes, otherwise divided or with its own margin",
        f"compute capability: {', '.join(sorted({each.preset for each in too_old})) or 'none'} on "
        f"{', '.join(gpus) or 'none'}; no number of nodes helps, and Modelyard plans none there",
        f"more expensive, or not planned, although KAITO's would load: {'; '.join(unexplained) or 'none'}",
        *_totals([each for each in nvidia if each.failure is None], "that KAITO's plan would load in"),
        *_totals(nvidia, "that both plan"),
    ]


def _totals(compared: Iterable[Comparison], which: str) -> Iterator[str]:
    """Of those that have a price and a plan of both."""
    costs = [
        (each.kaito * each.price, each.ours * each.price, each.ours_by_default * each.price)
        for each in compared
        if each.price is not None and each.kaito and each.ours and each.ours_by_default
    ]
    kaito, same, own = (sum(column) for column in zip(*costs, strict=True)) if costs else (0.0, 0.0, 0.0)
    yield (
        f"US$/h of the {len(costs)} with a price {which}: KAITO {kaito:,.0f}, Modelyard {same:,.0f} at {_SAME} "
        f"({_percent(same, kaito)}) and {own:,.0f} at {_OWN} ({_percent(own, kaito)})"
    )


def _choice_summary(chosen: Iterable[Choice]) -> Iterator[str]:
    chosen = list(chosen)
    for which, some in (
        ("of which KAITO's plan would load", [each for each in chosen if each.failure is None]),
        ("that both plan", chosen),
    ):
        costs = [
            (each.per_hour, each.kaito_per_hour)
            for each in some
            if each.per_hour is not None and each.kaito_per_hour is not None
        ]
        if not costs:
            continue
        ours, kaito = (sum(column) for column in zip(*costs, strict=True))
        cheaper, dearer = sum(a < b for a, b in costs), sum(a > b for a, b in costs)
        yield (
            f"without an instanceType, {CHOICE_CONTEXT} tokens, {len(costs)} presets {which}: KAITO's default "
            f"{DEFAULT_SIZE} US$/h {kaito:,.2f}, Modelyard's choice {ours:,.2f} ({_percent(ours, kaito)}); "
            f"{cheaper} cheaper, {dearer} more expensive"
        )


def _is_amd(each: Comparison) -> bool:
    return find_node_size(each.size).gpu.vendor == "amd"


def _short(size: str) -> str:
    return size.removeprefix("Standard_")


def _cost(nodes: int | None, price: float | None) -> float | None:
    return None if nodes is None or price is None else nodes * price


def _count(nodes: int | None) -> str:
    return "-" if nodes is None else str(nodes)


def _money(amount: float | None) -> str:
    return "-" if amount is None else f"{amount:.2f}"


def _difference(ours: float | None, kaito: float | None) -> str:
    """In US$ an hour; negative: Modelyard is cheaper."""
    return "-" if ours is None or kaito is None else "0" if ours == kaito else f"{ours - kaito:+.2f}"


def _percent(ours: float, kaito: float) -> str:
    return f"{ours / kaito - 1:+.0%}" if kaito else "-"


if __name__ == "__main__":
    from benchmarks.__main__ import main

    sys.exit(main(["plan_vs_kaito", *sys.argv[1:]]))
