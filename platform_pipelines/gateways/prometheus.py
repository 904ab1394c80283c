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


@dataclass(frozen=True, slots=True)
class RangeSeries:
    """One result over a time: its labels, and (seconds of the epoch, value)."""

    labels: dict[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class FoundRange:
    """What a query over a time gave; `problem` where the server refuses it."""

    curves: tuple[RangeSeries, ...] = ()
    problem: str = ""


class TimeSeries(Protocol):
    """Raises UnavailableError: nobody answers, or nothing that can be read."""

    def ask(self, expression: str) -> Found:
        """The instant vector of an expression."""
        ...

    def ask_range(self, expression: str, start: float, end: float, step_seconds: int) -> FoundRange:
        """The expression at every step from `start` to `end`, both included."""
        ...


class Prometheus:
    """The HTTP API of Prometheus, and of whatever speaks it (Thanos, Mimir, VictoriaMetrics)."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def ask(self, expression: str) -> Found:
        """The instant vector of an expression."""
        result, problem = self._result("query", {"query": expression})
        return Found(
            tuple(Series(one["metric"], float(one["value"][1])) for one in result), problem
        )

    def ask_range(self, expression: str, start: float, end: float, step_seconds: int) -> FoundRange:
        """The expression at every step from `start` to `end`, both included."""
        asked = {
            "query": expression, "start": f"{start:.3f}", "end": f"{end:.3f}",
            "step": str(step_seconds),
        }  # fmt: skip
        result, problem = self._result("query_range", asked)
        curves = (
            RangeSeries(one["metric"], tuple((float(at), float(v)) for at, v in one["values"]))
            for one in result
        )
        return FoundRange(tuple(curves), problem)

    def _result(self, path: str, asked: dict[str, str]) -> tuple[list[dict[str, Any]], str]:
        """The result, or the problem that the server has with what it was asked."""
        import httpx

        try:
            answer = httpx.post(
                f"{self._url}/api/v1/{path}", data=asked,
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
            return [], str(body.get("error") or f"HTTP {answer.status_code}")
        return body["data"]["result"], ""
