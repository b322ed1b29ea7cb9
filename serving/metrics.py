"""What a replica tells Prometheus about itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.engines.protocol import Engine

_LATENCY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_TOKEN_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)


@dataclass(frozen=True)
class ModelMetrics:
    """The metrics of one model id."""

    prompt_tokens: Counter
    generation_tokens: Counter
    time_to_first_token: Histogram
    inter_token_latency: Histogram


class ServiceMetrics:
    """The counters and histograms of one replica, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "modelyard_requests",
            "HTTP requests by endpoint and status.",
            ["endpoint", "status"],
            registry=self.registry,
        )
        self._request_seconds = Histogram(
            "modelyard_request_duration_seconds",
            "Seconds from a request's arrival to the end of its answer, streams included.",
            ["endpoint"],
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self._prompt_tokens = Counter(
            "modelyard_prompt_tokens", "Tokens of prompts that were read.", ["model"], registry=self.registry
        )
        self._generation_tokens = Counter(
            "modelyard_generation_tokens", "Tokens that were generated.", ["model"], registry=self.registry
        )
        self._first_token = Histogram(
            "modelyard_time_to_first_token_seconds",
            "Seconds from a request's way into the engine to its first token, waiting included.",
            ["model"],
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self._inter_token = Histogram(
            "modelyard_inter_token_latency_seconds",
            "Seconds between the tokens of a request.",
            ["model"],
            buckets=_TOKEN_BUCKETS,
            registry=self.registry,
        )

    def for_model(self, model: str) -> ModelMetrics:
        """The metrics of a model that is served; never of a name that a caller made up, or they grow without end."""
        return ModelMetrics(
            self._prompt_tokens.labels(model),
            self._generation_tokens.labels(model),
            self._first_token.labels(model),
            self._inter_token.labels(model),
        )

    def observe_request(self, endpoint: str, status: int, seconds: float) -> None:
        """Record an HTTP request; `endpoint` is a route, not a path, for the same reason."""
        self._requests.labels(endpoint, str(status)).inc()
        self._request_seconds.labels(endpoint).observe(seconds)

    def observe_engine(self, engine: Engine) -> None:
        """Report the engine's state with every scrape from now on."""
        self.registry.register(_EngineCollector(engine))


class _EngineCollector(Collector):
    """Asks the engine when Prometheus asks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        stats = self._engine.stats()
        ready = self._engine.health().status == "ready"
        yield GaugeMetricFamily("modelyard_requests_running", "Sequences that are being generated.", stats.running)
        yield GaugeMetricFamily("modelyard_requests_waiting", "Requests that wait for a sequence.", stats.waiting)
        yield GaugeMetricFamily(
            "modelyard_kv_cache_bytes", "Keys and values of running sequences.", stats.kv_cache_bytes
        )
        yield GaugeMetricFamily(
            "modelyard_kv_cache_capacity_bytes", "What the cache may hold at most.", stats.kv_cache_capacity_bytes
        )
        yield GaugeMetricFamily("modelyard_engine_ready", "1 if requests are answered, else 0.", float(ready))
        yield CounterMetricFamily("modelyard_engine_restarts", "Restarts of the engine's process.", stats.restarts)
