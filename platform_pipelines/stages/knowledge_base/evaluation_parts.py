"""What tasks of an evaluation write for the step that gathers: one JSON file a task.

They live until the evaluation's head has moved: a killed evaluation goes on after those that are
there.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from platform_pipelines.core.knowledge_base.copied import Copied
from platform_pipelines.core.road.evidence import Outcome
from platform_pipelines.errors import IntegrityError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base.sampling import LookedFor

FORMAT = 1

Model = TypeVar("Model", bound="Part")


class Part(BaseModel):
    """One task's file."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT


class AskedQuestion(BaseModel):
    """One golden question on one revision; an unanswerable one has no outcome.

    `features` are what calibration reads, where they were asked for; `supported`: whether the
    answer is in what an answer is made from.
    """

    id: str
    outcome: Outcome | None = None
    document_type: str = ""
    features: tuple[float, ...] | None = None
    supported: bool | None = None


class AskedPart(Part):
    """Of `evaluation.ask`."""

    questions: Sequence[AskedQuestion]


class ScannedPart(Part):
    """Of `evaluation.scan`: passages that speak to a model, and sentences drawn for a sample.

    `drawn` are (order, sentence, document key).
    """

    chunks: int
    documents: int
    named: Sequence[dict[str, Any]]
    drawn: Sequence[tuple[str, str, str]]


class SampledPart(Part):
    """Of `evaluation.sample`: the sentences that were looked for."""

    found: Sequence[LookedFor]


class CopiesPart(Part):
    """Of `evaluation.copies`: documents that say what others say."""

    copied: Copied


class AnsweredPart(Part):
    """Of `evaluation.answer`: the fields of each `judging.GivenAnswer`."""

    answers: Sequence[dict[str, Any]]


class JudgedPart(Part):
    """Of `evaluation.judge`: verdicts by question and metric, what was spent, and A/A differences.

    `noise`: by metric, of each answer that was judged twice.
    """

    scores: dict[str, dict[str, float | None]]
    troubles: dict[str, dict[str, str]]
    spent: dict[str, Any]
    noise: dict[str, list[float]]


def write_part(store: ObjectStore, key: str, part: Part) -> None:
    """Keep a task's part, whole."""
    store.put(key, part.model_dump_json().encode())


def read_part(store: ObjectStore, key: str, kind: type[Model]) -> Model:
    """What a task wrote.

    Raises:
        IntegrityError: it is damaged, or of a newer version.
    """
    where = f"{store.url}/{key}"
    try:
        part = kind.model_validate_json(store.get(key)[0])
    except ValidationError as error:
        raise IntegrityError(
            "the part of an evaluation is damaged",
            where=where,
            stored=error.errors(include_url=False)[0]["msg"],
            remedy="delete this file and run again",
        ) from error
    if part.format > FORMAT:
        raise IntegrityError(
            "the part of an evaluation was written by a newer version of this program",
            where=where,
            stored=f"format {part.format}",
            expected=f"at most {FORMAT}",
            remedy="run tasks with the image of the step that planned them",
        )
    return part
