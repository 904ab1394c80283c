"""Golden sets with a name: every format, every mistake with its line, stale references told."""

import json
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.core.knowledge_base.golden_declaration import GoldenSetSpec
from platform_pipelines.core.road.leakage import LeakageGuard
from platform_pipelines.core.road.model_questions import guarded
from platform_pipelines.errors import ConfigurationError, IntegrityError, UnknownNameError
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base.golden_set import (
    open_workspace,
    read_named,
    refresh_golden_set,
)
from platform_pipelines.stages.road.asking import load_questions
from platform_pipelines.stages.road.named_golden import open_golden_store, version_key
from platform_pipelines.stages.road.outcome import StageOutcome
from tests.knowledge import golden_lines, new_knowledge

QUOTE = "The quota of pool number 3 is 24 devices"
ROW = {
    "question": "What is the quota of pool number 3?", "answer": "24", "contexts": [QUOTE],
    "ground_truth": "24 devices",
}  # fmt: skip
RAGAS = {
    "user_input": ROW["question"], "reference": "24 devices", "reference_contexts": [QUOTE],
    "response": "anything", "retrieved_contexts": ["x"], "synthesizer_name": "single_hop",
}  # fmt: skip
CSV_ROW = 'question,contexts,ground_truth\n"What is the quota\nof pool number 3?","{}",24 devices\n'


def made(settings: Settings, url: Path, **declared: Any) -> StageOutcome:
    spec = GoldenSetSpec(name="asked", url=url.as_uri(), **declared)
    return refresh_golden_set(open_workspace(spec, settings, run_id="run"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.jsonl", json.dumps(ROW)),
        ("rows.json", json.dumps([ROW], indent=2)),
        ("ragas.jsonl", json.dumps(RAGAS)),
        ("ragas.json", json.dumps([RAGAS])),
        ("python.csv", CSV_ROW.format(f"['{QUOTE}']")),
        ("json.csv", CSV_ROW.format(f'[""{QUOTE}""]')),
        ("plain.csv", CSV_ROW.format(QUOTE)),
    ],
)
def test_every_format_gives_the_same_question(
    tmp_path: Path, settings: Settings, name: str, text: str
) -> None:
    """Teams bring what their last tool wrote; a line break in a cell makes no other question."""
    (tmp_path / name).write_text(text, "utf-8")
    made(settings, tmp_path / name)
    (question,) = read_named(settings, "asked").questions
    assert " ".join(question.question.split()) == ROW["question"]
    assert question.answerable
    assert question.answer == "24 devices"
    assert [(r.document, r.quote) for r in question.references] == [("*", QUOTE)]
    assert question.id.startswith("q-")
    assert question.language == "en"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.jsonl", json.dumps(ROW) + "\n\n{bad\n", "a.jsonl, line 3"),
        ("a.jsonl", json.dumps(ROW) + "\n[1]\n", "a.jsonl, line 2"),
        ("a.jsonl", json.dumps({**ROW, "contxts": 1}), "`contxts` is unknown"),
        ("a.jsonl", json.dumps({**ROW, "contexts": []}), "`references` is empty"),
        ("a.jsonl", json.dumps({**ROW, "contexts": [3]}), "is not a text"),
        ("a.jsonl", json.dumps({**ROW, "state": "maybe"}), "candidate, accepted, rejected"),
        ("a.jsonl", json.dumps(ROW) + "\n" + json.dumps(ROW), "`id` is used twice"),
        ("a.json", json.dumps([ROW, 7], indent=1), "a.json, line 10"),
        ("a.json", '[\n{"question": "x"}\n{', "a.json, line 3"),
        ("a.json", json.dumps(ROW), "is no array"),
        ("a.csv", "question,contexts\nx\n", "a.csv, line 2"),
        ("a.csv", 'question,contexts\n"a\nb",c\nx,"[1, oops("\n', "a.csv, line 4"),
        ("a.csv", 'question,contexts\n"never closed,x\n', "is not CSV"),
        ("a.txt", "nothing", "holds no file of questions"),
    ],
)
def test_a_mistake_is_told_with_its_place(
    tmp_path: Path, settings: Settings, name: str, text: str, told: str
) -> None:
    """A set of a thousand rows is corrected in a minute or not at all."""
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(ConfigurationError) as refused:
        made(settings, tmp_path if name == "a.txt" else tmp_path / name)
    assert told in str(refused.value)


def test_a_folder_is_one_set_and_what_nobody_accepted_is_not_asked(
    tmp_path: Path, settings: Settings
) -> None:
    """Two files, one version, whatever the order; candidates wait for a person."""
    folder = tmp_path / "set"
    (folder / "more").mkdir(parents=True)
    (folder / "own.jsonl").write_text(golden_lines([1], unanswerable=1), "utf-8")
    waiting = {**ROW, "question": "Is it so?", "state": "candidate"}
    refused = {**ROW, "question": "Is it not so?", "state": "rejected"}
    accepted = {**ROW, "state": "accepted"}
    (folder / "more" / "new.json").write_text(json.dumps([waiting, refused, accepted]), "utf-8")
    (folder / "README.md").write_text("how we ask", "utf-8")
    first = made(settings, folder)
    assert dict(first.snapshot.counts) == {
        "questions": 4, "answerable": 3, "unanswerable": 1, "candidates": 1, "rejected": 1,
        "stale": 0,
    }  # fmt: skip
    assert not made(settings, folder).is_changed
    (folder / "more" / "new.json").rename(folder / "a.json")
    assert made(settings, folder).snapshot.shards[0].digest == first.snapshot.shards[0].digest


def test_a_knowledge_base_asks_a_named_set_and_stale_references_are_told(
    tmp_path: Path, settings: Settings
) -> None:
    """Contexts without a document find theirs; a changed number is told, and not scored away."""
    rows = tmp_path / "rows.jsonl"
    lines = [
        {
            "question": f"What is the quota of pool number {n}?", "ground_truth": f"{n * 7 + 3}",
            "contexts": [f"The quota of pool number {n} is {n * 7 + 3} devices"],
        }
        for n in range(6)
    ]  # fmt: skip
    lines[0]["contexts"] = ["Nobody wrote this sentence about anything at all"]
    lines[1]["contexts"] = ["The quota of pool number 1 is 99 devices, approved by committee B1."]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    knowledge = new_knowledge(
        tmp_path / "kb", settings, gate={"golden_set": "golden_set:asked", "minimum_questions": 5}
    )
    knowledge.refresh(end="index")
    with pytest.raises(UnknownNameError, match="asked_golden_set"):
        knowledge.run("evidence")
    outcome = made(settings, rows, knowledge_base=knowledge.name)
    stale = outcome.snapshot.details["stale"]
    assert [one["why"] for one in stale] == ["no document holds it", "lacks now: 99"]
    evidence = knowledge.run("evidence").snapshot
    assert evidence.details["golden_set"] == outcome.snapshot.shards[0].digest
    assert evidence.details["verdict"] == "fail"
    assert any("2 of 6 references" in reason for reason in evidence.details["reasons"])


def test_an_edited_version_is_refused(tmp_path: Path, settings: Settings) -> None:
    """The files that people edit are declared; a version is what was evaluated."""
    (tmp_path / "a.jsonl").write_text(golden_lines([1], unanswerable=0), "utf-8")
    digest = made(settings, tmp_path / "a.jsonl").snapshot.shards[0].digest
    store = open_golden_store(settings, "asked")
    store.put(version_key(digest), golden_lines([2], unanswerable=0).encode())
    with pytest.raises(IntegrityError, match="was changed"):
        read_named(settings, "asked")


def test_its_questions_are_kept_out_of_training(tmp_path: Path, settings: Settings) -> None:
    """A model that has seen the questions is measured by nothing."""
    (tmp_path / "a.jsonl").write_text(golden_lines([1, 2], unanswerable=3), "utf-8")
    made(settings, tmp_path / "a.jsonl")
    questions = load_questions(settings, "golden_set:asked").questions
    assert len(questions) == 4
    guard = LeakageGuard(guarded(questions))
    assert guard.leaks([["What is the quota of pool number 2?"]])
