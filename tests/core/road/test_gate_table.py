"""The gate's truth table: what is wrong with a good release, and what the gate answers."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from platform_pipelines.core.road.evidence import Evidence, Failure, Outcome, SampleRow
from platform_pipelines.core.road.gate import decide
from platform_pipelines.core.road.metrics import Direction, Metric, Undefined
from platform_pipelines.core.road.verdicts import Code, Expected, GatePolicy, Reason, Status
from tests.core.road.judging import judge

SHARE = Metric("share")
SECONDS = Metric("seconds", "s", Direction.LOWER, high=60.0)
COST = Metric("cost", "USD", Direction.LOWER, high=None, undefined=Undefined.LEFT_OUT)
POLICY = GatePolicy(
    floors={"share": 0.8, "seconds": 2.0},
    compared=("share", "seconds"),
    minimum_effects={"seconds": 0.5},
    resamples=1000,
)
SAMPLES = 40
Scores = Mapping[str, float | None]
GOOD: Scores = {"share": 0.9, "seconds": 1.0, "cost": 0.01}


@dataclass(frozen=True)
class Case:
    """A change to a good release; `rows` of its samples are changed, on one side or on both."""

    status: Status
    codes: tuple[str, ...]
    rows: int = 0
    candidate: Scores = field(default_factory=dict)
    baseline: Scores = field(default_factory=dict)
    failed: Failure | None = None  # of the candidate's changed rows
    live_failed: Failure | None = None
    unasked: bool = False  # the changed rows have no baseline
    slices: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    expected: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    rules: tuple[Callable[[Evidence], list[Reason]], ...] = ()

    def made(self) -> Evidence:
        """The evidence."""
        rows = tuple(self._row(i) for i in range(SAMPLES))
        metrics = (SHARE, SECONDS, COST)
        whole = Evidence("toy", "new", "live", "gold", {"k": 10}, metrics, SAMPLES, rows)
        return replace(whole, **self.evidence)

    def _row(self, number: int) -> SampleRow:
        if number >= self.rows:
            return SampleRow(f"q{number:02}", {"all": "x"}, Outcome(GOOD), Outcome(GOOD))
        live = Outcome({**GOOD, **self.baseline}, self.live_failed)
        asked = Outcome({**GOOD, **self.candidate}, self.failed)
        groups = {"all": "x", **self.slices}
        return SampleRow(f"q{number:02}", groups, asked, None if self.unasked else live)


def fails(evidence: Evidence) -> list[Reason]:
    return [Reason(Status.FAIL, "own", "a fact is wrong")]


def doubts(evidence: Evidence) -> list[Reason]:
    return [Reason(Status.UNDECIDED, "own", "a fact is not known", more_samples=7)]


def notes(evidence: Evidence) -> list[Reason]:
    return [Reason(Status.PASS, "own", "a remark")]


def content(evidence: Evidence) -> list[Reason]:
    return []


OK, NO, MAYBE = Status.PASS, Status.FAIL, Status.UNDECIDED
ONE, ALL = 1, SAMPLES
FIRST = {"baseline": None}
BARE: dict[str, Any] = {"golden_digest": None, "rows": (), "samples": 0}
NAN, INF = math.nan, math.inf
SLICE = {"language": "ko"}

TABLE: dict[str, Case] = {
    # what passes
    "equal": Case(OK, ()),
    "better": Case(OK, (), ALL, {"share": 1.0, "seconds": 0.1}),
    "better in one, equal in the other": Case(OK, (), ALL, {"seconds": 0.1}),
    "worse by less than the effect": Case(OK, (), ALL, {"share": 0.8801}),
    "slower by less than the effect": Case(OK, (), ALL, {"seconds": 1.4999}),
    "exactly at the floor": Case(OK, (), ALL, {"share": 0.8}, {"share": 0.8}),
    "exactly at the ceiling": Case(OK, (), ALL, {"seconds": 2.0}, {"seconds": 2.0}),
    "first release": Case(OK, (), evidence=FIRST),
    "first release, rows unasked": Case(OK, (), ALL, unasked=True, evidence=FIRST),
    "live lacks what is new": Case(OK, (), ALL, {}, {"share": None},
                                   live_failed=Failure.UNRESOLVED),
    "dearer, and cost is not gated": Case(OK, (), ALL, {"cost": 9.0}),
    "cost undefined, and not gated": Case(OK, (), ALL, {"cost": None}),
    "a metric more than is gated": Case(OK, (), ALL, {"bleu": 0.0}),
    "a rule with a note": Case(OK, ("own",), rules=(notes,)),
    "a rule that is content": Case(OK, (), rules=(content,)),
    "nothing compared": Case(OK, (), ALL, {"share": 0.8}, policy={"compared": ()}),
    "no floors": Case(OK, (), ALL, {"share": 0.1}, {"share": 0.1}, policy={"floors": {}}),
    "no labels, content rules": Case(OK, ("unproven",), evidence={**BARE}, rules=(content,)),
    # about something else
    "another component": Case(NO, (Code.FOREIGN_COMPONENT,), expected={"component": "x"}),
    "another revision": Case(NO, (Code.FOREIGN_REVISION,), expected={"revision": "x"}),
    "another live revision": Case(NO, (Code.FOREIGN_BASELINE,), expected={"baseline": "x"}),
    "live now, none then": Case(NO, (Code.FOREIGN_BASELINE,), evidence=FIRST,
                                expected={"baseline": "live"}),
    "none now, live then": Case(NO, (Code.FOREIGN_BASELINE,), expected={"baseline": None}),
    "another golden set": Case(NO, (Code.FOREIGN_GOLDEN_SET,), expected={"golden_digest": "x"}),
    "labels no longer declared": Case(NO, (Code.FOREIGN_GOLDEN_SET,),
                                      expected={"golden_digest": None}),
    "labels declared since": Case(NO, (Code.FOREIGN_GOLDEN_SET,), evidence={**BARE},
                                  expected={"golden_digest": "gold"}, rules=(content,)),
    "another k": Case(NO, (Code.FOREIGN_CONDITIONS,), expected={"conditions": {"k": 5}}),
    "a judge now": Case(NO, (Code.FOREIGN_CONDITIONS,),
                        expected={"conditions": {"k": 10, "judge": "m"}}),
    "a judge then": Case(NO, (Code.FOREIGN_CONDITIONS,),
                         evidence={"conditions": {"k": 10, "judge": "m"}}),
    "two conditions are others": Case(NO, (Code.FOREIGN_CONDITIONS,) * 2,
                                      expected={"conditions": {"k": 5, "judge": "m"}}),
    "all of it is another's": Case(
        NO, (Code.FOREIGN_COMPONENT, Code.FOREIGN_REVISION, Code.FOREIGN_BASELINE,
             Code.FOREIGN_GOLDEN_SET, Code.FOREIGN_CONDITIONS),
        expected={"component": "x", "revision": "x", "baseline": "x", "golden_digest": "x",
                  "conditions": {}}),
    "foreign, and worse": Case(NO, (Code.FOREIGN_REVISION,), ALL, {"share": 0.0},
                               expected={"revision": "x"}),
    # numbers that are none
    **{
        f"{bad} of the {side} in {name}": Case(NO, (Code.NOT_FINITE,), ONE, **{side: {name: bad}})
        for bad in (NAN, INF, -INF)
        for side in ("candidate", "baseline")
        for name in ("share", "seconds", "cost", "bleu")
    },
    "recorded as not finite": Case(NO, (Code.NOT_FINITE,), ONE, failed=Failure.NOT_FINITE),
    "recorded so of live": Case(NO, (Code.NOT_FINITE,), ONE, live_failed=Failure.NOT_FINITE),
    "all NaN on both sides": Case(NO, (Code.NOT_FINITE,), ALL, {"share": NAN}, {"share": NAN}),
    "NaN in a first release": Case(NO, (Code.NOT_FINITE,), ONE, {"share": NAN}, evidence=FIRST),
    # not enough of it
    "fewer samples than are asked for": Case(MAYBE, (Code.TOO_FEW_SAMPLES,),
                       policy={"minimum_samples": SAMPLES + 1}),
    "no sample": Case(NO, (Code.TOO_FEW_SAMPLES, Code.COVERAGE, Code.FLOOR, Code.FLOOR,
                           Code.BASELINE_COVERAGE), evidence={"rows": (), "samples": 0}),
    "a sample without a row": Case(NO, (Code.COVERAGE, Code.BASELINE_COVERAGE),
                                   evidence={"samples": SAMPLES + 1}),
    "one error": Case(NO, (Code.COVERAGE,), ONE, failed=Failure.ERROR),
    "one error, allowed for": Case(OK, (), ONE, failed=Failure.ERROR,
                                   policy={"coverage_floor": 0.97}),
    "judge down": Case(NO, (Code.COVERAGE, Code.FLOOR, Code.REGRESSION, Code.SLICE_REGRESSION),
                       ALL, {"share": None}, failed=Failure.ERROR),
    "live never asked": Case(MAYBE, (Code.BASELINE_COVERAGE,), ALL, unasked=True),
    "live not asked once": Case(MAYBE, (Code.BASELINE_COVERAGE,), ONE, unasked=True),
    "live failed once": Case(MAYBE, (Code.BASELINE_COVERAGE,), ONE, live_failed=Failure.ERROR),
    "live failed always": Case(MAYBE, (Code.BASELINE_COVERAGE,), ALL, live_failed=Failure.ERROR),
    "live failed, first release": Case(OK, (), ALL, live_failed=Failure.ERROR, evidence=FIRST),
    "a floor nobody measured": Case(NO, (Code.UNKNOWN_METRIC,), policy={"floors": {"bleu": 0.1}}),
    "a comparison nobody measured": Case(NO, (Code.UNKNOWN_METRIC,),
                                         policy={"compared": ("bleu",)}),
    "no metric at all": Case(NO, (Code.UNKNOWN_METRIC,) * 2, evidence={"metrics": ()}),
    "a gated cost that is undefined": Case(NO, (Code.FLOOR,), ALL, {"cost": None},
                                           policy={"floors": {"cost": 1.0}}),
    "a gated cost of few": Case(MAYBE, (Code.TOO_FEW_SAMPLES,), 30, {"cost": None},
                                policy={"floors": {"cost": 1.0}}),
    "a compared cost of few": Case(MAYBE, (Code.BASELINE_COVERAGE,), 30, {"cost": None},
                                   policy={"compared": ("cost",)}),
    "no labels, no rules": Case(MAYBE, (Code.MISSING,), evidence={**BARE}),
    "no labels, a rule that doubts": Case(MAYBE, ("own", Code.UNPROVEN), evidence={**BARE},
                                          rules=(doubts,)),
    # worse
    "below the floor": Case(NO, (Code.FLOOR,), ALL, {"share": 0.7999}, {"share": 0.7999}),
    "above the ceiling": Case(NO, (Code.FLOOR,), ALL, {"seconds": 2.01}, {"seconds": 2.01}),
    "all undefined": Case(NO, (Code.FLOOR,), ALL, {"share": None}, {"share": None}),
    "all undefined seconds": Case(NO, (Code.FLOOR,), ALL, {"seconds": None}, {"seconds": None}),
    "worse than live": Case(NO, (Code.REGRESSION, Code.SLICE_REGRESSION), ALL,
                            {"share": 0.85}),
    "slower than live": Case(NO, (Code.REGRESSION, Code.SLICE_REGRESSION), ALL,
                             {"seconds": 1.6}),
    "worse by a little, uncertain": Case(MAYBE, (Code.UNCERTAIN,), 2, {"share": 0.4}),
    "better and slower": Case(NO, (Code.REGRESSION, Code.SLICE_REGRESSION), ALL,
                              {"share": 1.0, "seconds": 1.9}),
    "both worse": Case(NO, (Code.REGRESSION,) * 2 + (Code.SLICE_REGRESSION,) * 2, ALL,
                       {"share": 0.85, "seconds": 1.9}),
    "a slice worse, hidden in the mean": Case(
        NO, (Code.SLICE_REGRESSION,), 10, {"share": 0.85}, slices=SLICE,
        policy={"minimum_effect": 0.0251, "minimum_effects": {"share": 0.0251, "seconds": 0.5}}),
    "a slice of seven": Case(OK, (), 7, {"share": 0.85}, slices=SLICE,
                             policy={"minimum_effects": {"share": 0.03, "seconds": 0.5}}),
    "a rule that fails": Case(NO, ("own",), rules=(content, fails)),
    "a rule that doubts": Case(MAYBE, ("own",), rules=(doubts,)),
    "a rule that doubts, and a floor": Case(NO, ("own", Code.FLOOR), ALL, {"share": 0.1},
                                            {"share": 0.1}, rules=(doubts,)),
    "no labels, a rule that fails": Case(NO, ("own", Code.UNPROVEN), evidence={**BARE},
                                         rules=(fails,)),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_the_gate_answers(name: str) -> None:
    """Each row: one thing is as it says, all else is good."""
    case = TABLE[name]
    verdict = judge(case.made(), replace(POLICY, **case.policy), rules=case.rules, **case.expected)
    assert (verdict.status, tuple(r.code for r in verdict.reasons)) == (case.status, case.codes)
    assert verdict.proven is (case.status is OK and case.evidence != BARE)
    if case.status is not MAYBE:
        assert verdict.more_samples is None


def test_the_table_has_more_than_one_way_for_every_answer() -> None:
    """A table of passes alone would pass a gate that always does."""
    counted = [sum(case.status is status for case in TABLE.values()) for status in Status]
    assert len(TABLE) >= 60
    assert min(counted) >= 10


def test_every_code_is_in_the_table() -> None:
    """A reason that no row has could be given for anything."""
    found = {code for case in TABLE.values() for code in case.codes}
    assert found >= set(Code)


def test_absent_evidence_is_undecided_whatever_is_expected() -> None:
    """There is nothing to be foreign or worse."""
    verdict = decide(None, POLICY, Expected("toy", "new", None, None), rules=(fails,))
    assert (verdict.status, [r.code for r in verdict.reasons]) == (MAYBE, [Code.MISSING])


def _pairs() -> list[tuple[str, str]]:
    """Two faults at a time: of what the evidence is about, and of what it says."""
    about = [n for n, c in TABLE.items() if c.status is not OK and c.expected and not c.rows]
    says = [n for n, c in TABLE.items() if c.status is not OK and not c.expected and c.rows]
    return [(one, other) for one in about for other in says]


@pytest.mark.parametrize(("one", "other"), _pairs())
def test_two_faults_are_never_a_pass(one: str, other: str) -> None:
    """One fault does not hide another: a foreign report of bad numbers is no good report."""
    first, second = TABLE[one], TABLE[other]
    both = replace(
        second,
        evidence={**first.evidence, **second.evidence},
        policy={**first.policy, **second.policy},
        rules=(*first.rules, *second.rules),
    )
    verdict = judge(both.made(), replace(POLICY, **both.policy), rules=both.rules, **first.expected)
    assert verdict.status is not OK
    assert not verdict.proven


def test_the_table_has_two_hundred_cases_that_are_no_pass() -> None:
    """As many as are promised: 0 of them may be released."""
    single = [case for case in TABLE.values() if case.status is not OK]
    assert len(single) + len(_pairs()) >= 200
