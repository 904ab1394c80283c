"""Documents inside documents, and lists of who speaks: rows of their own, kept and renewed."""

import json
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.core.knowledge_base.documents import blocks_from_json
from platform_pipelines.stages.knowledge_base.tables import read_table
from tests.knowledge import Knowledge


def rows(knowledge: Knowledge) -> dict[str, dict[str, Any]]:
    """The rows of `documents` by key."""
    head, _ = knowledge.workspace().head("documents")
    assert head is not None
    tables = (read_table(knowledge.store, shard.path) for shard in head.shards)
    return {row["key"]: row for table in tables for row in table.to_pylist()}


def words(row: dict[str, Any]) -> str:
    return "\n".join(block.text for block in blocks_from_json(row["blocks"]))


def mail(subject: str, body: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = "hana@example.com", "ops@example.com"
    message["Subject"], message["Message-ID"] = subject, f"<{subject}@example.com>"
    message.set_content(body)
    return message


def outer_mail() -> EmailMessage:
    """A mail with a report, a program, two files of one name, and a mail that has a file itself."""
    message = mail("Quarter", "See the files.")
    message.add_attachment("# Report\n\nSales rose by 7.\n", subtype="markdown", filename="r.md")
    message.add_attachment(b"MZ\x90\0", maintype="application", subtype="x", filename="a.exe")
    for text in ("first page", "second page"):
        message.add_attachment(text, filename="page.txt")
    inner = mail("Old", "The forwarded words.")
    inner.add_attachment("name,age\nkim,30\n", subtype="csv", filename="list.csv")
    message.add_attachment(inner)
    return message


def test_attachments_are_documents_of_their_own(knowledge: Knowledge) -> None:
    """What is cited is the report in the mail, not the mail; a forwarded mail's words were lost."""
    path = knowledge.documents / "post" / "q.eml"
    path.parent.mkdir()
    path.write_bytes(bytes(outer_mail()))
    outcome = knowledge.run("documents")
    found = rows(knowledge)
    inside = {key for key in found if key.startswith("post/q.eml!/")}
    assert inside == {
        f"post/q.eml!/{name}"
        for name in (
            "r.md", "a.exe", "page.txt", "page (2).txt", "Old.eml", "Old.eml!/list.csv"
        )
    }  # fmt: skip
    assert "Sales rose by 7" in words(found["post/q.eml!/r.md"])
    assert "Sales rose" not in words(found["post/q.eml"])
    assert "forwarded words" in words(found["post/q.eml!/Old.eml"])
    assert words(found["post/q.eml!/Old.eml!/list.csv"]) == "name: kim | age: 30"
    assert found["post/q.eml!/r.md"]["type"] == "markdown"
    assert [q["key"] for q in outcome.snapshot.details["quarantine"]] == ["post/q.eml!/a.exe"]
    assert not knowledge.run("documents").is_changed


def test_attachments_go_with_their_mail_and_stay_with_it(knowledge: Knowledge) -> None:
    """A neighbour that changed neither drops nor reads them; a mail that is deleted takes them."""
    knowledge = knowledge.declared(source={"url": "documents", "shards": 1})
    path = knowledge.documents / "q.eml"
    path.write_bytes(bytes(outer_mail()))
    knowledge.run("documents")
    before = rows(knowledge)
    (knowledge.documents / "guide1.md").write_text("# New\n\nOther words.\n", encoding="utf-8")
    outcome = knowledge.run("documents")
    assert outcome.changes["read_again"] == 1
    assert {k: v for k, v in rows(knowledge).items() if k.startswith("q.eml")} == {
        k: v for k, v in before.items() if k.startswith("q.eml")
    }
    path.unlink()
    knowledge.run("documents")
    assert not any(key.startswith("q.eml") for key in rows(knowledge))


def test_an_object_that_is_called_like_an_attachment_is_not_lost(knowledge: Knowledge) -> None:
    """Both stand, under two keys."""
    (knowledge.documents / "q.eml").write_bytes(bytes(outer_mail()))
    folder = knowledge.documents / "q.eml!"
    folder.mkdir()
    (folder / "r.md").write_text("# Mine\n\nNot attached.\n", encoding="utf-8")
    knowledge.run("documents")
    found = rows(knowledge)
    assert "Not attached" in words(found["q.eml!/r.md"])
    assert "Sales rose" in words(found["q.eml!/r.md (2)"])
    assert not knowledge.run("documents").is_changed


def slack(folder: Path, name: str) -> None:
    people = [
        {"id": "U1", "name": "hseo", "profile": {"real_name": name}},
        {"id": "U2", "name": "deploybot", "is_bot": True, "profile": {"bot_id": "B9"}},
    ]
    messages = [
        {"type": "message", "user": "U1", "ts": "1767258000.000100", "text": "R&amp;D is down"},
        {"type": "message", "user": "B9", "ts": "1767258001.000100", "text": "ask <@U1>"},
    ]
    (folder / "general").mkdir(parents=True, exist_ok=True)
    (folder / "users.json").write_text(json.dumps(people), encoding="utf-8")
    (folder / "general" / "2026-01-01.json").write_text(json.dumps(messages), encoding="utf-8")


@pytest.mark.parametrize("shards", [1, 7])
def test_a_slack_export_names_its_people_by_its_list(knowledge: Knowledge, shards: int) -> None:
    """`users.json` stands above the channels: without it everybody was `U1`. A name that changes
    there changes here, though the channel's file did not.
    """
    knowledge = knowledge.declared(source={"url": "documents", "shards": shards})
    slack(knowledge.documents / "slack", "서하나")
    knowledge.run("documents")
    day = "slack/general/2026-01-01.json"
    blocks = blocks_from_json(rows(knowledge)[day]["blocks"])
    assert [b.place.speaker for b in blocks] == ["서하나", "deploybot"]
    assert [b.text for b in blocks] == ["R&D is down", "ask @서하나"]
    assert not knowledge.run("documents").is_changed
    slack(knowledge.documents / "slack", "서하늘")
    assert knowledge.run("documents").is_changed
    blocks = blocks_from_json(rows(knowledge)[day]["blocks"])
    assert [b.place.speaker for b in blocks] == ["서하늘", "deploybot"]
    assert not knowledge.run("documents").is_changed


def test_a_list_that_is_none_names_nobody(knowledge: Knowledge) -> None:
    """Any program may write a `users.json`."""
    slack(knowledge.documents / "a", "x")
    (knowledge.documents / "a" / "users.json").write_text('{"users": 3}', encoding="utf-8")
    knowledge.run("documents")
    blocks = blocks_from_json(rows(knowledge)["a/general/2026-01-01.json"]["blocks"])
    assert [b.place.speaker for b in blocks] == ["U1", "B9"]
