"""What a replica tells Prometheus about itself.

What vLLM measures too has vLLM's name and labels here, so that dashboards and autoscalers made for it work as they are;
the rest begins with modelyard_.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.callers.callers import Callers
from serving.engines.protocol import Engine, FinishReason

_LATENCY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_TOKEN_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
_MODEL = ["model_name"]


class ServiceMetrics:
    """The counters and histograms of one replica, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._requests = Counter(
            "modelyard_requests", "HTTP requests by endpoint and status.", ["endpoint", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "modelyard_request_duration_seconds",
            "Seconds from a request's arrival to the end of its answer, streams included.",
            ["endpoint"],
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        self.prompt_tokens = Counter(
            "vllm:prompt_tokens", "Tokens of prompts that were read.", _MODEL, registry=registry
        )
        self.generation_tokens = Counter(
            "vllm:generation_tokens", "Tokens that were generated.", _MODEL, registry=registry
        )
        self.first_token = Histogram(
            "vllm:time_to_first_token_seconds",
            "Seconds from a request's way into the engine to its first token, waiting included.",
            _MODEL,
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        self.inter_token = Histogram(
            "vllm:inter_token_latency_seconds",
            "Seconds between the tokens of a request.",
            _MODEL,
            buckets=_TOKEN_BUCKETS,
            registry=registry,
        )
        self.end_to_end = Histogram(
            "vllm:e2e_request_latency_seconds",
            "Seconds from a request's way into the engine to its last token, of those that came to their end.",
            _MODEL,
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        self.finished = Counter(
            "vllm:request_success",
            "Requests that came to their end, by what ended them.",
            [*_MODEL, "finished_reason"],
            registry=registry,
        )

    def generation(self, model: str, prompt_tokens: int) -> GenerationRecord:
        """Of one generation, which begins now.

        `model` is one that is served, never a name that a caller made up, or the metrics grow without end.
        """
        return GenerationRecord(self, model, prompt_tokens)

    def observe_request(self, endpoint: str, status: int, seconds: float) -> None:
        """Record an HTTP request; `endpoint` is a route, not a path, for the same reason."""
        self._requests.labels(endpoint, str(status)).inc()
        self._request_seconds.labels(endpoint).observe(seconds)

    def observe_engine(self, engine: Engine, model: str) -> None:
        """Report the engine's state with every scrape from now on."""
        self.registry.register(_EngineCollector(engine, model))

    def observe_callers(self, callers: Callers) -> None:
        """Report what API keys use with every scrape from now on."""
        self.registry.register(_CallersCollector(callers))


class GenerationRecord:
    """What becomes of one generation."""

    def __init__(self, metrics: ServiceMetrics, model: str, prompt_tokens: int) -> None:
        self._metrics = metrics
        self._model = model
        self._prompt_tokens = prompt_tokens
        self._begun = time.monotonic()
        self._last: float | None = None

    def admit(self) -> None:
        """The engine has taken the prompt. Not before: a request that was turned away has cost nothing."""
        self._metrics.prompt_tokens.labels(self._model).inc(self._prompt_tokens)

    def make(self, tokens: int) -> None:
        """So many tokens have come."""
        metrics, now = self._metrics, time.monotonic()
        metrics.generation_tokens.labels(self._model).inc(tokens)
        if self._last is None:
            metrics.first_token.labels(self._model).observe(now - self._begun)
        else:
            inter_token = metrics.inter_token.labels(self._model)
            for _ in range(tokens):
                inter_token.observe((now - self._last) / tokens)
        self._last = now

    def finish(self, reason: FinishReason) -> None:
        self._metrics.finished.labels(self._model, reason).inc()
        self._metrics.end_to_end.labels(self._model).observe(time.monotonic() - self._begun)


class _EngineCollector(Collector):
    """Asks the engine when Prometheus asks."""

    def __init__(self, engine: Engine, model: str) -> None:
        self._engine = engine
        self._model = model

    def collect(self) -> Iterable[Metric]:
        stats = self._engine.stats()
        ready = self._engine.health().status == "ready"
        capacity = stats.kv_cache_capacity_bytes
        used = stats.kv_cache_bytes / capacity if capacity else 0.0
        asked = stats.prompt_tokens + stats.reused_prompt_tokens
        gauges = {
            "vllm:num_requests_running": ("Sequences that are being generated.", stats.running),
            "vllm:num_requests_waiting": ("Requests that wait for a sequence.", stats.waiting),
            "vllm:kv_cache_usage_perc": ("What part of the KV cache is used; 1 is all of it.", used),
        }
        counters = {
            "vllm:prefix_cache_queries": ("Tokens of prompts that were looked for in the cache.", asked),
            "vllm:prefix_cache_hits": ("Those that were found in it.", stats.reused_prompt_tokens),
            "vllm:spec_decode_num_draft_tokens": ("Tokens that were guessed.", stats.draft_tokens),
            "vllm:spec_decode_num_accepted_tokens": ("Those that were guessed rightly.", stats.accepted_draft_tokens),
        }
        for kind, families in ((GaugeMetricFamily, gauges), (CounterMetricFamily, counters)):
            for name, (documentation, value) in families.items():
                family = kind(name, documentation, labels=_MODEL)
                family.add_metric([self._model], value)
                yield family
        yield GaugeMetricFamily(
            "modelyard_kv_cache_bytes", "Keys and values of running sequences.", stats.kv_cache_bytes
        )
        yield GaugeMetricFamily("modelyard_kv_cache_capacity_bytes", "What the cache may hold at most.", capacity)
        yield GaugeMetricFamily("modelyard_engine_ready", "1 if requests are answered, else 0.", float(ready))
        yield CounterMetricFamily("modelyard_engine_restarts", "Restarts of the engine's process.", stats.restarts)


class _CallersCollector(Collector):
    """What API keys have used, from where GET /v1/usage has it too."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    def collect(self) -> Iterable[Metric]:
        of_key = ["key", *_MODEL]
        requests = CounterMetricFamily("modelyard_key_requests", "Requests that the engine has taken.", labels=of_key)
        prompts = CounterMetricFamily("modelyard_key_prompt_tokens", "Tokens of prompts.", labels=of_key)
        completions = CounterMetricFamily("modelyard_key_generation_tokens", "Tokens generated.", labels=of_key)
        for line in self._callers.ledger.lines():
            if line.key is not None:
                labels = [line.key, line.model]
                requests.add_metric(labels, line.used.requests)
                prompts.add_metric(labels, line.used.prompt_tokens)
                completions.add_metric(labels, line.used.completion_tokens)
        limited = CounterMetricFamily(
            "modelyard_key_limited", "Requests that were refused by a limit of their key.", labels=["key", "limit"]
        )
        for use in self._callers.keys:
            for limit, times in use.refused.items():
                limited.add_metric([use.name, limit], times)
        yield from (requests, prompts, completions, limited)
        yield CounterMetricFamily(
            "modelyard_key_unknown", "Requests without a key, or with a wrong one.", self._callers.unknown_keys
        )
