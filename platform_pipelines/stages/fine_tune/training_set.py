"""`training_set`: what is declared, kept from the golden questions, split, versioned."""

from dataclasses import replace
from typing import Any

from platform_pipelines.core.fine_tune.pairs import PairRow, pairs_of, with_negatives
from platform_pipelines.core.fine_tune.training_rows import (
    R,
    Refused,
    Row,
    TrainingSet,
    make_training_set,
    to_jsonl,
)
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.snapshot import ShardRecord, Snapshot
from platform_pipelines.errors import EmptyCorpusError
from platform_pipelines.stages.fine_tune.sources import Read, read_chats, read_pairs
from platform_pipelines.stages.fine_tune.workspace import Workspace
from platform_pipelines.stages.road.asking import load_guarded
from platform_pipelines.stages.road.outcome import StageOutcome

STAGE = "training_set"
SIDES = ("train", "validation")
_SHOWN_CHARACTERS = 160


def refresh_training_set(workspace: Workspace) -> StageOutcome:
    """Read the sources and make the set; the same content again writes nothing.

    Raises:
        EmptyCorpusError: a side of the split has no row.
    """
    previous, version = workspace.head(STAGE)
    made = _read(workspace)
    if not made.train or not made.validation:
        raise EmptyCorpusError(
            "a training set has rows to learn from and rows to validate with",
            where=workspace.name,
            stored=made.counts,
            remedy="add rows, or raise data.validation_share",
        )
    keys = {side: f"{STAGE}s/{made.digest}/{side}.jsonl" for side in SIDES}
    snapshot = Snapshot(
        stage=STAGE,
        settings=digest_json(workspace.spec.data.model_dump(mode="json")),
        shards=tuple(
            ShardRecord(number, made.digest, made.digest, keys[side], len(getattr(made, side)))
            for number, side in enumerate(SIDES)
        ),
        counts=made.counts,
        details=_details(made),
    )
    stands = all(workspace.store.exists(key) for key in keys.values())
    if previous and previous.record_digest == snapshot.record_digest and stands:
        return StageOutcome.unchanged(previous)
    with workspace.writing(STAGE, version) as writing:
        for side, key in keys.items():
            writing.store.put(key, to_jsonl(getattr(made, side)).encode())
        writing.move_head(snapshot, version)
    return StageOutcome.changed(snapshot, previous, {"rows": snapshot.rows})


def held_out(workspace: Workspace) -> list[PairRow]:
    """The validation side of an embedder's set that stands."""
    return _side(workspace, 1)


def passages(workspace: Workspace) -> list[str]:
    """Every passage of both sides once: what a held-out question is searched in."""
    rows = [row for number in range(len(SIDES)) for row in _side(workspace, number)]
    texts = [text for row in rows for text in (row.positive, *row.negatives)]
    return list(dict.fromkeys(texts))


def _side(workspace: Workspace, number: int) -> list[PairRow]:
    record = workspace.require_head(STAGE).shards[number]
    return pairs_of(workspace.store.get(record.path)[0].decode(), place=SIDES[number])


def _read(workspace: Workspace) -> TrainingSet[Any]:
    if not workspace.spec.is_embedder:
        return _made(workspace, read_chats(workspace))
    made = _made(workspace, read_pairs(workspace))
    count = workspace.spec.recipe.contrast.negatives
    train, bare = with_negatives(made.train, count)
    validation, more = with_negatives(made.validation, count)
    alone = [Refused(row.place, "its side has no other passage") for row in (*bare, *more)]
    return replace(
        made,
        train=tuple(train),
        validation=tuple(validation),
        refused=(*made.refused, *alone),
    )


def _made(workspace: Workspace, read: Read[R]) -> TrainingSet[R]:
    golden = load_guarded(workspace.settings, workspace.spec.gate.golden_set)
    return make_training_set(
        read.rows,
        read.refused,
        golden=golden,
        validation_share=workspace.spec.data.validation_share,
    )


def _details(made: TrainingSet[Row]) -> dict[str, Any]:
    return {
        "digest": made.digest,
        "languages": made.shares("language"),
        "licences": made.shares("licence"),
        "tenants": made.shares("tenant"),
        "refused": [{"place": one.place, "reason": one.reason} for one in made.refused],
        "leaks": [
            {
                "place": row.place,
                "golden question": leak.question_id,
                "similarity": round(leak.similarity, 3),
                "contained": round(leak.containment, 3),
                "text": " / ".join(row.texts)[:_SHOWN_CHARACTERS],
            }
            for row, leak in made.leaks
        ],
    }
