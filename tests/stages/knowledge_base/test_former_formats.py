"""Every record that a former version wrote is read, verified, and refused where it is damaged."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from platform_pipelines.core.knowledge_base.evidence import (
    calibration_of,
    counts_of,
    k_of,
    references_of,
    sample_of,
    upgrade_evidence,
)
from platform_pipelines.core.knowledge_base.revision import revision_from_json
from platform_pipelines.core.road.evidence import evidence_from_json
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.releases import Action, entry_from_record, verify_chain
from platform_pipelines.core.road.snapshot import snapshot_from_json
from platform_pipelines.errors import IntegrityError
from platform_pipelines.gateways import lease_record
from tests.formats import FORMATS, NAME, changed, records

Reader = Callable[[bytes], Any]


def read_head(data: bytes) -> Any:
    return snapshot_from_json(data, where="w")


def read_revision(data: bytes) -> Any:
    return revision_from_json(data, where="w")


def read_evidence(data: bytes) -> Any:
    return evidence_from_json(data, where="w", upgrade=upgrade_evidence)


def read_entry(data: bytes) -> Any:
    return entry_from_record(json.loads(data)["entry"], where="w")


def read_lease(data: bytes) -> Any:
    return lease_record.decode(data, where="w")


READERS: dict[str, Reader] = {
    "heads": read_head,
    "revisions": read_revision,
    "evidence": read_evidence,
    "releases": read_entry,
    "leases": read_lease,
}
DIGESTED = [folder for folder in READERS if folder not in {"releases", "leases"}]
ALL = [
    pytest.param(folder, key, id=key)
    for number in FORMATS
    for folder in READERS
    for key in records(folder, number)
]


@pytest.mark.parametrize(("folder", "key"), ALL)
def test_a_record_is_read_under_the_digest_that_it_was_written_with(folder: str, key: str) -> None:
    """It is named by its digest elsewhere: in the release log, in a file's name, in a head."""
    data = records(folder)[key]
    record = json.loads(data)
    found = READERS[folder](data)
    if folder == "leases":
        assert (found.holder, found.host, found.released) == ("tester", "machine/boot", True)
        return
    assert found.digest == record["digest"]
    if folder != "releases":
        assert key.removesuffix(".json").rpartition("/")[2] in {found.digest, record.get("stage")}


@pytest.mark.parametrize("folder", ["heads", "revisions", "evidence"])
def test_a_record_that_is_written_again_is_what_it_was(folder: str) -> None:
    """Nothing is upgraded on disk: an older reader, and every digest of it, still agrees."""
    for data in records(folder).values():
        again = json.loads(READERS[folder](data).to_json())
        again.pop("record_digest", None)
        record = json.loads(data)
        record.pop("record_digest", None)
        assert again == record


def test_what_was_released_is_read_as_it_was_meant() -> None:
    """A release, a second one, and a rollback to the first: targets were called collections."""
    entries = [read_entry(data) for data in records("releases").values()]
    verify_chain(entries, name=NAME)
    assert [e.action for e in entries] == [Action.RELEASE, Action.RELEASE, Action.ROLLBACK]
    first, second, back = entries
    assert (
        back.target == first.target == second.previous_target == f"kb_guides__{back.revision[:16]}"
    )
    assert back.previous_target == second.target


def test_a_revision_has_the_recipe_that_its_declaration_had() -> None:
    """It is searched by it: the tenant, the shards, the embedder with its dimension."""
    for data in records("revisions").values():
        recipe = read_revision(data).recipe
        assert (recipe.tenant, recipe.shards) == ("default", 2)
        assert (recipe.embed.provider, recipe.embed.dimension) == ("hash", 64)


def test_evidence_of_the_first_schema_keeps_its_figures() -> None:
    """The page of what is live shows them; its questions, counts and calibration are whole."""
    for data in records("evidence").values():
        record, found = json.loads(data), read_evidence(data)
        assert (found.samples, k_of(found)) == (record["questions"], record["k"]) == (20, 10)
        assert [counts_of(found).expected, counts_of(found).stored] == record["counts"]
        for name, (mean, count, failures) in record["summary"]["metrics"].items():
            shown = found.means[name]
            assert (shown.mean, shown.samples, shown.failures) == (mean, count, failures)
        references = [row["candidate"]["references"] for row in record["rows"]]
        total = references_of(found)
        assert [total.references, total.unresolved] == [
            sum(n) for n in zip(*references, strict=True)
        ]
        assert (calibration_of(found) is None) == (record["calibration"] is None)
        assert sample_of(found) is None


@pytest.mark.parametrize("folder", DIGESTED)
def test_a_damaged_byte_is_refused(folder: str) -> None:
    """Any byte of a head or of evidence; of a revision, what its digest named in that format."""
    for data in records(folder).values():
        for place in spread(data, folder):
            other = b"1" if data[place : place + 1] != b"1" else b"2"
            with pytest.raises(IntegrityError):
                READERS[folder](data[:place] + other + data[place + 1 :])


def spread(data: bytes, folder: str) -> range | list[int]:
    """Places all over a record; of a revision, those of what it is named by."""
    if folder != "revisions":
        return range(0, len(data), max(1, len(data) // 97))
    record = json.loads(data)
    named = [record[name] for name in ("name", "chunks_digest", "embedder_digest", "digest")]
    return [data.index(f'"{word}"'.encode()) + 1 for word in named]


def test_a_damaged_entry_of_the_log_is_not_what_its_digest_says() -> None:
    """Each field of it is in the digest that stands beside it."""
    for data in records("releases").values():
        document = json.loads(data)
        for name, value in document["entry"].items():
            other = value + 1 if isinstance(value, int) else f"{value or ''}x"
            edited = {**document["entry"], name: other}
            try:
                found = entry_from_record(edited, where="w")
            except IntegrityError:
                continue
            assert found.digest != document["digest"], name


@pytest.mark.parametrize("folder", READERS)
def test_an_optional_field_of_a_newer_version_is_tolerated_and_digested(folder: str) -> None:
    """A downgrade for a day must not lose what the newer version wrote."""
    for data in records(folder).values():
        newer = with_field(folder, data)
        found = READERS[folder](newer)
        assert found.stored["colour"] == "red"
        if folder in {"heads", "evidence"}:
            with pytest.raises(IntegrityError):
                READERS[folder](newer.replace(b'"red"', b'"blue"'))
        if folder == "releases":
            assert found.digest != read_entry(data).digest


def with_field(folder: str, data: bytes) -> bytes:
    """The record with one more field, under digests of its own, as its writer would."""
    if folder == "releases":
        document = json.loads(data)
        return json.dumps({"entry": {**document["entry"], "colour": "red"}}).encode()
    record = json.loads(changed(data, colour="red"))
    bare = {k: v for k, v in record.items() if k not in {"digest", "record_digest"}}
    if folder == "evidence":
        record["digest"] = digest_json(bare)
    if folder == "heads":
        record["record_digest"] = digest_json(bare)
    return json.dumps(record).encode()


@pytest.mark.parametrize("folder", READERS)
def test_a_newer_format_is_refused_with_the_version_that_wrote_it(folder: str) -> None:
    """Half understood, it would be worse than not read."""
    for data in records(folder).values():
        newer = {"format": 99, "written_by": "7.2.0"}
        record = json.loads(data)
        if folder == "releases":
            record["entry"] |= newer
        record = {k: v for k, v in record.items() if k != "digest"} | newer
        record |= {"digest": digest_json(record)} if folder == "evidence" else {}
        with pytest.raises(IntegrityError, match="does not read") as caught:
            READERS[folder](json.dumps(record).encode())
        assert caught.value.stored == "format 99, written by 7.2.0"
        assert "version" in caught.value.remedy
