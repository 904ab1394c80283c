"""`questions`: a golden set from its files: read, checked, versioned by digest, and held to its
documents: a reference that no document holds any more is told, not scored in silence."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from platform_pipelines.core.knowledge_base.golden import (
    GoldenSet,
    Question,
    golden_set_of,
    parse_golden_set,
    to_lines,
)
from platform_pipelines.core.knowledge_base.golden_declaration import GoldenSetSpec
from platform_pipelines.core.knowledge_base.golden_rows import State, golden_record, state_of
from platform_pipelines.core.knowledge_base.matching import ChunkText, match_references
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.snapshot import ShardRecord, Snapshot
from platform_pipelines.errors import ConfigurationError, IntegrityError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.golden_files import read_rows, suffix
from platform_pipelines.stages.knowledge_base.placing import placed
from platform_pipelines.stages.knowledge_base.tables import read_table
from platform_pipelines.stages.road import workspace as road
from platform_pipelines.stages.road.named_golden import (
    FOLDER,
    STAGE,
    read_version,
    version_key,
)
from platform_pipelines.stages.road.outcome import StageOutcome
from platform_pipelines.stages.road.workspace import read_head

CHUNKS = "chunks"
SHOWN_STALE = 50
_SHOWN_CHARACTERS = 160

VERSION = "1"  # raise it when equal input would give other output


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace(road.Workspace):
    """One golden set, as one run sees it."""

    spec: GoldenSetSpec


open_workspace = road.opener(Workspace, FOLDER)


def refresh_golden_set(workspace: Workspace) -> StageOutcome:
    """Read the files and make the set; equal questions are the same version.

    Raises:
        ConfigurationError: a file or a row is wrong, with its line; or there is no file.
        SourceNotFoundError: the folder or the file is not there.
    """
    previous, version = workspace.head(STAGE)
    golden, states = _read(workspace)
    stale = _stale(workspace, golden)
    key = version_key(golden.digest)
    snapshot = Snapshot(
        stage=STAGE,
        settings=digest_json(workspace.spec.model_dump(mode="json", exclude={"owner"})),
        shards=(ShardRecord(0, golden.digest, golden.digest, key, len(golden.questions)),),
        counts=_counts(golden, states, stale),
        details=_details(golden, stale),
    )
    stands = workspace.store.exists(key)
    if previous and previous.record_digest == snapshot.record_digest and stands:
        return StageOutcome.unchanged(previous)
    with workspace.writing(STAGE, version) as writing:
        writing.store.put(key, to_lines(golden).encode())
        writing.move_head(snapshot, version)
    return StageOutcome.changed(snapshot, previous, {"questions": snapshot.rows})


def read_named(settings: Settings, name: str) -> GoldenSet:
    """The newest version of a golden set that has a name.

    Raises:
        UnknownNameError: it was not made yet. IntegrityError: it was edited behind its digest.
    """
    head, text, where = read_version(settings, name)
    golden = parse_golden_set(text, where=where)
    if golden.digest != head.shards[0].digest:
        raise IntegrityError(
            "the golden set's version was changed", where=where, stored=golden.digest,
            expected=head.shards[0].digest,
            remedy=f"run the job {name}_golden_set; edit the declared files, never a version",
        )  # fmt: skip
    return golden


def _read(workspace: Workspace) -> tuple[GoldenSet, Counter[str]]:
    spec, states = workspace.spec, Counter[str]()
    rows: list[tuple[object, str]] = []
    for name, data, where in _files(workspace):
        for record, at in read_rows(name, data, where=where):
            state = state_of(record, where=at)
            states[state] += 1
            if state is State.ACCEPTED:
                rows.append((golden_record(record, where=at, language=spec.language), at))
    return golden_set_of(rows, where=spec.url), states


def _files(workspace: Workspace) -> Iterator[tuple[str, bytes, str]]:
    url = workspace.spec.url.rstrip("/")
    folder, _, name = url.rpartition("/")
    if suffix(name):
        key = unquote(name) if url.startswith("file://") else name
        yield name, connect.open_source(workspace.settings, folder).get(key)[0], url
        return
    store = connect.open_source(workspace.settings, url)
    keys = sorted(o.key for batch in store.list_objects() for o in batch if suffix(o.key))
    if not keys:
        raise ConfigurationError(
            "the golden set's folder holds no file of questions", where=url,
            expected="files that end in .jsonl, .json or .csv", remedy="correct `url`",
        )  # fmt: skip
    for key in keys:
        yield key, store.get(key)[0], f"{url}/{key}"


def _stale(workspace: Workspace, golden: GoldenSet) -> list[dict[str, Any]] | None:
    """References that the knowledge base's present chunks do not hold; None: not looked up."""
    name = workspace.spec.knowledge_base
    if name is None:
        return None
    store = connect.open_knowledge_store(workspace.settings, name)
    head = read_head(store, CHUNKS)
    if head is None:
        return None
    workspace.progress(f"looking up the references of {len(golden.answerable)} questions")
    paths = [shard.path for shard in head.shards]
    questions = placed(store, paths, golden.answerable)
    texts = _texts(store, paths, {r.document for q in questions for r in q.references})
    return [one for question in questions for one in _stale_of(question, texts)]


def _texts(
    store: ObjectStore, paths: Sequence[str], documents: set[str]
) -> dict[str, list[ChunkText]]:
    texts: dict[str, list[ChunkText]] = {}
    for path in paths:
        table = read_table(store, path, ["chunk_id", "document_key", "text"])
        for row in table.to_pylist():
            key = row["document_key"]
            if key in documents:
                texts.setdefault(key, []).append(ChunkText(row["chunk_id"], key, row["text"]))
    return texts


def _stale_of(
    question: Question, texts: Mapping[str, Sequence[ChunkText]]
) -> Iterator[dict[str, Any]]:
    chunks = [chunk for r in question.references for chunk in texts.get(r.document, ())]
    match = match_references(question.references, list(dict.fromkeys(chunks)))
    for reference in match.unresolved:
        yield _told(question, reference.document, reference.quote, "no document holds it")
    for found in match.outdated:
        missing = ", ".join(found.missing_numbers)
        yield _told(
            question, found.reference.document, found.reference.quote, f"lacks now: {missing}"
        )


def _told(question: Question, document: str, quote: str, why: str) -> dict[str, Any]:
    shown = quote[:_SHOWN_CHARACTERS]
    return {"question": question.id, "document": document, "quote": shown, "why": why}


def _counts(
    golden: GoldenSet, states: Counter[str], stale: list[dict[str, Any]] | None
) -> dict[str, int]:
    return {
        "questions": len(golden.questions),
        "answerable": len(golden.answerable),
        "unanswerable": len(golden.unanswerable),
        "candidates": states[State.CANDIDATE],
        "rejected": states[State.REJECTED],
        "stale": len(stale or ()),
    }


def _details(golden: GoldenSet, stale: list[dict[str, Any]] | None) -> dict[str, Any]:
    return {
        "digest": golden.digest,
        "languages": dict(sorted(Counter(q.language for q in golden.questions).items())),
        "looked_up": stale is not None,
        "stale": (stale or [])[:SHOWN_STALE],
    }
