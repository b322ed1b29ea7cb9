"""What changes a row's logits before a token is chosen: banned and biased tokens, penalties, a grammar's mask."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from serving.engines.protocol import Sampling
from serving.engines.transformers_engine.token_history import TokenHistory


@dataclass(frozen=True, slots=True)
class Row:
    """What decides about a row's next token beside its logits."""

    sampling: Sampling
    uniform: float = 0.0
    """From [0, 1): it alone decides between the tokens that may follow. Greedy rows do not use theirs."""
    history: TokenHistory | None = None
    """As from `history_of`."""
    banned: Collection[int] = ()
    """Tokens that may not follow; ids beyond the vocabulary are ignored."""

    @property
    def is_adjusted(self) -> bool:
        return self.history is not None or bool(self.banned) or bool(self.sampling.logit_bias)


@dataclass(frozen=True, slots=True, eq=False)
class AllowedTokens:
    """The tokens that grammars allow; rows that are not named here may have any."""

    rows: Sequence[int]
    """Indices of the logits' rows, each once."""
    bits: torch.Tensor
    """(rows, ceil(vocabulary / 32)) int32, as llguidance writes them: token t is bit t % 32 of word t // 32.
    Tokens beyond the last word are not allowed."""


def adjusted(
    logits: torch.Tensor, rows: Sequence[Row], which: Sequence[int], allowed: AllowedTokens | None
) -> torch.Tensor:
    """The logits of the rows `which`, float32, with all that is asked for; `logits` stay as they are.

    The order is vLLM's: bans, bias, repetition, frequency and presence penalty, mask.
    """
    table = logits[list(which)].float()
    chosen = [rows[row] for row in which]
    _ban(table, chosen)
    _add_bias(table, chosen)
    _penalise(table, chosen)
    if allowed is not None:
        places = {row: place for place, row in enumerate(which)}
        _mask(table, [places[row] for row in allowed.rows], allowed.bits)
    return table


def _ban(table: torch.Tensor, rows: Sequence[Row]) -> None:
    banned = [array("q", (token for token in row.banned if token < table.shape[-1])) for row in rows]
    if any(banned):
        table[_cells(banned, table.device)] = -torch.inf


def _add_bias(table: torch.Tensor, rows: Sequence[Row]) -> None:
    biases = [row.sampling.logit_bias for row in rows]
    if any(biases):
        # The ids of a row are distinct, so nothing is added twice and no order matters.
        table[_cells([array("q", bias) for bias in biases], table.device)] += _values(
            [array("f", bias.values()) for bias in biases], table.device
        )


def _penalise(table: torch.Tensor, rows: Sequence[Row]) -> None:
    """Only the cells of tokens that the sequences have are read and written."""
    histories = [row.history or _NO_HISTORY for row in rows]
    if not any(history.ids for history in histories):
        return
    cells = _cells([history.ids for history in histories], table.device)
    counts = _values([history.counts for history in histories], table.device)
    repetition, frequency, presence = torch.tensor(
        [
            (row.sampling.repetition_penalty, row.sampling.frequency_penalty, row.sampling.presence_penalty)
            for row in rows
        ],
        device=table.device,
    )[cells[0]].unbind(-1)
    values = table[cells]
    values = torch.where(values > 0, values / repetition, values * repetition)
    table[cells] = values - frequency * counts - presence * (counts > 0)


def _mask(table: torch.Tensor, places: Sequence[int], bits: torch.Tensor) -> None:
    """Leave the rows at `places` what their bits allow."""
    vocabulary, device = table.shape[-1], table.device
    octets = bits.to(device).contiguous().view(torch.uint8)[:, : -(-vocabulary // 8)]
    penalties = _OCTETS.to(device).index_select(0, octets.flatten().int()).view(len(places), -1)[:, :vocabulary]
    index = torch.tensor(places, device=device)
    known = penalties.shape[-1]
    table[:, :known].index_add_(0, index, penalties)
    if known < vocabulary:
        table[index, known:] = -torch.inf


_OCTETS = torch.tensor([[0.0 if octet >> bit & 1 else -torch.inf for bit in range(8)] for octet in range(256)])
"""What the bits of an octet add to eight logits. Adding costs a CPU a tenth of unpacking and filling."""

_NO_HISTORY = TokenHistory()


def _cells(ids: Sequence[array[int]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and column of each id, where ids[n] belong to row n; not all of them are empty."""
    flat = array("q")
    for row in ids:
        flat.extend(row)
    lengths = torch.tensor([len(row) for row in ids])
    rows = torch.arange(len(ids)).repeat_interleave(lengths)
    return rows.to(device), torch.frombuffer(flat, dtype=torch.int64).to(device)


def _values(values: Sequence[array[float]], device: torch.device) -> torch.Tensor:
    flat = array("f")
    for row in values:
        flat.extend(row)
    return torch.frombuffer(flat, dtype=torch.float32).to(device)
