"""What Prometheus reads at ``/metrics``, under the names that dashboards of llama.cpp and vLLM look for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from codecascade.generation.streaming import Load

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """The figures of one server.

    Args:
        model: the name that vLLM's metrics carry.
        load: the generator's own figures, asked at each scrape.
    """

    def __init__(self, model: str, load: Callable[[], Load]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_LoadCollector(model, load))

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            family = Histogram(name, text, ["model_name"], registry=self._registry, buckets=buckets)
            return family.labels(model)

        self.first_token = histogram(
            "vllm:time_to_first_token_seconds", "From a request's arrival to its first token.", _SECONDS
        )
        self.between_tokens = histogram(
            "vllm:inter_token_latency_seconds", "Between two tokens of a sample, on average.", _TOKEN_SECONDS
        )
        self.whole = histogram(
            "vllm:e2e_request_latency_seconds", "From a request's arrival to its last token.", _SECONDS
        )
        self._requests = Counter(
            "codecascade_requests",
            "Requests by route and status; the status is `cancelled` where the client went first.",
            ["route", "status"],
            registry=self._registry,
        )

    def request_ended(self, route: str, status: int | None) -> None:
        """Count a request; a status of None: its answer was not complete."""
        self._requests.labels(route, "cancelled" if status is None else str(status)).inc()

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)


class _LoadCollector(Collector):
    def __init__(self, model: str, load: Callable[[], Load]) -> None:
        self._model, self._load = model, load

    def collect(self) -> Iterator[Metric]:
        load = self._load()
        read = load.prompt_tokens - load.cached_tokens
        steps = load.decode_steps
        for name, text, value in (
            ("llamacpp:prompt_tokens", "Prompt tokens that were read.", read),
            ("llamacpp:prompt_seconds", "Time of reading prompts.", load.prefill_seconds),
            ("llamacpp:tokens_predicted", "Tokens generated.", load.completion_tokens),
            ("llamacpp:tokens_predicted_seconds", "Time of generating tokens.", load.decode_seconds),
            ("llamacpp:n_decode", "Passes through the model.", steps),
            ("llamacpp:spec_decode_num_draft_tokens", "Tokens drafted.", load.drafted_tokens),
            ("llamacpp:spec_decode_num_accepted_tokens", "Drafted tokens kept.", load.accepted_tokens),
        ):
            yield CounterMetricFamily(name, text, value=value)
        for name, text, value in (
            ("llamacpp:prompt_tokens_seconds", "Prompt tokens a second.", _rate(read, load.prefill_seconds)),
            (
                "llamacpp:predicted_tokens_seconds",
                "Generated tokens a second.",
                _rate(load.completion_tokens, load.decode_seconds),
            ),
            ("llamacpp:requests_processing", "Requests that run.", load.running),
            ("llamacpp:requests_deferred", "Requests that wait.", load.waiting),
            ("llamacpp:kv_cache_usage_ratio", "Share of the cache in use.", load.cache_used),
            (
                "llamacpp:n_busy_slots_per_decode",
                "Tokens generated in a pass, on average.",
                _rate(load.completion_tokens, steps),
            ),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        yield from self._vllm(load)

    def _vllm(self, load: Load) -> Iterator[Metric]:
        for name, text, value in (
            ("vllm:num_requests_running", "Requests that run.", load.running),
            ("vllm:num_requests_waiting", "Requests that wait.", load.waiting),
            ("vllm:kv_cache_usage_perc", "Share of the cache in use.", load.cache_used),
        ):
            gauge = GaugeMetricFamily(name, text, labels=["model_name"])
            gauge.add_metric([self._model], value)
            yield gauge
        for name, text, value in (
            ("vllm:prefix_cache_queries", "Prompt tokens looked up in the prefix cache.", load.prompt_tokens),
            ("vllm:prefix_cache_hits", "Prompt tokens found in it.", load.cached_tokens),
            ("vllm:prompt_tokens", "Prompt tokens.", load.prompt_tokens),
            ("vllm:generation_tokens", "Tokens generated.", load.completion_tokens),
        ):
            counter = CounterMetricFamily(name, text, labels=["model_name"])
            counter.add_metric([self._model], value)
            yield counter


def _rate(amount: float, seconds: float) -> float:
    return amount / seconds if seconds else 0.0
