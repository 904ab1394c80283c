"""Prometheus metrics of a server: how much is asked, how long it takes, what fails."""

from typing import Any

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """In a registry of its own: two servers in one process do not collide."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = CollectorRegistry()
        labels = ["operation", "knowledge_base"]
        self._requests = Counter(
            "platform_requests", "Requests by outcome", [*labels, "outcome"],
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "platform_request_seconds", "Time of a request", labels,
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._tokens = Counter(
            "platform_tokens", "Tokens of language models", ["knowledge_base", "direction"],
            registry=self._registry,
        )  # fmt: skip
        self._unknown = Counter(
            "platform_answers_unknown", "Answers that were not known", ["knowledge_base"],
            registry=self._registry,
        )  # fmt: skip
        self._in_flight = Gauge(
            "platform_requests_in_flight", "Requests now", registry=self._registry
        )

    def began(self) -> None:
        """A request came."""
        self._in_flight.inc()

    def ended(self, operation: str, name: str, outcome: str, seconds: float) -> None:
        """A request is over. `outcome`: ok, or an error's class name."""
        self._in_flight.dec()
        self._requests.labels(operation, name, outcome).inc()
        self._seconds.labels(operation, name).observe(seconds)

    def answered(self, name: str, *, known: bool, input_tokens: int, output_tokens: int) -> None:
        """What an answer took."""
        self._tokens.labels(name, "input").inc(input_tokens)
        self._tokens.labels(name, "output").inc(output_tokens)
        if not known:
            self._unknown.labels(name).inc()

    def page(self) -> tuple[bytes, str]:
        """The text and its content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        registry: Any = self._registry
        return generate_latest(registry), CONTENT_TYPE_LATEST
