"""The text of one answer while its tokens arrive."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from serving.engines.protocol import TokenLogprobs
from serving.text.detokenizer import Detokenizer
from serving.text.stop_strings import StopStrings


@dataclass(frozen=True, slots=True)
class TextToken:
    """A token that has a part in the returned text."""

    token_id: int
    offset: int
    """Characters of the answer before the token's own; the tokens of one character share theirs."""
    logprobs: TokenLogprobs


class AnswerText:
    """Detokenizes and cuts at stop strings, which are not looked for in the text of the first `min_tokens` tokens.

    Tokens that come with log probabilities are handed out again when their text is: held back with it, and gone with it
    where a stop string cuts it off.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        prompt_token_ids: Sequence[int],
        stop: Sequence[str],
        *,
        min_tokens: int = 0,
    ) -> None:
        self.tokens = 0
        """Tokens so far, those included whose text is held back or cut off."""
        self._detokenizer = Detokenizer(decode, prompt_token_ids)
        self._stops = StopStrings(stop)
        self._min_tokens = min_tokens
        self._made = 0
        self._returned = 0
        self._ended = False
        self._held: deque[TextToken] = deque()

    @property
    def stopped(self) -> bool:
        """Whether a stop string was found; the text is then over."""
        return self._stops.stopped

    def push(self, token_id: int, logprobs: TokenLogprobs | None = None) -> str:
        """Text that is certain now."""
        self.tokens += 1
        made = self._detokenizer.push(token_id)
        if logprobs is not None:
            self._held.append(TextToken(token_id, self._made, logprobs))
        self._made += len(made)
        return self._return(made if self.tokens <= self._min_tokens else self._stops.push(made))

    def end(self) -> str:
        """What was held back, once there are no more tokens."""
        if self.stopped:
            return ""
        text = self._stops.push(self._detokenizer.flush())
        self._ended = not self.stopped
        return self._return(text + self._stops.flush())

    def take_tokens(self) -> tuple[TextToken, ...]:
        """Tokens with log probabilities whose text was returned since the last call; at the end all, text or not."""
        taken: list[TextToken] = []
        while self._held and (self._ended or self._held[0].offset < self._returned):
            taken.append(self._held.popleft())
        return tuple(taken)

    def _return(self, text: str) -> str:
        self._returned += len(text)
        return text
