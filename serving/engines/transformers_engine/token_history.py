"""Which tokens a sequence has and how often, for the penalties on them. No tensors."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from serving.engines.protocol import GenerationRequest, Sampling


class TokenHistory:
    """The distinct tokens of a sequence, each with how often the completion has it; a token more costs O(1)."""

    __slots__ = ("_places", "counts", "ids")

    def __init__(self, prompt: Iterable[int] = ()) -> None:
        self._places = {token: place for place, token in enumerate(dict.fromkeys(prompt))}
        self.ids = array("q", self._places)
        self.counts = array("f", bytes(4 * len(self.ids)))
        """Beside `ids`; 0 for what only the prompt has."""

    def add(self, token: int) -> None:
        """Count a new token of the completion."""
        place = self._places.setdefault(token, len(self.ids))
        if place == len(self.ids):
            self.ids.append(token)
            self.counts.append(0)
        self.counts[place] += 1


def history_of(request: GenerationRequest) -> TokenHistory | None:
    """What the request's penalties are reckoned by; None if it has none."""
    sampling = request.sampling
    if not is_penalised(sampling):
        return None
    return TokenHistory(request.prompt_token_ids if sampling.repetition_penalty != 1 else ())


def is_penalised(sampling: Sampling) -> bool:
    """Whether a token's logit goes by the tokens before it."""
    return bool(sampling.repetition_penalty != 1 or sampling.presence_penalty or sampling.frequency_penalty)
