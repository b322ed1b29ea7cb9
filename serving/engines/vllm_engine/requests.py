"""From a request of ours to vLLM's SamplingParams, and from its outputs to our chunks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from serving.engines.protocol import (
    EngineUnavailable,
    FinishReason,
    GenerationRequest,
    RequestFailed,
    TokenChunk,
    TokenLogprobs,
)
from serving.engines.vllm_engine.library import CompletionLike, LogprobLike

_LARK = "%llguidance"

_FINISH_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}


def sampling_fields(request: GenerationRequest) -> dict[str, Any]:
    """Fields of vLLM's SamplingParams. Raises RequestFailed for a grammar that vLLM cannot be told."""
    sampling = request.sampling
    fields: dict[str, Any] = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "repetition_penalty": sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "logit_bias": dict(sampling.logit_bias) or None,
        "seed": sampling.seed,
        "max_tokens": request.max_tokens,
        "min_tokens": min(request.min_tokens, request.max_tokens),
        "stop_token_ids": sorted(request.stop_token_ids),
        # The request's stop tokens are all there are; vLLM would add the tokenizer's.
        "ignore_eos": True,
        "logprobs": request.logprobs,
    }
    if request.grammar is not None:
        fields["structured_outputs"] = structured_outputs(request.grammar)
    return fields


def structured_outputs(grammar: str) -> dict[str, str]:
    """The one field of vLLM's StructuredOutputsParams that says what llguidance's JSON says.

    vLLM hands its fields to llguidance by itself and takes no JSON of llguidance's: a schema is its `json`, a Lark
    grammar its `grammar`, whose first line tells Lark from GBNF. Raises RequestFailed for several grammars that name
    each other, which it cannot be given.

    >>> structured_outputs('{"grammars": [{"lark_grammar": "start: /[0-9]+/"}]}')
    {'grammar': '%llguidance {}\\nstart: /[0-9]+/'}
    """
    try:
        grammars: list[Mapping[str, Any]] = json.loads(grammar)["grammars"]
    except (ValueError, KeyError, TypeError) as error:
        raise RequestFailed(f"the grammar is not llguidance's JSON: {error}") from error
    if len(grammars) != 1:
        raise RequestFailed(
            f"the completion is held to {len(grammars)} grammars together, and vLLM takes one; "
            "use engine: transformers for such requests"
        )
    if "json_schema" in grammars[0]:
        return {"json": json.dumps(grammars[0]["json_schema"])}
    if "lark_grammar" in grammars[0]:
        rules: str = grammars[0]["lark_grammar"]
        return {"grammar": rules if rules.lstrip().startswith(_LARK) else f"{_LARK} {{}}\n{rules}"}
    raise RequestFailed(f"the grammar is of a kind that vLLM is not told: {', '.join(sorted(grammars[0]))}")


def chunk_of(output: CompletionLike, request: GenerationRequest) -> TokenChunk:
    """The new tokens, without the stop token that ended them.

    Raises EngineUnavailable if vLLM has ended the request by itself, and RequestFailed if it could not go on with it.
    """
    tokens = tuple(output.token_ids)
    finish = output.finish_reason
    if finish == "abort":
        raise EngineUnavailable("vLLM has ended the request; try again")
    if finish is not None and finish not in _FINISH_REASONS:
        raise RequestFailed(f"vLLM could not finish the request (finish reason {finish})")
    if finish == "stop" and tokens and tokens[-1] in request.stop_token_ids:
        tokens = tokens[:-1]
    logprobs = ()
    if request.logprobs is not None and output.logprobs is not None:
        logprobs = tuple(
            _logprobs(token, table, request.logprobs) for token, table in zip(tokens, output.logprobs, strict=False)
        )
    return TokenChunk(tokens, _FINISH_REASONS[finish] if finish else None, logprobs)


def _logprobs(token: int, table: Mapping[int, LogprobLike], count: int) -> TokenLogprobs:
    """vLLM's table has the chosen token and the likeliest ones, which it may be one of."""
    likeliest = sorted(table.items(), key=lambda entry: (-entry[1].logprob, entry[0]))[:count]
    return TokenLogprobs(table[token].logprob, tuple((other, entry.logprob) for other, entry in likeliest))
