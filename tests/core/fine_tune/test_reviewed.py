"""Reviewed rows: only what a person accepted is learnt."""

import json
from typing import Any

from platform_pipelines.core.fine_tune.reviewed import parse_reviewed
from platform_pipelines.core.fine_tune.training_rows import Refused
from platform_pipelines.core.knowledge_base.feedback import Feedback, golden_candidates


def candidate(question: str, answer: str = "") -> dict[str, Any]:
    """As `platform-pipelines feedback` writes it."""
    said = Feedback("blue", "r1", "2026-11-27", "t1", -1, question, answer, "")
    return golden_candidates([said])[0]


def read(*rows: dict[str, Any]):
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    return parse_reviewed(text, place="f", tenant="default")


def test_what_nobody_accepted_is_not_learnt() -> None:
    """A golden set takes silence for acceptance; training does not."""
    silent = {k: v for k, v in candidate("a?", "a").items() if k != "state"}
    rows, refused = read(
        candidate("b?", "b"), silent, {**candidate("c?", "c"), "state": "rejected"},
        {**candidate("d?", "d"), "state": "accepted"},
    )  # fmt: skip
    assert [(r.question, r.answer, r.tenant) for r in rows] == [("d?", "d", "blue")]
    assert [one.reason.rpartition(" is ")[2] for one in refused] == [
        "candidate", "not said", "rejected"
    ]  # fmt: skip


def test_an_accepted_row_is_a_chat_or_a_pair_by_what_it_has() -> None:
    """An answer is a chat; what is quoted is the passage, else the answer is."""
    quoted = {"references": [{"document": "a.md", "quote": "the very words"}]}
    rows, _ = read(
        {**candidate("a?", "yes"), "state": "accepted"},
        {**candidate("b?", "yes"), **quoted, "state": "accepted"},
        {**candidate("c?"), "state": "accepted"},
    )
    chats = [one.chat(licence="L") for one in rows]
    pairs = [one.pair(licence="L") for one in rows]
    assert [one.reason if isinstance(one, Refused) else one.turns[-1] for one in chats] == [
        ("assistant", "yes"), ("assistant", "yes"), "accepted, but it has no answer"
    ]  # fmt: skip
    assert [one.reason if isinstance(one, Refused) else one.positive for one in pairs] == [
        "yes", "the very words", "accepted, but it quotes nothing and has no answer"
    ]  # fmt: skip
