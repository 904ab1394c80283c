"""`training_set`: chats of the declared files, kept from the golden questions, split, versioned."""

from typing import Any

from platform_pipelines.core.fine_tune.training_rows import (
    ChatRow,
    Refused,
    TrainingSet,
    make_training_set,
    parse_rows,
    to_jsonl,
)
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.model_questions import guarded
from platform_pipelines.core.road.snapshot import ShardRecord, Snapshot
from platform_pipelines.errors import EmptyCorpusError
from platform_pipelines.stages.fine_tune.workspace import Workspace
from platform_pipelines.stages.road.asking import load_questions, read_text
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


def _read(workspace: Workspace) -> TrainingSet:
    data, gate = workspace.spec.data, workspace.spec.gate
    golden = load_questions(workspace.settings, gate.golden_set)
    rows: list[ChatRow] = []
    refused: list[Refused] = []
    for url in data.sources:
        found, bad = parse_rows(
            read_text(workspace.settings, url),
            place=url.rpartition("/")[2],
            licence=data.licence,
            tenant=data.tenant,
        )
        rows += found
        refused += bad
    return make_training_set(
        rows,
        refused,
        golden=guarded(golden.questions),
        validation_share=data.validation_share,
    )


def _details(made: TrainingSet) -> dict[str, Any]:
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
                "text": " / ".join(text for _, text in row.turns)[:_SHOWN_CHARACTERS],
            }
            for row, leak in made.leaks
        ],
    }
