"""What is live changes only on evidence: good, present, finite, untouched, about this revision."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from platform_pipelines.components.knowledge_base import pages
from platform_pipelines.errors import (
    ConfigurationError,
    EvidenceError,
    GateFailedError,
    IntegrityError,
    PlatformError,
    SourceNotFoundError,
)
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base import evidence as evidence_stage
from platform_pipelines.stages.knowledge_base.stored_evidence import read_evidence
from platform_pipelines.stages.road.evidence import evidence_key
from platform_pipelines.stages.road.workspace import head_key
from tests.knowledge import (
    Knowledge,
    copied,
    golden_lines,
    guide,
    new_knowledge,
    settings_under,
)

pytestmark = pytest.mark.end_to_end
GUIDES = range(12)
GATE = {"golden_set": "golden.jsonl", "floors": {"hit_at_k": 0.8, "mrr": 0.5}}


@pytest.fixture(scope="module")
def module_settings(tmp_path_factory: pytest.TempPathFactory, lite_uri: str) -> Settings:
    home = tmp_path_factory.mktemp("gate") / "home"
    return settings_under(home, lite_uri, lease_wait_seconds=30)


@pytest.fixture(scope="module")
def proven_once(tmp_path_factory: pytest.TempPathFactory, module_settings: Settings) -> Knowledge:
    """Twelve guides, released on a golden set of 24 answerable questions."""
    folder = tmp_path_factory.mktemp("proven")
    (folder / "golden.jsonl").write_text(golden_lines(GUIDES), encoding="utf-8")
    made = new_knowledge(folder, module_settings, guides=GUIDES, gate=GATE)
    outcomes = made.refresh()
    assert outcomes["evidence"].snapshot.details["proven"] is True
    return made


@pytest.fixture
def proven(proven_once: Knowledge, tmp_path: Path) -> Knowledge:
    """A copy of it to change."""
    return copied(proven_once, tmp_path)


@pytest.fixture
def judged(knowledge: Knowledge) -> Knowledge:
    """A release, and a second candidate whose evidence passes and that is not released yet."""
    knowledge.refresh()
    (knowledge.documents / "guide8.md").write_text(guide(8), encoding="utf-8")
    outcomes = knowledge.refresh(end="evidence")
    assert outcomes["evidence"].snapshot.details["verdict"] == "pass"
    return knowledge


def refused(knowledge: Knowledge, error: type[PlatformError], *words: str) -> str:
    """Whatever is asked of `release` now, what is live stays; how it refused."""
    live, entries = knowledge.log()[-1], knowledge.log()
    with pytest.raises(error) as caught:
        knowledge.run("release")
    assert knowledge.log() == entries
    with knowledge.vectors() as store:
        assert store.alias(f"kb_{knowledge.name}") == live.target
    said = str(caught.value)
    assert [word for word in words if word not in said] == []
    return said


def edit_head(knowledge: Knowledge, **details: object) -> None:
    """Change what the head of `evidence` says; well made, as somebody who knows how could."""
    workspace = knowledge.workspace()
    head, version = workspace.head("evidence")
    assert head is not None
    workspace.move_head(replace(head, details={**head.details, **details}), version)


def head_evidence(knowledge: Knowledge) -> str:
    head, _ = knowledge.workspace().head("evidence")
    assert head is not None
    return str(head.details["evidence"])


def test_the_page_shows_what_the_verdict_rests_on(proven: Knowledge) -> None:
    """Slices, ranks, what was missed and both errors of `I do not know`, as tables and pictures."""
    outcome = proven.run("evidence")
    assert not outcome.is_changed
    page = pages.metadata(proven.workspace(), "evidence", outcome)
    assert str(page["verdict"].value).startswith("**pass**")
    slices = str(page["metrics_of_all_slices"].value)
    assert "| language=ko | 12 |" in slices
    assert "| document_type=markdown | 24 |" in slices
    assert "first_relevant_at_rank" in page
    assert str(page["first_relevant_picture"].value).startswith("![")
    errors = str(page["i_do_not_know"].value)
    assert "| error | share | 95 % |" in errors
    assert re.search(r"\| false answers \| \d of 8, \d+% \| \d+–\d+% \|", errors)
    assert page["golden_set"] == outcome.snapshot.details["golden_set"]


def test_a_corpus_that_lost_what_is_asked_for_is_not_released(proven: Knowledge) -> None:
    """Half of the documents vanish from a bucket: readers keep the revision that answers."""
    for number in range(0, 12, 2):
        (proven.documents / f"guide{number}.md").unlink()
    outcomes = proven.refresh(end="evidence")
    details = outcomes["evidence"].snapshot.details
    assert details["verdict"] == "fail"
    assert details["baseline"] == proven.log()[-1].revision
    refused(proven, GateFailedError, "fail", "stays live")
    assert proven.found("What is the quota of pool number 4?")[0] == "guide4.md"


def test_a_terrible_chunk_policy_is_not_released(proven: Knowledge) -> None:
    """Chunks of a few letters hold no answer: the quotes are found nowhere."""
    worse = proven.declared(chunk={"default": {"kind": "fixed", "size": 40, "overlap": 0}})
    outcomes = worse.refresh(end="evidence")
    assert outcomes["evidence"].snapshot.details["verdict"] in {"fail", "undecided"}
    refused(worse, GateFailedError)


def test_an_edited_golden_set_makes_the_evidence_foreign(proven: Knowledge) -> None:
    """Evidence on yesterday's questions says nothing about today's."""
    (proven.documents / "guide30.md").write_text(guide(30), encoding="utf-8")
    proven.refresh(end="index")
    stale = proven.run("evidence")
    assert stale.snapshot.details["verdict"] == "pass"
    lines = golden_lines(GUIDES).replace("Siena", "Pisa")
    (proven.folder / "golden.jsonl").write_text(lines, encoding="utf-8")
    refused(proven, GateFailedError, "foreign_golden_set")


def test_evidence_with_another_k_does_not_release(proven: Knowledge) -> None:
    """Ten chunks held the answer; a stricter declaration asks whether one does."""
    (proven.documents / "guide30.md").write_text(guide(30), encoding="utf-8")
    assert proven.refresh(end="evidence")["evidence"].snapshot.details["verdict"] == "pass"
    refused(proven.declared(gate={**GATE, "k": 1}), GateFailedError, "foreign_conditions")


def test_evidence_of_another_way_to_evaluate_does_not_release(
    judged: Knowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new version of the product may measure otherwise: yesterday's pass is stale.

    The evidence itself says how it was made; what the head says of it does not matter.
    """
    monkeypatch.setattr(evidence_stage, "EVALUATION_VERSION", "a later one")
    refused(judged, GateFailedError, "foreign_conditions", "evaluation = ")


@pytest.mark.parametrize("name", ["my golden.jsonl", "황금.jsonl", "a#b.jsonl", "100%.jsonl"])
def test_a_golden_set_may_have_any_file_name(judged: Knowledge, name: str) -> None:
    """The path becomes a URL, and has to come back from it."""
    (judged.folder / name).write_text(golden_lines(GUIDES), encoding="utf-8")
    declared = judged.declared(gate={"golden_set": name})
    assert declared.run("evidence").snapshot.counts["questions"] == 2 * len(GUIDES)


def test_evidence_that_was_deleted_is_made_again(judged: Knowledge) -> None:
    """A damaged file is to be deleted, says its error; `release` then asked for ever."""
    judged.store.delete([evidence_key(head_evidence(judged))])
    assert judged.run("evidence").is_changed
    assert judged.run("release").snapshot.details["status"] == "released"


def test_a_score_that_is_not_finite_never_passes(proven: Knowledge) -> None:
    """`not score < floor` passes on NaN; ours must not, in whatever way the NaN came in."""
    (proven.documents / "guide30.md").write_text(guide(30), encoding="utf-8")
    proven.refresh(end="evidence")
    evidence = read_evidence(proven.store, head_evidence(proven))
    assert evidence is not None
    text = re.sub(r'"ndcg":[0-9.]+', '"ndcg":NaN', evidence.to_json(), count=1)
    assert "NaN" in text
    proven.store.put(evidence_key(evidence.digest), text.encode())
    refused(proven, IntegrityError)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"id": "a"', ["JSON", "line 1"]),
        ('{"id": "a", "language": "en", "question": "Q?", "answerable": "yes"}', ["answerable"]),
        ('{"id": "a", "language": "en", "question": "Q?", "answerable": true}', ["references"]),
        ("", ["no question"]),
    ],
)
def test_a_malformed_golden_set_stops_before_the_gate(
    judged: Knowledge, line: str, words: list[str]
) -> None:
    """No golden set and a broken one are different things: a broken one never counts as none."""
    (judged.folder / "golden.jsonl").write_text(line + "\n", encoding="utf-8")
    declared = judged.declared(gate={"golden_set": "golden.jsonl"})
    with pytest.raises(ConfigurationError) as caught:
        declared.run("evidence")
    assert [word for word in words if word not in str(caught.value)] == []
    refused(declared, ConfigurationError)


def test_a_golden_set_that_is_not_there_stops_before_the_gate(judged: Knowledge) -> None:
    """A misspelt name must not turn the gate into the label-free one."""
    declared = judged.declared(gate={"golden_set": "gone.jsonl"})
    with pytest.raises(SourceNotFoundError, match=r"gone\.jsonl"):
        declared.run("evidence")
    refused(declared, SourceNotFoundError)


def test_missing_evidence_is_undecided(judged: Knowledge) -> None:
    """A file that vanished is no pass."""
    judged.store.delete([evidence_key(head_evidence(judged))])
    refused(judged, GateFailedError, "undecided")


def test_no_evidence_at_all_is_an_error(judged: Knowledge) -> None:
    """The head of the stage vanished."""
    judged.store.delete([head_key("evidence")])
    refused(judged, EvidenceError)


def test_changed_evidence_is_noticed(judged: Knowledge) -> None:
    """A share edited on disk is not what its digest says."""
    key = evidence_key(head_evidence(judged))
    data, _ = judged.store.get(key)
    record = json.loads(data)
    record["facts"]["sample"] = {"sampled": 64, "own_at_1": 64, "own_at_k": 64}
    judged.store.put(key, json.dumps(record).encode())
    refused(judged, IntegrityError, "not what its digest says")


def test_evidence_that_was_exchanged_is_noticed(judged: Knowledge) -> None:
    """Whole, sound and self-consistent, but not what the head names."""
    digest = head_evidence(judged)
    evidence = read_evidence(judged.store, digest)
    assert evidence is not None
    sample = {"sampled": 64, "own_at_1": 64, "own_at_k": 64}
    other = replace(evidence, facts={**evidence.facts, "sample": sample})
    judged.store.put(evidence_key(digest), other.to_json().encode())
    refused(judged, IntegrityError, "other evidence")


def test_a_half_written_evidence_file_is_noticed(judged: Knowledge) -> None:
    """Cut off in the middle, or replaced by something that is no JSON."""
    key = evidence_key(head_evidence(judged))
    data, _ = judged.store.get(key)
    judged.store.put(key, data[: len(data) // 2])
    refused(judged, IntegrityError)


def test_evidence_about_another_revision_is_foreign(judged: Knowledge) -> None:
    """The live revision's own, perfectly good evidence says nothing about the candidate."""
    edit_head(judged, evidence=judged.log()[-1].evidence_digest)
    refused(judged, GateFailedError, "foreign_revision")


def test_evidence_against_another_baseline_is_foreign(judged: Knowledge) -> None:
    """It was better than what was live then; what is live now was never compared."""
    stale = head_evidence(judged)
    judged.run("release")
    (judged.documents / "guide9.md").write_text(guide(9), encoding="utf-8")
    judged.refresh(end="evidence")
    edit_head(judged, evidence=stale)
    refused(judged, GateFailedError, "foreign_revision", "foreign_baseline")


def test_a_head_that_says_pass_does_not_release(
    make_knowledge: Callable[..., Knowledge],
) -> None:
    """`release` judges the evidence again; what the head or the page says is for people."""
    knowledge = make_knowledge()
    knowledge.refresh()
    stricter = knowledge.declared(gate={"own_document_floor": 1.0, "k": 1})
    shutil.rmtree(stricter.documents)
    stricter.documents.mkdir()
    for number in range(6):  # what is asked of one, its first words, stands in all of them
        path = stricter.documents / f"guide{number}.md"
        rule = f"Every operator of this platform must read rule {number + 1}000 before a shift."
        path.write_text(f"# Rules\n\n{rule}\n", encoding="utf-8")
    outcomes = stricter.refresh(end="evidence")
    assert outcomes["evidence"].snapshot.details["verdict"] == "fail"
    edit_head(stricter, verdict="pass", proven=True, reasons=[])
    refused(stricter, GateFailedError, "own_document")


def test_an_index_that_lost_rows_fails(judged: Knowledge) -> None:
    """Counts must reconcile: a search that finds its documents may still lack others."""
    (judged.documents / "guide9.md").write_text(guide(9), encoding="utf-8")
    outcomes = judged.refresh(end="index")
    collection = outcomes["index"].snapshot.details["collection"]
    with judged.vectors() as store:
        lost = next(iter(store.chunk_ids(collection)))
    with judged.behind() as client:
        client.delete(collection, ids=[lost])
        client.flush(collection)
    details = judged.run("evidence").snapshot.details
    assert details["verdict"] == "fail"
    assert any("counts" in reason for reason in details["reasons"])
    refused(judged, GateFailedError, "counts")


def test_without_a_golden_set_it_passes_and_says_that_answers_are_unproven(
    knowledge: Knowledge,
) -> None:
    """A newcomer's first folder is released, and its page says how to prove it."""
    outcomes = knowledge.refresh()
    details = outcomes["evidence"].snapshot.details
    assert (details["verdict"], details["proven"]) == ("pass", False)
    page = pages.metadata(knowledge.workspace(), "evidence", outcomes["evidence"])
    shown = str(page["verdict"].value)
    assert "unproven" in shown
    assert "gate.golden_set" in shown


def test_a_golden_set_that_is_added_later_is_asked_without_a_new_release(
    knowledge: Knowledge,
) -> None:
    """The live revision becomes a proven one, and `ask` gets its threshold."""
    knowledge.refresh()
    (knowledge.folder / "golden.jsonl").write_text(golden_lines(range(6)), encoding="utf-8")
    proven = knowledge.declared(gate={"golden_set": "golden.jsonl", "minimum_questions": 12})
    outcomes = proven.refresh()
    assert outcomes["evidence"].is_changed
    assert outcomes["evidence"].snapshot.details["proven"] is True
    assert len(proven.log()) == 1
    assert not proven.run("evidence").is_changed
