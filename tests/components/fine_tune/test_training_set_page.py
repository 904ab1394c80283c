"""The page of a training set: what it holds, of whom, and what was kept out of it."""

import json
from pathlib import Path
from typing import Any

from platform_pipelines.components.fine_tune.pages import metadata
from platform_pipelines.stages.fine_tune.training_set import refresh_training_set
from tests.stages.fine_tune.test_training_set import SAMPLES, workspace


def page_of(folder: Path, *more: dict[str, Any]) -> dict[str, Any]:
    """Of the sample's chats and some more."""
    chats = folder / "chats.jsonl"
    lines = [json.dumps(one, ensure_ascii=False) for one in more]
    text = (SAMPLES / "chats.jsonl").read_text(encoding="utf-8")
    chats.write_text(text + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    opened = workspace(folder, chats=chats)
    return metadata(opened, "training_set", refresh_training_set(opened))


def chat(question: str, **more: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": "예"}]
    return {"messages": turns, **more}


def test_the_page_says_whose_rows_they_are_and_what_was_left_out(tmp_path: Path) -> None:
    """Tokens, languages, licences and tenants, duplicates, leaks with their question, bad lines."""
    one = chat("누가 이 풀을 씁니까?", licence="CC-BY-4.0", tenant="acme")
    page = page_of(tmp_path, one, one, {"messages": []})
    said = {name: str(page[name].value) for name in ("rows_by", "leaks", "refused")}
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in said["rows_by"].split("\n")
    ]
    assert ["licences", "CC-BY-4.0", "1"] in rows
    assert ["tenants", "acme", "1"] in rows
    assert any(row[:2] == ["languages", "ko"] for row in rows)
    assert page["duplicates"] == 3  # two of the sample, and this one
    assert page["tokens_estimated"] > 0
    assert page["kept_from_golden_questions"] == 3
    assert "limit-05" in said["leaks"]
    assert "no `messages`" in said["refused"]
    assert page["train"] + page["validation"] == page["dagster/row_count"] == 71
