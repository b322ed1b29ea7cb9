"""How likely the model itself found the tokens that were chosen, and which it found likeliest."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from serving.engines.protocol import MAX_LOGPROBS, TokenLogprobs


def logprobs_of(
    logits: torch.Tensor, tokens: Sequence[int | None], asked: Sequence[int | None]
) -> list[TokenLogprobs | None]:
    """For each row of the model's own `logits` (rows, vocabulary), of its token and of the asked[row] likeliest ones.

    None where nothing is asked for, and where no token was chosen. Rows that ask for nothing cost nothing.
    """
    told: list[TokenLogprobs | None] = [None] * len(tokens)
    wanted = [
        (row, token, top)
        for row, (token, top) in enumerate(zip(tokens, asked, strict=True))
        if token is not None and top is not None
    ]
    if not wanted:
        return told
    rows = logits[[row for row, _, _ in wanted]].float().log_softmax(dim=-1)
    chosen = rows.gather(-1, torch.tensor([[token] for _, token, _ in wanted], device=rows.device)).flatten()
    # Never fewer than usual: which of several equal ones are found depends on how many are looked for, and a row is to
    # be told the same whatever the others ask for.
    count = max(MAX_LOGPROBS, *(top for _, _, top in wanted))
    values, ids = rows.topk(min(count, rows.shape[-1]), dim=-1)
    for (row, _, top), logprob, row_ids, row_values in zip(
        wanted, chosen.tolist(), ids.tolist(), values.tolist(), strict=True
    ):
        told[row] = TokenLogprobs(logprob, tuple(zip(row_ids[:top], row_values[:top], strict=True)))
    return told
