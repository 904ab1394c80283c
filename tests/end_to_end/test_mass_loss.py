"""A bucket that was emptied is held, and a person's word for exactly that evidence lets it go."""

from collections.abc import Callable

import pytest

from platform_pipelines.errors import (
    ConfigurationError,
    EvidenceError,
    GateFailedError,
    UnknownNameError,
)
from platform_pipelines.gateways.clock import SystemClock
from platform_pipelines.stages.knowledge_base.approving import approve
from platform_pipelines.stages.road.approvals import approval_key
from tests.knowledge import Knowledge, golden_lines

GONE = range(8, 16)


@pytest.fixture
def halved(make_knowledge: Callable[..., Knowledge]) -> Knowledge:
    """Sixteen documents were released; then eight of them vanished."""
    made = make_knowledge(guides=range(16))
    made.refresh()
    for number in GONE:
        (made.documents / f"guide{number}.md").unlink()
    outcome = made.refresh(end="evidence")["evidence"]
    assert outcome.snapshot.details["verdict"] == "undecided"
    return made


def candidate(knowledge: Knowledge) -> str:
    head, _ = knowledge.workspace().head("index")
    assert head is not None
    return str(head.details["revision"])


def approved(knowledge: Knowledge, revision: str, reason: str = "the old site is closed") -> None:
    approve(knowledge.settings, knowledge.name, revision, reason=reason, clock=SystemClock())


def test_mass_loss_is_held_and_named(halved: Knowledge) -> None:
    """A sync tool that failed half-way published half a knowledge base, with exit code 0."""
    with pytest.raises(GateFailedError) as caught:
        halved.run("release")
    assert "mass_loss: 8 of 16 live documents are gone" in str(caught.value)
    assert "guide10.md" in str(caught.value)
    assert "guide9.md" in halved.found("quota of pool number 9")


def test_an_approval_lifts_the_hold_and_stands_in_the_log(halved: Knowledge) -> None:
    """The next refresh judges the same evidence again, and releases."""
    approved(halved, candidate(halved)[:8])
    outcomes = halved.refresh()
    assert outcomes["evidence"].snapshot.details["verdict"] == "pass"
    assert outcomes["release"].snapshot.details["status"] == "released"
    assert halved.log()[-1].reason == "approved by tester: the old site is closed"
    assert not halved.refresh()["evidence"].is_changed


def test_an_approval_is_for_one_evidence_only(halved: Knowledge) -> None:
    """Three more documents vanish after it was given: it must be asked for again."""
    approved(halved, candidate(halved))
    for number in (5, 6, 7):
        (halved.documents / f"guide{number}.md").unlink()
    assert halved.refresh(end="evidence")["evidence"].snapshot.details["verdict"] == "undecided"
    with pytest.raises(GateFailedError, match="11 of 16"):
        halved.run("release")


def test_an_edited_approval_is_no_approval(halved: Knowledge) -> None:
    """It carries its own digest, and the one of its evidence."""
    approved(halved, candidate(halved))
    head, _ = halved.workspace().head("evidence")
    assert head is not None
    key = approval_key(head.details["evidence"])
    data, _ = halved.store.get(key)
    halved.store.put(key, data.replace(b"tester", b"nobody"))
    with pytest.raises(Exception, match="not what its digest says"):
        halved.run("release")


def test_it_lifts_no_fail(make_knowledge: Callable[..., Knowledge]) -> None:
    """What the golden set asks for is gone as well: that is no matter of opinion."""
    made = make_knowledge(guides=range(16), gate={"golden_set": "golden.jsonl"})
    (made.folder / "golden.jsonl").write_text(golden_lines(range(16)), encoding="utf-8")
    made.refresh()
    for number in GONE:
        (made.documents / f"guide{number}.md").unlink()
    assert made.refresh(end="evidence")["evidence"].snapshot.details["verdict"] == "fail"
    with pytest.raises(EvidenceError, match="nothing else"):
        approved(made, candidate(made))


def test_what_is_approved_must_be_named_and_meant(halved: Knowledge) -> None:
    """Yesterday's candidate, no reason, no such knowledge base."""
    with pytest.raises(UnknownNameError, match="another revision"):
        approved(halved, "0" * 32)
    with pytest.raises(ConfigurationError, match="reason"):
        approved(halved, candidate(halved), reason=" ")
    with pytest.raises(UnknownNameError, match="was evaluated yet"):
        approve(halved.settings, "nobody", "x", reason="y", clock=SystemClock())


def test_an_ordinary_day_is_not_held(make_knowledge: Callable[..., Knowledge]) -> None:
    """Four of sixteen are over 20 %, and under five documents."""
    made = make_knowledge(guides=range(16))
    made.refresh()
    for number in range(4):
        (made.documents / f"guide{number}.md").unlink()
    assert made.refresh()["release"].snapshot.details["status"] == "released"
