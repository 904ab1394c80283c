"""What a run says at a terminal: why its gate failed, what is held, what was left out."""

import pytest

from platform_pipelines.components.knowledge_base import checks
from platform_pipelines.components.knowledge_base.notices import notices
from tests.knowledge import Knowledge, golden_lines, guide


def told(knowledge: Knowledge, stage: str) -> list[str]:
    return notices(knowledge.workspace(), stage, knowledge.run(stage))


def test_a_gate_that_does_not_pass_says_why(knowledge: Knowledge) -> None:
    """In CI there was an exit code and a stack trace; the reason stood in the web UI alone."""
    (knowledge.folder / "golden.jsonl").write_text(golden_lines([0]), encoding="utf-8")
    declared = knowledge.declared(gate={"golden_set": "golden.jsonl"})
    declared.refresh(end="index")
    (reason,) = [one for one in told(declared, "evidence") if "too_few_samples" in one]
    assert "undecided" in reason
    assert "at least 20" in reason
    outcome = declared.run("evidence")
    (check,) = checks.results(declared.workspace(), "evidence", outcome)
    assert not check.passed
    assert "at least 20" in str(check.description)


def test_a_held_revision_is_named_with_what_releases_it(knowledge: Knowledge) -> None:
    """After a rollback a refresh said that nothing had changed."""
    knowledge.refresh()
    (knowledge.documents / "guide9.md").write_text(guide(9), encoding="utf-8")
    knowledge.refresh()
    held = knowledge.log()[-1].revision
    knowledge.roll_back()
    (notice,) = told(knowledge, "release")
    assert held[:12] in notice
    assert knowledge.log()[-1].revision[:12] in notice
    assert "allow_rolled_back" in notice


def test_what_is_not_parsed_and_not_proven_is_said(knowledge: Knowledge) -> None:
    """Both are easily overlooked on a page."""
    (knowledge.documents / "empty.md").write_text("", encoding="utf-8")
    knowledge.refresh(end="index")
    assert told(knowledge, "documents") == ["1 not parsed, the first: empty.md (empty)"]
    assert "unproven" in " ".join(told(knowledge, "evidence"))


@pytest.mark.parametrize("stage", ["documents", "index", "release"])
def test_a_good_day_says_nothing(knowledge: Knowledge, stage: str) -> None:
    """A warning at every run is read by nobody."""
    knowledge.refresh()
    assert told(knowledge, stage) == []
