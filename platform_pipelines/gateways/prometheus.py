"""The role of a store of time series: what an expression says now."""

from dataclasses import dataclass
from typing import Any, Protocol

from platform_pipelines.errors import UnavailableError
from platform_pipelines.gateways.network import proxy_for, trusted

_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Series:
    """One result: its labels and its value now."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Found:
    """What a query gave; `problem` where the server refuses it."""

    series: tuple[Series, ...] = ()
    problem: str = ""


class TimeSeries(Protocol):
    """Raises UnavailableError: nobody answers, or nothing that can be read."""

    def ask(self, expression: str) -> Found:
        """The instant vector of an expression."""
        ...


class Prometheus:
    """The HTTP API of Prometheus, and of whatever speaks it (Thanos, Mimir, VictoriaMetrics)."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def ask(self, expression: str) -> Found:
        """The instant vector of an expression."""
        import httpx

        try:
            answer = httpx.post(
                f"{self._url}/api/v1/query", data={"query": expression},
                timeout=_SECONDS, trust_env=False, verify=trusted(), proxy=proxy_for(self._url),
            )  # fmt: skip
            body: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise UnavailableError(
                f"Prometheus gives no answer: {error}",
                where=self._url,
                remedy="check `prometheus` of the declaration, and whether it runs",
            ) from error
        if body.get("status") != "success":
            return Found(problem=str(body.get("error") or f"HTTP {answer.status_code}"))
        result: list[dict[str, Any]] = body["data"]["result"]
        return Found(tuple(Series(one["metric"], float(one["value"][1])) for one in result))
