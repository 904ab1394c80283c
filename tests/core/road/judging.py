"""Small evidence and one policy, for the tests of the gate."""

from collections.abc import Mapping, Sequence
from typing import Any

from platform_pipelines.core.road.evidence import Evidence, Failure, Outcome, SampleRow
from platform_pipelines.core.road.gate import decide
from platform_pipelines.core.road.metrics import Metric
from platform_pipelines.core.road.verdicts import Expected, GatePolicy, Rule, Verdict

METRICS = (Metric("recall"), Metric("ndcg"))
POLICY = GatePolicy(floors={"recall": 0.8}, compared=("ndcg",), resamples=1000)

Scores = Sequence[float | None]


def outcome(score: float | None, failure: Failure | None = None) -> Outcome:
    """All metrics have one score."""
    return Outcome(dict.fromkeys((m.name for m in METRICS), score), failure)


def rows(
    candidate: Scores, baseline: Scores | None = None, *, slices: Sequence[Mapping[str, str]] = ()
) -> tuple[SampleRow, ...]:
    """A row for each score; a baseline score of None, or none at all, was not asked."""
    before = [None] * len(candidate) if baseline is None else baseline
    groups = slices or [{}] * len(candidate)
    return tuple(
        SampleRow(f"q{i:03}", group, outcome(c), None if b is None else outcome(b))
        for i, (c, b, group) in enumerate(zip(candidate, before, groups, strict=True))
    )


def golden(
    asked: tuple[SampleRow, ...],
    *,
    baseline: str | None = "live",
    metrics: tuple[Metric, ...] = METRICS,
) -> Evidence:
    """Evidence with labels, of everything that there should be."""
    return Evidence("toy", "new", baseline, "gold", {"k": 10}, metrics, len(asked), asked)


def judge(
    evidence: Evidence | None,
    policy: GatePolicy = POLICY,
    *,
    rules: Sequence[Rule] = (),
    **expected: Any,
) -> Verdict:
    """The verdict, where all that is not named is as it should be."""
    about = {
        "component": "toy",
        "revision": "new",
        "baseline": evidence.baseline if evidence else None,
        "golden_digest": evidence.golden_digest if evidence else "gold",
        "conditions": {"k": 10},
    }
    return decide(evidence, policy, Expected(**{**about, **expected}), rules=rules)
