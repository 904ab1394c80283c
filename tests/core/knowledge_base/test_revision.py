"""A revision is named by what it holds and how it is searched, and says enough to be searched."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.declaration import parse_declaration
from platform_pipelines.core.knowledge_base.revision import (
    Revision,
    alias_name,
    collection_prefix,
    recipe_of,
    revision_from_json,
)
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.snapshot import ShardRecord
from platform_pipelines.errors import IntegrityError

DECLARED = parse_declaration(
    {"name": "handbook", "source": {"url": "docs"}, "tenant": "팀-a"}, where="defs.yaml"
)
SHARD = ShardRecord(3, "i" * 32, "d" * 32, "chunks/0003.parquet", 12)
REVISION = Revision(
    name="handbook",
    chunks_digest="c" * 32,
    embedder_digest="e" * 32,
    index={"kind": "HNSW", "metric": "COSINE", "parameters": {"M": 16}, "keyword": "bigrams-1"},
    rows=12,
    documents=2,
    dimension=384,
    chunks=(SHARD,),
    vectors=(replace(SHARD, path="vectors/0003.parquet"),),
    declaration=DECLARED.model_dump(mode="json"),
    notes={"index": "작은 말뭉치"},
    recipe=recipe_of(DECLARED),
)
NAMES = st.from_regex(r"[a-z](?:_?[a-z0-9]){0,8}", fullmatch=True)
SHARDS = st.lists(
    st.builds(ShardRecord, st.integers(0, 4095), st.text(), st.text(), st.text(), st.integers(0)),
    max_size=3,
).map(tuple)
REVISIONS = st.builds(
    replace,
    st.just(REVISION),
    name=NAMES,
    chunks_digest=st.text(),
    embedder_digest=st.text(),
    index=st.dictionaries(st.text(), st.text() | st.booleans() | st.integers(), max_size=3),
    rows=st.integers(0),
    chunks=SHARDS,
    vectors=SHARDS,
    notes=st.dictionaries(st.text(), st.text(), max_size=2),
)


def change(name: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda record: record.update({name: value})


@given(revision=REVISIONS)
def test_a_revision_comes_back_as_it_was(revision: Revision) -> None:
    """Readers search by it long after its source is gone; text and bytes are read alike."""
    text = revision.to_json()
    assert revision_from_json(text, where="w") == revision
    assert revision_from_json(text.encode(), where="w") == revision


@given(revision=REVISIONS, rows=st.integers(0), notes=st.dictionaries(st.text(), st.text()))
def test_counts_notes_and_files_are_not_the_identity(
    revision: Revision, rows: int, notes: dict[str, str]
) -> None:
    """The same index built again under another sentence of explanation is the same index."""
    other = replace(revision, rows=rows, documents=rows, notes=notes, chunks=(), vectors=(SHARD,))
    assert other.digest == revision.digest
    assert other.collection == revision.collection


@pytest.mark.parametrize(
    "other",
    [
        replace(REVISION, name="handbook2"),
        replace(REVISION, chunks_digest="f" * 32),
        replace(REVISION, embedder_digest="f" * 32),
        replace(REVISION, chunks_digest="e" * 32, embedder_digest="c" * 32),
        replace(REVISION, index={**REVISION.index, "metric": "IP"}),
        replace(REVISION, index={**REVISION.index, "parameters": {"M": 32}}),
        replace(REVISION, recipe=replace(REVISION.recipe, tenant="팀-b")),
    ],
)
def test_content_and_how_it_is_searched_are_the_identity(other: Revision) -> None:
    """Two that differ must not share a collection: one would overwrite the other's rows."""
    assert other.digest != REVISION.digest
    assert other.collection != REVISION.collection


def test_the_order_of_the_index_parameters_is_not_the_identity() -> None:
    """A record that was written by another process may hold them in another order."""
    turned = {name: REVISION.index[name] for name in reversed(list(REVISION.index))}
    assert replace(REVISION, index=turned).digest == REVISION.digest


@pytest.mark.parametrize(
    "tamper",
    [
        change("name", "other"),
        change("chunks_digest", "0" * 32),
        change("embedder_digest", "0" * 32),
        change("digest", "0" * 32),
        lambda record: record["index"].update(metric="L2"),
        lambda record: record["recipe"].update(tenant="everybody"),
    ],
)
def test_content_that_is_not_what_its_digest_says_is_refused(
    tamper: Callable[[dict[str, Any]], object],
) -> None:
    """A swapped embedder gives answers without an error, and wrong ones."""
    record = json.loads(REVISION.to_json())
    tamper(record)
    with pytest.raises(IntegrityError, match="not what its digest says") as caught:
        revision_from_json(json.dumps(record), where="store/revisions/x.json")
    assert caught.value.where == "store/revisions/x.json"
    assert caught.value.stored == record["digest"]
    assert caught.value.stored != caught.value.expected
    assert "refresh job" in caught.value.remedy


@pytest.mark.parametrize(
    "tamper",
    [
        lambda record: record.pop("notes"),
        change("chunks", None),
        change("vectors", [{}]),
        change("index", 3),
        change("declaration", None),
        lambda record: record["recipe"].pop("tenant"),
        change("index", {"M": float("nan")}),
    ],
)
def test_a_record_of_another_shape_is_refused(tamper: Callable[[dict[str, Any]], object]) -> None:
    """Written by another version: an IntegrityError with a remedy, never a KeyError."""
    record = json.loads(REVISION.to_json())
    tamper(record)
    with pytest.raises(IntegrityError, match="not a revision") as caught:
        revision_from_json(json.dumps(record), where="here")
    assert caught.value.where == "here"
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "3", '"text"', b"\xff\xfe\x00", b"{}"])
def test_what_is_no_record_is_refused(text: str | bytes) -> None:
    """A write that was cut short leaves any of these."""
    with pytest.raises(IntegrityError, match="not a revision"):
        revision_from_json(text, where="here")


@pytest.mark.parametrize("written", [0, "1", None])
def test_a_record_without_a_sensible_format_is_refused(written: object) -> None:
    """A damaged number is not taken for an old one."""
    record = json.loads(REVISION.to_json()) | {"format": written}
    with pytest.raises(IntegrityError, match="not a revision: format"):
        revision_from_json(json.dumps(record), where="revisions/x.json")


def test_a_record_of_a_newer_format_names_who_wrote_it() -> None:
    """A newer version's record must not be half understood by an older one."""
    record = json.loads(REVISION.to_json()) | {"format": 9, "written_by": "7.1.0"}
    with pytest.raises(IntegrityError, match="format that this version does not read") as caught:
        revision_from_json(json.dumps(record), where="revisions/x.json")
    assert "7.1.0" in str(caught.value.stored)


def test_a_field_of_a_newer_version_is_kept_and_covered_by_the_digest() -> None:
    """An older reader still verifies what a newer writer wrote, and rewrites none of it."""
    record = json.loads(REVISION.to_json())
    record.pop("record_digest")
    digest = record.pop("digest")
    record["colour"] = "red"
    record |= {"digest": digest, "record_digest": digest_json(record)}
    read = revision_from_json(json.dumps(record), where="w")
    assert read == REVISION
    assert json.loads(read.to_json()) == record
    with pytest.raises(IntegrityError, match="record digest"):
        revision_from_json(json.dumps(record | {"colour": "blue"}), where="w")


def test_a_revision_carries_its_own_recipe() -> None:
    """Readers open the embedder and the tenant's rows by it, whatever is declared today."""
    stale = replace(REVISION, declaration={**REVISION.declaration, "colour": "red"})
    read = revision_from_json(stale.to_json(), where="w")
    assert read.recipe == recipe_of(DECLARED)
    assert (read.recipe.tenant, read.recipe.embed.provider) == ("팀-a", "local")


@given(first=NAMES, second=NAMES)
def test_a_prefix_finds_the_collections_of_one_knowledge_base(first: str, second: str) -> None:
    """Collecting the old ones of `kb` must not drop those of `kb_2`, nor an alias."""
    collection = replace(REVISION, name=first).collection
    assert collection.startswith(collection_prefix(second)) is (first == second)
    assert not alias_name(first).startswith(collection_prefix(second))


def test_names_are_what_they_were() -> None:
    """Stored collections are found by them; Milvus takes letters, digits and underscores only."""
    assert collection_prefix("handbook") == "kb_handbook__"
    assert alias_name("handbook") == "kb_handbook"
    assert REVISION.collection == f"kb_handbook__{REVISION.digest[:16]}"
    assert REVISION.collection.isidentifier()
