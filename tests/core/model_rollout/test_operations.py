"""Each side's own counters: what they say of it, and that silence never passes."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.model_rollout.declaration import JudgeSpec
from platform_pipelines.core.model_rollout.metrics_page import parse_metrics
from platform_pipelines.core.model_rollout.operations import (
    E2E,
    TTFT,
    Sample,
    Window,
    chance_of_failures,
    findings,
    quantile,
    read_sample,
    sample_from_record,
    window,
)
from platform_pipelines.core.road.verdicts import Status

JUDGE = JudgeSpec(golden_set="file:///golden.jsonl")
PAGE = """
# HELP vllm:num_requests_running Number of requests
vllm:num_requests_running{engine="0",model_name="chat"} 2.0
vllm:num_requests_waiting{engine="0",model_name="chat"} 1.0
vllm:kv_cache_usage_perc{engine="0",model_name="chat"} 0.25
vllm:request_success_total{engine="0",finished_reason="stop",model_name="chat"} 7.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="chat"} 3.0
vllm:request_success_total{engine="0",finished_reason="abort",model_name="chat"} 4.0
vllm:request_success_total{engine="0",finished_reason="error",model_name="chat"} 1.0
vllm:request_success_created{engine="0",finished_reason="stop",model_name="chat"} 1.7e9
vllm:admission_rejections_total{engine="0",reason="queue"} 5.0
http_requests_total{handler="/v1/chat/completions",method="POST",status="2xx"} 19.0
http_requests_total{handler="/v1/chat/completions",method="POST",status="5xx"} 2.0
vllm:time_to_first_token_seconds_bucket{le="0.1",model_name="chat"} 5.0
vllm:time_to_first_token_seconds_bucket{le="0.5",model_name="chat"} 10.0
vllm:time_to_first_token_seconds_bucket{le="+Inf",model_name="chat"} 10.0
"""


def sample(**given: Any) -> Sample:
    """Ten whole answers in a second each; changed as said."""
    nothing = Sample(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, {})
    return replace(nothing, **given)


def after(seconds: float = 1.0, **given: Any) -> Sample:
    buckets = ((0.5 * seconds, 0.0), (seconds, 100.0), (float("inf"), 100.0))
    told = {
        "at": 60.0,
        "answered": 100.0,
        "routed": 100.0,
        "latencies": {TTFT: buckets, E2E: buckets},
    }
    return sample(**{**told, **given})


def codes(candidate: Sample | None, champion: Sample | None) -> list[str]:
    sides = (window(sample(), candidate), window(sample(), champion))
    return [reason.code for reason in findings(*sides, JUDGE)]


def test_a_servers_page_is_read_refusals_inside_streams_too() -> None:
    """A refused stream is HTTP 200: only the server's own counters tell it."""
    read = read_sample(parse_metrics(PAGE), at=1.0, routed=20, route_errors=1)
    assert read is not None
    assert (read.answered, read.failed) == (10.0, 8.0)
    assert (read.running, read.waiting, read.kv_cache) == (2.0, 1.0, 0.25)
    assert read.latencies[TTFT][-1] == (float("inf"), 10.0)
    assert sample_from_record(read.record()) == read


def test_a_page_of_another_server_is_no_sample() -> None:
    """Lost metrics, not zero errors."""
    assert read_sample(parse_metrics("up 1"), at=0, routed=0, route_errors=0) is None


def test_an_equal_candidate_is_not_refused() -> None:
    """A healthy one is never rolled back."""
    assert codes(after(), after()) == []


@pytest.mark.parametrize(
    ("candidate", "code"),
    [
        (after(failed=5.0), "errors"),
        (after(route_errors=5.0), "errors"),
        (after(seconds=4.0), "latency"),
        (after(kv_cache=0.99), "kv_cache"),
        (after(waiting=60.0), "queue"),
        (after(routed=9.0), "too_few_requests"),
        (sample(at=60.0), "too_few_requests"),
        (None, "metrics_lost"),
        (after(answered=-1.0), "metrics_lost"),
    ],
)
def test_each_fault_is_found(candidate: Sample | None, code: str) -> None:
    """One kind of bad canary each; no requests and no numbers among them."""
    found = codes(candidate, after())
    assert code in found
    sides = (window(sample(), candidate), window(sample(), after()))
    assert all(r.status is not Status.PASS for r in findings(*sides, JUDGE))


def test_a_counter_that_went_back_is_lost_metrics() -> None:
    """The server was started again: what it counts now is another life."""
    assert window(after(), sample()) is None


@given(
    st.lists(st.tuples(st.floats(0.001, 100), st.integers(0, 50)), min_size=1, max_size=8),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_quantiles_grow_with_their_share(
    parts: list[tuple[float, int]], one: float, other: float
) -> None:
    """And lie within the buckets."""
    bounds = sorted({bound for bound, _ in parts})
    total, buckets = 0.0, []
    for bound, (_, count) in zip(bounds, parts, strict=False):
        total += count
        buckets.append((bound, total))
    buckets.append((float("inf"), total))
    low, high = (quantile(tuple(buckets), share) for share in sorted((one, other)))
    if not total:
        assert low is None
    else:
        assert low is not None
        assert high is not None
        assert 0 <= low <= high <= bounds[-1]


@pytest.mark.parametrize(
    ("failed", "total", "code"),
    [
        (0, 80, None),
        (1, 80, "errors_uncertain"),
        (1, 100, None),
        (5, 80, "errors"),
        (5, 10, "errors"),
        (30, 1000, "errors"),
    ],
)
def test_a_failure_among_few_requests_is_chance_and_many_are_a_fault(
    failed: int, total: int, code: str | None
) -> None:
    """1 % is allowed: neither does one in 80 roll back at once, nor does it pass."""
    side = Window(10.0, total, total - failed, failed, 0.0, 0.0, {})
    told = [r.code for r in findings(side, None, JUDGE) if r.code.startswith("errors")]
    assert told == ([code] if code else [])


def test_no_failure_is_allowed_where_none_is_declared() -> None:
    """A rate of 0 has no chance in it."""
    assert chance_of_failures(1, 10**6, 0.0) == 0.0
    assert chance_of_failures(1, 100, 0.01) == pytest.approx(1 - 0.99**100)
    assert chance_of_failures(0, 100, 0.01) == 1.0
