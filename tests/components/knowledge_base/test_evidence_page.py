"""The evidence page: which rules a verdict was made with, and which golden quotes are stale."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.components.knowledge_base import checks, pages
from platform_pipelines.components.knowledge_base.verdicts import is_by_declared_rules
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base.gate_rules import declared_rules
from platform_pipelines.stages.road.outcome import StageOutcome
from tests.knowledge import Knowledge, golden_lines, guide, new_knowledge, settings_under

GUIDES = range(10)
GATE: dict[str, Any] = {"golden_set": "golden.jsonl", "floors": {"hit_at_k": 0.25}}
STRICTER: dict[str, Any] = {**GATE, "floors": {"mrr": 0.999}, "minimum_questions": 21}


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory, lite_uri: str) -> Knowledge:
    """Ten guides, released under a low floor; tests must not release again."""
    folder = tmp_path_factory.mktemp("evidence_page")
    settings = settings_under(folder / "home", lite_uri)
    kb = folder / "kb"
    kb.mkdir()
    vague = golden_lines(GUIDES).replace("What is the quota of pool number 3", "What is it")
    (kb / "golden.jsonl").write_text(vague, encoding="utf-8")
    knowledge = new_knowledge(kb, settings, guides=GUIDES, gate=GATE)
    knowledge.refresh()
    return knowledge


def page_of(knowledge: Knowledge, outcome: StageOutcome) -> Mapping[str, Any]:
    return pages.metadata(knowledge.workspace(), "evidence", outcome)


def verdict(knowledge: Knowledge, outcome: StageOutcome) -> str:
    return str(page_of(knowledge, outcome)["verdict"].value)


def gate_check(knowledge: Knowledge, outcome: StageOutcome) -> Mapping[str, Any]:
    (check,) = checks.results(knowledge.workspace(), "evidence", outcome)
    return {name: value.value for name, value in check.metadata.items()}


def test_a_verdict_is_shown_with_its_rules(released: Knowledge) -> None:
    """`pass` means nothing without the floors."""
    outcome = released.run("evidence")
    text = verdict(released, outcome)
    assert text.startswith("**pass**")
    rules = "- hit_at_k ≥ 0.25\n- `max_removed` 0.2\n- `max_unread` 1\n- `minimum_effect` 0.02"
    assert f"Made with the declared rules:\n\n{rules}" in text
    assert gate_check(released, outcome)["rules"] == "as declared"
    assert "stale_quotes" not in page_of(released, outcome)


def test_a_verdict_of_old_rules_is_not_claimed_for_new_ones(released: Knowledge) -> None:
    """The live revision is not judged again, and its page said `pass` beside floors it fails."""
    stricter = released.declared(gate=STRICTER)
    outcome = stricter.run("evidence")
    assert not outcome.is_changed
    old = {**declared_rules(released.workspace()), "floors": {"hit_at_k": 0.25}}
    recorded = replace(outcome.snapshot, details={**outcome.snapshot.details, "rules": old})
    for snapshot in (outcome.snapshot, recorded):
        assert not is_by_declared_rules(stricter.workspace(), snapshot)
        assert is_by_declared_rules(released.workspace(), snapshot)
    text = verdict(stricter, replace(outcome, snapshot=recorded))
    live, declared = "- hit_at_k ≥ 0.25\n", "- mrr ≥ 0.999\n"
    assert f"**rules of its time**; it is live, and is not judged again:\n\n{live}" in text
    assert f"other rules now, for the next revision:\n\n{declared}" in text
    assert "Under them the same evidence is **fail**" in text
    assert "the floor is 0.999" in text
    assert "declared now" in gate_check(stricter, outcome)["rules"]


def test_a_quote_whose_number_has_changed_is_counted_and_listed(
    tmp_path: Path, settings: Settings
) -> None:
    """The handbook says 45 minutes, the golden set 30: every answer is right, and counted wrong."""
    kb = tmp_path / "kb"
    kb.mkdir()
    (kb / "golden.jsonl").write_text(golden_lines(GUIDES), encoding="utf-8")
    knowledge = new_knowledge(kb, settings, guides=GUIDES, gate=GATE)
    changed = guide(3).replace("is 24 devices", "is 4000 devices")
    assert changed != guide(3)
    (knowledge.documents / "guide3.md").write_text(changed, encoding="utf-8")
    outcome = knowledge.refresh(end="evidence")["evidence"]
    page = page_of(knowledge, outcome)
    listed = str(page["stale_quotes"].value)
    assert "| en-3 | 1 of 1 | guide3.md: The quota of pool number 3 is 24 devices |" in listed
    assert "| ko-3 |" not in listed
    assert "1 of 20 references" in verdict(knowledge, outcome)
