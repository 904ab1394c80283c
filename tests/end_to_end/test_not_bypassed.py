"""Eight ways around the gate, tried on a release that is proven and signed: none succeeds."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from platform_pipelines.errors import GateFailedError, IntegrityError, PlatformError
from platform_pipelines.settings import Secret
from platform_pipelines.stages.knowledge_base.gating import gate_now
from platform_pipelines.stages.knowledge_base.stored_evidence import read_evidence
from platform_pipelines.stages.road.evidence import evidence_key
from platform_pipelines.stages.road.signatures import sign_evidence, signature_key
from tests.end_to_end.test_gate_holds import GATE, GUIDES, edit_head, head_evidence, refused
from tests.knowledge import (
    Knowledge,
    copied,
    golden_lines,
    guide,
    new_knowledge,
    settings_under,
)

pytestmark = pytest.mark.end_to_end
KEY, STRANGERS_KEY = Secret("11" * 32), Secret("22" * 32)


def proven(folder: Path, lite_uri: str) -> Knowledge:
    """Twelve guides released on signed evidence, and a candidate whose signed evidence passes."""
    (folder / "golden.jsonl").write_text(golden_lines(GUIDES), encoding="utf-8")
    settings = settings_under(folder / "home", lite_uri, lease_wait_seconds=30)
    signed = replace(settings, signing_key=KEY)
    knowledge = new_knowledge(folder, signed, guides=GUIDES, gate=GATE)
    knowledge.refresh()
    (knowledge.documents / "guide30.md").write_text(guide(30), encoding="utf-8")
    outcomes = knowledge.refresh(end="evidence")
    assert outcomes["evidence"].snapshot.details["verdict"] == "pass"
    return knowledge


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, lite_uri: str) -> Knowledge:
    """One for all attacks that leave its collections alone."""
    return proven(tmp_path_factory.mktemp("signed"), lite_uri)


@pytest.fixture
def candidate(made: Knowledge, tmp_path: Path) -> Knowledge:
    """A copy of it to attack."""
    return copied(made, tmp_path)


def releases_alone_after_a_failed_check(knowledge: Knowledge) -> Knowledge:
    for number in range(0, 12, 2):
        (knowledge.documents / f"guide{number}.md").unlink()
    knowledge.refresh(end="evidence")
    return knowledge


def edits_the_report(knowledge: Knowledge) -> Knowledge:
    key = evidence_key(head_evidence(knowledge))
    text = knowledge.store.get(key)[0].decode()
    knowledge.store.put(key, re.sub(r'"ndcg":[0-9.]+', '"ndcg":1.0', text).encode() + b" ")
    record = json.loads(text)
    record["samples"] = 1
    knowledge.store.put(key, json.dumps(record).encode())
    return knowledge


def edits_the_verdict(knowledge: Knowledge) -> Knowledge:
    releases_alone_after_a_failed_check(knowledge)
    edit_head(knowledge, verdict="pass", proven=True, reasons=[])
    return knowledge


def names_a_foreign_digest(knowledge: Knowledge) -> Knowledge:
    edit_head(knowledge, evidence=knowledge.log()[-1].evidence_digest)
    return knowledge


def changes_the_golden_set(knowledge: Knowledge) -> Knowledge:
    path = knowledge.folder / "golden.jsonl"
    path.write_text(golden_lines(GUIDES).replace("Siena", "Pisa"), encoding="utf-8")
    return knowledge


def brings_an_outdated_report(knowledge: Knowledge) -> Knowledge:
    (knowledge.documents / "guide31.md").write_text(guide(31), encoding="utf-8")
    knowledge.refresh(end="index")
    return knowledge


def brings_a_report_of_another_chain(knowledge: Knowledge) -> Knowledge:
    chained = knowledge.declared(answer={"model": "m", "url": "http://127.0.0.1:9/v1", "mmr": True})
    chained.refresh(end="index")
    return chained


def forges_a_whole_report(knowledge: Knowledge) -> Knowledge:
    """Whole and self-consistent, named by the head, and signed with a stranger's key."""
    evidence = read_evidence(knowledge.store, head_evidence(knowledge))
    assert evidence is not None
    forged = replace(evidence, facts={**evidence.facts, "note": "better"})
    digest = forged.digest
    knowledge.store.put(evidence_key(digest), forged.to_json().encode())
    stranger = replace(knowledge.settings, signing_key=STRANGERS_KEY)
    sign_evidence(stranger, knowledge.store, digest)
    edit_head(knowledge, evidence=digest)
    return knowledge


ATTEMPTS: list[tuple[Callable[[Knowledge], Knowledge], type[PlatformError], str]] = [
    (releases_alone_after_a_failed_check, GateFailedError, "fail"),
    (edits_the_report, IntegrityError, "not what its digest says"),
    (edits_the_verdict, GateFailedError, "fail"),
    (names_a_foreign_digest, GateFailedError, "foreign_revision"),
    (changes_the_golden_set, GateFailedError, "foreign_golden_set"),
    (brings_an_outdated_report, GateFailedError, "foreign_revision"),
    (brings_a_report_of_another_chain, GateFailedError, "foreign_revision"),
    (forges_a_whole_report, IntegrityError, "not signed by a configured key"),
]


@pytest.mark.parametrize(
    ("attempt", "error", "told"), ATTEMPTS, ids=lambda v: getattr(v, "__name__", "")
)
def test_no_way_leads_around_the_gate(
    candidate: Knowledge,
    attempt: Callable[[Knowledge], Knowledge],
    error: type[PlatformError],
    told: str,
) -> None:
    """What is live stays, the log and the alias too, and the refusal says why."""
    refused(attempt(candidate), error, told)


def test_signed_evidence_passes_and_an_unsigned_one_is_made_again(
    tmp_path: Path, lite_uri: str
) -> None:
    """A key that is configured later, or a lost signature: evaluate again, never sign unread.

    It searches its candidate: no attack of another test may have taken that for a spare.
    """
    candidate = proven(tmp_path, lite_uri)
    assert str(gate_now(candidate.settings, candidate.name).verdict.status) == "pass"
    digest = head_evidence(candidate)
    candidate.store.delete([signature_key(digest)])
    with pytest.raises(IntegrityError, match="not signed"):
        gate_now(candidate.settings, candidate.name)
    refused(candidate, IntegrityError, "not signed")
    assert candidate.run("evidence").is_changed
    assert str(gate_now(candidate.settings, candidate.name).verdict.status) == "pass"
