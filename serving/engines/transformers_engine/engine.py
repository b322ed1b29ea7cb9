"""The engine itself: requests in, one step after another, tokens out."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, cast

import torch
from transformers import PreTrainedModel

from presets.serve_config import ADAPTER_COPIES_BYTES
from serving.engines.protocol import (
    Adapter,
    AdapterRefused,
    EngineStats,
    FinishReason,
    GenerationRequest,
    TokenChunk,
    TokenLogprobs,
)
from serving.engines.transformers_engine import kernels
from serving.engines.transformers_engine.adapter_weights import AdapterWeights
from serving.engines.transformers_engine.adapters import AdapterStore
from serving.engines.transformers_engine.adjustments import Row
from serving.engines.transformers_engine.admission import Admission
from serving.engines.transformers_engine.attention import AttentionStep
from serving.engines.transformers_engine.constraints import Constraints, allowed_tokens
from serving.engines.transformers_engine.drafts import with_drafts
from serving.engines.transformers_engine.joined_linears import join_linears
from serving.engines.transformers_engine.kv_cache import KvCache
from serving.engines.transformers_engine.logprobs import logprobs_of
from serving.engines.transformers_engine.lora import Run, StepRows
from serving.engines.transformers_engine.probe import PROBE_TOKENS, probe_step
from serving.engines.transformers_engine.sampling import choose
from serving.engines.transformers_engine.schedule import Chunk, PromptBudget, Sequence, plan_step
from serving.engines.transformers_engine.traced_step import Forward, StepInputs, forward, traced

_log = logging.getLogger(__name__)

CPU_PROMPT_BUDGET = PromptBudget(beside_decoding=16, alone=512)
"""Two cores with AVX2 compute 24 rows of a small model in about twice the time of 8, so that a long prompt slows eight
decoding sequences by no more than that."""

GPU_PROMPT_BUDGET = PromptBudget(beside_decoding=512, alone=4096)

DRAFT_ROWS = 8
"""With the kernels on two cores each row up to the eighth costs a step a tenth more; beyond that a draft costs what it
brings. A GPU waits for the weights of many more."""


class Chosen(NamedTuple):
    """A sequence's next token; None where the logits are not finite."""

    token: int | None
    logprobs: TokenLogprobs | None = None


class EngineBroken(Exception):
    """The engine can run no step at all; only a new process helps."""


@dataclass
class StepOutcome:
    """What one step made, by request id. A request with a finish reason or a failure is forgotten."""

    chunks: dict[str, TokenChunk] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


class TransformersEngine:
    """Runs many requests at once over one model; one thread, one caller.

    The model has been loaded with the engine's attention (`loading.load_model`); its linear layers are replaced. The
    cache holds `max_sequences` sequences of `max_context` tokens; a request that finds no free slot waits: clients take
    turns, and one's own requests come in order of arrival.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        max_sequences: int,
        max_context: int,
        prompt_budget: PromptBudget | None = None,
        draft_rows: int | None = None,
        adapter_memory_bytes: int = ADAPTER_COPIES_BYTES,
        model_dir: Path | None = None,
        when_compiled: Callable[[], None] = lambda: None,
    ) -> None:
        """draft_rows: up to how many rows a step is filled with drafts; as the device gains by them if None.

        model_dir: where the tokenizer is that grammars need; None: no request may have a grammar.

        when_compiled: called from another thread when `can_step` may have become true.
        """
        self.model = model
        self.max_context = max_context
        self.cache = KvCache(max_sequences, max_context, model.device)
        self.vocabulary = cast(torch.Tensor, model.get_input_embeddings().weight).shape[0]
        self._draft_rows = _draft_rows(model) if draft_rows is None else draft_rows
        self._budget = prompt_budget or (CPU_PROMPT_BUDGET if model.device.type == "cpu" else GPU_PROMPT_BUDGET)
        self._prompt_tokens = 0
        self._generated_tokens = 0
        self._draft_tokens = 0
        self._accepted_draft_tokens = 0
        self._traced: Forward | None = None
        rows = StepRows()
        probe = probe_step(self.vocabulary, model.device, [None])
        layers = join_linears(model, lambda: self._logits(probe), PROBE_TOKENS, rows)
        _log.info("%d linear layers are computed in %d products", sum(len(one.names) for one in layers), len(layers))
        self.adapters = AdapterStore(
            layers,
            rows,
            max_slots=max_sequences,
            dtype=model.dtype,
            device=model.device,
            memory_bytes=adapter_memory_bytes,
        )
        constraints = None if model_dir is None else Constraints(model_dir, self.vocabulary)
        self._admission = Admission(
            self.cache, self.adapters, constraints, vocabulary=self.vocabulary, when_compiled=when_compiled
        )

    @property
    def can_step(self) -> bool:
        """Whether a step does something; False also while all that is asked for waits for its grammar."""
        return self._admission.has_work

    @property
    def records_steps(self) -> bool:
        """Whether a step runs as a record, not through transformers' modules."""
        return self._traced is not None

    @property
    def has_work(self) -> bool:
        """Whether anything is asked for."""
        return bool(self._admission.running or self._admission.waiting)

    def stats(self) -> EngineStats:
        running = self._admission.running
        cached = sum(sequence.cached for sequence in running.values())
        return EngineStats(
            running=len(running),
            waiting=self._admission.waiting,
            prompt_tokens=self._prompt_tokens,
            reused_prompt_tokens=self._admission.reused_tokens,
            generated_tokens=self._generated_tokens,
            draft_tokens=self._draft_tokens,
            accepted_draft_tokens=self._accepted_draft_tokens,
            kv_cache_bytes=cached * self.cache.bytes_per_token,
            kv_cache_capacity_bytes=self.cache.capacity_bytes,
        )

    def submit(self, request: GenerationRequest) -> None:
        """Queue a request. Raises RequestFailed for one that no step could answer."""
        self._admission.submit(request)

    def load_adapter(self, adapter: Adapter, weights: AdapterWeights) -> None:
        """Take an adapter, whose weights `adapters.read` has read.

        Raises AdapterRefused if the model answers with it as it does without, or with numbers that are not finite.
        """
        if self.adapters.knows(adapter.id):
            return
        self.adapters.add(adapter, weights)
        try:
            self._require_effect(adapter)
        except AdapterRefused:
            self.adapters.remove(adapter.id)
            raise

    def cancel(self, request_id: str) -> None:
        """Forget a request, running or waiting; its slot is free for the next step. Unknown ids are finished ones."""
        self._admission.cancel(request_id)

    def step(self) -> StepOutcome:
        """Admit what fits, run one forward and return its tokens. Raises EngineBroken if no forward works any more."""
        outcome = StepOutcome(failures=self._admission.admit())
        planned = plan_step(self._admission.running.values(), self._budget)
        chunks = with_drafts(planned, self._draft_rows, self.max_context)
        if not chunks:
            return outcome
        try:
            chosen = self._compute(chunks)
        except Exception:  # noqa: BLE001 - whatever a model raises must not end the requests it does not concern
            _log.exception("a step of %d sequences failed; repeating it one by one", len(chunks))
            self._step_one_by_one(chunks, outcome)
        else:
            self._record(chunks, chosen, outcome)
        return outcome

    def forward(self, step: AttentionStep) -> torch.Tensor:
        """Logits (choices of all chunks, vocabulary), in the order of the chunks; fills the cache."""
        self.adapters.set_rows(
            Run(chunk.sequence.adapter_slot, chunk.sequence.adapter_strength, chunk.size) for chunk in step.chunks
        )
        return self._logits(step)

    def record_steps(self) -> None:
        """Have steps run without Python where that gives the same; before the first request, since it fills slots."""
        self._traced = traced(self.model, self.cache, self.vocabulary)

    def _logits(self, step: AttentionStep) -> torch.Tensor:
        ids = [token for chunk in step.chunks for token in chunk.tokens]
        last_rows: list[int] = []
        end = 0
        for chunk in step.chunks:
            end += chunk.size
            last_rows += range(end - chunk.choices, end)
        device = self.cache.device
        inputs = StepInputs(
            torch.tensor(ids, device=device),
            step.positions,
            step.slots,
            torch.tensor(last_rows or [0], device=device),
        )
        if self._traced is not None and step.cache is self.cache:
            logits = self._traced(inputs)
        else:
            logits = forward(self.model, inputs, step)
        return logits[: len(last_rows)]

    def _require_effect(self, adapter: Adapter) -> None:
        slot = self.adapters.acquire(adapter.id)
        if slot is None:  # all are in use; that its matrices are no zeros has been seen when they were read
            return
        try:
            without, with_adapter = self.forward(probe_step(self.vocabulary, self.cache.device, [None, slot]))
        finally:
            self.adapters.release(slot)
        if not with_adapter.isfinite().all():
            raise AdapterRefused("NotFinite", "the model's logits with it are not finite; its training diverged")
        if torch.equal(without, with_adapter):
            dtype = str(self.model.dtype).removeprefix("torch.")
            raise AdapterRefused(
                "NoEffect", f"the model's logits with it are the base's: its numbers are too small for {dtype}"
            )

    def _compute(self, chunks: list[Chunk]) -> list[list[Chosen]]:
        """For each of `chunks`, the tokens that its choices give: the next one, and that after each of its draft.

        Grammars are asked before any number is drawn: one that breaks has the step computed again without it.
        """
        logits = self.forward(AttentionStep(self.cache, chunks))
        choosing = [chunk.sequence for chunk in chunks for _ in range(chunk.choices)]
        if not choosing:
            return [[] for _ in chunks]
        allowed = allowed_tokens([sequence.constraint for sequence in choosing], self.vocabulary)
        tokens = choose(logits, [_row(sequence) for sequence in choosing], allowed)
        logprobs = logprobs_of(logits, tokens, [sequence.request.logprobs for sequence in choosing])
        chosen = map(Chosen, tokens, logprobs)
        return [list(itertools.islice(chosen, chunk.choices)) for chunk in chunks]

    def _record(self, chunks: list[Chunk], chosen: list[list[Chosen]], outcome: StepOutcome) -> None:
        """Move the sequences on by what a forward has computed; `chosen` as from `_compute`."""
        for chunk, choices in zip(chunks, chosen, strict=True):
            if chunk.sequence.generated == 0:
                self._prompt_tokens += chunk.own
            chunk.sequence.cached += chunk.own
            if choices:
                self._take(chunk, choices, outcome)

    def _take(self, chunk: Chunk, choices: list[Chosen], outcome: StepOutcome) -> None:
        """Have a sequence go on with the first of `choices`, and with each that follows a rightly guessed token."""
        sequence = chunk.sequence
        reused = sequence.reused if sequence.generated == 0 else 0
        tokens: list[int] = []
        logprobs: list[TokenLogprobs] = []
        finish_reason: FinishReason | None = None
        for guessed, choice in itertools.zip_longest(chunk.draft, choices):
            if choice.token is None:
                self._fail(sequence, "the model gave no finite probabilities for the next token", outcome)
                return
            self._generated_tokens += 1
            if choice.token in sequence.request.stop_token_ids:
                finish_reason = "stop"
                break
            tokens.append(choice.token)
            if choice.logprobs is not None:
                logprobs.append(choice.logprobs)
            finish_reason = self._append(sequence, choice.token)
            if finish_reason is not None or choice.token != guessed:
                break
            sequence.cached += 1
            self._accepted_draft_tokens += 1
        self._draft_tokens += len(chunk.draft)
        outcome.chunks[sequence.request.id] = TokenChunk(tuple(tokens), finish_reason, tuple(logprobs), reused)
        if finish_reason is not None:
            self._admission.release(sequence)

    def _append(self, sequence: Sequence, token: int) -> FinishReason | None:
        """Why the sequence ends with this token; None if it goes on."""
        sequence.tokens.append(token)
        if sequence.history is not None:
            sequence.history.add(token)
        if sequence.constraint is not None and sequence.constraint.accept(token):
            return "stop"
        full = sequence.generated >= sequence.request.max_tokens or len(sequence.tokens) >= self.max_context
        return "length" if full else None

    def _step_one_by_one(self, chunks: list[Chunk], outcome: StepOutcome) -> None:
        """Find whom an error belongs to. No sequence has moved on, and the cache takes the same writes again."""
        for chunk in chunks:
            try:
                chosen = self._compute([chunk])
            except Exception as error:  # noqa: BLE001 - as in step: this sequence's own error, whatever it is
                self._fail(chunk.sequence, f"{type(error).__name__}: {error}", outcome)
            else:
                self._record([chunk], chosen, outcome)
        if all(chunk.sequence.request.id in outcome.failures for chunk in chunks):
            self._require_working()

    def _require_working(self) -> None:
        """Run a forward that must succeed, so that a broken device is told from a request that breaks the model."""
        try:
            self.forward(probe_step(self.vocabulary, self.cache.device, [None]))
        except Exception as error:
            raise EngineBroken(f"{type(error).__name__}: {error}") from error

    def _fail(self, sequence: Sequence, reason: str, outcome: StepOutcome) -> None:
        request_id = sequence.request.id
        _log.error("request %s failed: %s", request_id, reason)
        outcome.failures[request_id] = reason
        self._admission.discard(sequence)


def _row(sequence: Sequence) -> Row:
    request = sequence.request
    return Row(
        request.sampling,
        sequence.random.random() if request.sampling.temperature > 0 else 0.0,
        sequence.history,
        request.stop_token_ids if sequence.generated < request.min_tokens else (),
    )


def _draft_rows(model: PreTrainedModel) -> int:
    """0 where several rows cost a step so much more than one that drafts do not pay, or change each other's numbers."""
    if getattr(model, "is_quantized", False):
        return 0
    on_cpu = model.device.type == "cpu"
    return DRAFT_ROWS if not on_cpu or kernels.can_pack(cast(torch.Tensor, model.get_input_embeddings().weight)) else 0
