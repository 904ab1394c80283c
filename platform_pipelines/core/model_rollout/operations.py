"""What one side of a rollout did in a while: from two samples of its own counters to findings.

Every side has its own server and its own endpoint at the gateway. An aggregate, or what clients
saw, hides the candidate's errors: the gateway retries them elsewhere. Counters are compared as
differences; a counter that went back, or is gone, is lost metrics and never a pass.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from platform_pipelines.core.model_rollout.declaration import JudgeSpec
from platform_pipelines.core.road.verdicts import Reason, Status

TTFT = "vllm:time_to_first_token_seconds"
ITL = "vllm:inter_token_latency_seconds"
E2E = "vllm:e2e_request_latency_seconds"
LATENCIES = {"time to first token": TTFT, "between tokens": ITL, "whole request": E2E}
_FINISHED = "vllm:request_success_total"
_REJECTED = "vllm:admission_rejections_total"
_HTTP = "http_requests_total"
_RUNNING = "vllm:num_requests_running"
_WAITING = "vllm:num_requests_waiting"
_KV_CACHE = "vllm:kv_cache_usage_perc"
_RARE = 0.01
_GOOD = ("stop", "length")
_BAD = ("error", "repetition")

Buckets = tuple[tuple[float, float], ...]  # upper bound in seconds, requests at or below it


@dataclass(frozen=True, slots=True)
class Sample:
    """One side's counters at one time: its server's, and the gateway's of its endpoint."""

    at: float  # seconds since 1970
    answered: float  # by the server, whole
    failed: float  # by the server: refused, broken off, HTTP 5xx; also inside a stream of HTTP 200
    running: float
    waiting: float
    kv_cache: float
    routed: float  # requests of users that the gateway sent to this endpoint
    route_errors: float  # of those, as the gateway saw them
    latencies: Mapping[str, Buckets]

    def record(self) -> dict[str, Any]:
        """As JSON; infinity, which JSON has not, is `inf`."""
        names = [n for n in Sample.__dataclass_fields__ if n != "latencies"]
        return {
            **{name: getattr(self, name) for name in names},
            "latencies": {
                n: [[str(bound), count] for bound, count in b] for n, b in self.latencies.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Window:
    """What one side did between two samples."""

    seconds: float
    requests: float  # of users, by the gateway
    answered: float
    failed: float
    waiting: float
    kv_cache: float
    latencies: Mapping[str, Buckets]

    @property
    def total(self) -> float:
        """Requests of users, and of whoever asked the server past the gateway."""
        return max(self.requests, self.answered + self.failed)

    @property
    def error_rate(self) -> float:
        """Failed requests of all; 0 of 0 is 0, and few requests are found by themselves."""
        return self.failed / self.total if self.total else 0.0

    def quantile(self, name: str, share: float) -> float | None:
        """A latency in seconds, linear within its bucket; None where nothing was measured."""
        return quantile(self.latencies.get(name, ()), share)

    def record(self) -> dict[str, Any]:
        """Numbers for evidence and for the page."""
        latencies = {
            f"{label} p{round(share * 100)}": self.quantile(name, share)
            for label, name in LATENCIES.items()
            for share in (0.5, 0.95)
        }
        return {
            "seconds": round(self.seconds, 1),
            "requests": self.requests,
            "answered": self.answered,
            "failed": self.failed,
            "error_rate": round(self.error_rate, 5),
            "waiting": self.waiting,
            "kv_cache": round(self.kv_cache, 4),
            **{n: None if v is None else round(v, 4) for n, v in latencies.items()},
        }


def sample_from_record(record: Mapping[str, Any]) -> Sample:
    """The inverse of `Sample.record`."""
    values = {name: value for name, value in record.items() if name != "latencies"}
    latencies = {
        name: tuple((float(bound), float(count)) for bound, count in buckets)
        for name, buckets in record["latencies"].items()
    }
    return Sample(**values, latencies=latencies)


def read_sample(
    series: Mapping[str, Sequence[tuple[Mapping[str, str], float]]],
    *,
    at: float,
    routed: float,
    route_errors: float,
) -> Sample | None:
    """A sample from a server's metrics page (`parse_metrics`); None when it is not vLLM's."""
    if _RUNNING not in series:
        return None
    finished = series.get(_FINISHED, ())
    http_errors = _sum(series.get(_HTTP, ()), "status", ("5xx",))
    broken = _sum(finished, "finished_reason", _BAD) + _sum(series.get(_REJECTED, ()))
    return Sample(
        at=at,
        answered=_sum(finished, "finished_reason", _GOOD),
        failed=http_errors + broken,
        running=_sum(series[_RUNNING]),
        waiting=_sum(series.get(_WAITING, ())),
        kv_cache=max((value for _, value in series.get(_KV_CACHE, ())), default=0.0),
        routed=routed,
        route_errors=route_errors,
        latencies={name: _buckets(series.get(f"{name}_bucket", ())) for name in LATENCIES.values()},
    )


def window(before: Sample | None, after: Sample | None) -> Window | None:
    """What happened between; None when metrics are lost: absent, or a counter went back."""
    if before is None or after is None:
        return None
    counters = ("answered", "failed", "routed", "route_errors")
    gained = {name: getattr(after, name) - getattr(before, name) for name in counters}
    latencies = {
        name: _gained(before.latencies.get(name, ()), b) for name, b in after.latencies.items()
    }
    went_back = any(n < 0 for b in latencies.values() for _, n in b)
    if went_back or any(not gain >= 0 for gain in gained.values()):
        return None
    return Window(
        seconds=after.at - before.at,
        requests=gained["routed"],
        answered=gained["answered"],
        failed=max(gained["failed"], gained["route_errors"]),
        waiting=after.waiting,
        kv_cache=after.kv_cache,
        latencies=latencies,
    )


def findings(candidate: Window | None, champion: Window | None, judge: JudgeSpec) -> list[Reason]:
    """What speaks against the candidate. Nothing here ever passes on absence.

    `champion` is None at 100 %, where it gets no requests and its earlier window is gone: then only
    the bounds that are the candidate's own are judged.
    """
    if candidate is None:
        return [_fail("metrics_lost", "the candidate's counters are gone or went back")]
    found = _errors(candidate, judge)
    if candidate.kv_cache > judge.kv_cache_share:
        found.append(_fail("kv_cache", f"{candidate.kv_cache:.0%} of the KV cache is in use"))
    if candidate.waiting > judge.waiting_requests:
        found.append(_fail("queue", f"{candidate.waiting:.0f} requests wait"))
    found += _slower(candidate, champion, judge)
    if candidate.requests < judge.minimum_requests:
        lacking = math.ceil(judge.minimum_requests - candidate.requests)
        message = f"{candidate.requests:.0f} requests; {judge.minimum_requests} are needed"
        found.append(Reason(Status.UNDECIDED, "too_few_requests", message, more_samples=lacking))
    return found


def _errors(candidate: Window, judge: JudgeSpec) -> list[Reason]:
    """One failure in 80 requests is no fault where 1 % is allowed, and no pass either: chance.

    It is a fault when so many would be rare (1 in 100) at the rate that is allowed.
    """
    if candidate.error_rate <= judge.error_rate:
        return []
    message = (
        f"{candidate.failed:.0f} of the candidate's requests failed "
        f"({candidate.error_rate:.1%}); {judge.error_rate:.1%} is allowed"
    )
    total, failed = math.ceil(candidate.total), math.ceil(candidate.failed)
    if chance_of_failures(failed, total, judge.error_rate) < _RARE:
        return [_fail("errors", message)]
    lacking = math.ceil(failed / judge.error_rate) - total
    return [Reason(Status.UNDECIDED, "errors_uncertain", message, more_samples=max(1, lacking))]


def chance_of_failures(failed: int, total: int, rate: float) -> float:
    """Of at least so many failures in so many requests at this rate: a binomial tail."""
    if not 0 < rate < 1:
        return 0.0 if failed and rate <= 0 else 1.0
    fewer = (
        math.exp(
            math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
            + k * math.log(rate) + (total - k) * math.log1p(-rate)
        )
        for k in range(min(failed, total + 1))
    )  # fmt: skip
    return max(0.0, 1.0 - math.fsum(fewer))


def _slower(candidate: Window, champion: Window | None, judge: JudgeSpec) -> list[Reason]:
    if champion is None:
        return []
    found: list[Reason] = []
    for label, name in LATENCIES.items():
        theirs, ours = champion.quantile(name, 0.95), candidate.quantile(name, 0.95)
        if theirs is None or ours is None:
            continue
        allowed = theirs * judge.latency_ratio + judge.latency_slack_seconds
        if ours > allowed:
            message = f"{label} p95 {ours:.3f} s; the champion's {theirs:.3f} s allow {allowed:.3f}"
            found.append(_fail("latency", message))
    return found


def quantile(buckets: Buckets, share: float) -> float | None:
    """A quantile of cumulative buckets, as Prometheus' histogram_quantile: linear inside one."""
    total = buckets[-1][1] if buckets else 0.0
    if not total > 0:
        return None
    wanted, low_bound, low_count = share * total, 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted:
            if math.isinf(bound):
                return low_bound
            inside = count - low_count
            part = (wanted - low_count) / inside if inside else 1.0
            return low_bound + (bound - low_bound) * part
        low_bound, low_count = bound, count
    return low_bound


def _fail(code: str, message: str) -> Reason:
    return Reason(Status.FAIL, code, message)


def _sum(
    rows: Sequence[tuple[Mapping[str, str], float]],
    label: str = "",
    values: Sequence[str] = (),
) -> float:
    return math.fsum(v for labels, v in rows if not label or labels.get(label) in values)


def _buckets(rows: Sequence[tuple[Mapping[str, str], float]]) -> Buckets:
    merged: dict[float, float] = {}
    for labels, count in rows:
        bound = float(labels.get("le", "inf"))
        merged[bound] = merged.get(bound, 0.0) + count
    return tuple(sorted(merged.items()))


def _gained(before: Buckets, after: Buckets) -> Buckets:
    earlier = dict(before)
    return tuple((bound, count - earlier.get(bound, 0.0)) for bound, count in after)
