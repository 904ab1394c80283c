"""Where answers are: a folder a file of prompts, a part a batch, named by its prompts.

    ANSWERS/RECIPE/nightly/2026-11-27.jsonl/part-000100-DIGEST.jsonl     answers
    ANSWERS/RECIPE/nightly/2026-11-27.jsonl/failed-000100-DIGEST.jsonl   prompts without one

A part is written once, whole. What is in no part was not answered yet.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from platform_pipelines.core.batch_inference.answers import (
    Answered,
    batch_digest,
    from_lines,
    to_lines,
)
from platform_pipelines.core.road.usage import Usage
from platform_pipelines.errors import ConflictError, IntegrityError
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.batch_inference.workspace import Workspace
from platform_pipelines.stages.road.usage import write_usage

_RECIPE_CHARACTERS = 8


@dataclass(frozen=True, slots=True)
class Part:
    """One stored file and what is in it."""

    key: str
    ended: tuple[Answered, ...]


def answers_folder(workspace: Workspace, file: str) -> str:
    """Of one file of prompts, below the store of answers."""
    return f"{workspace.spec.language_model.recipe[:_RECIPE_CHARACTERS]}/{file}"


def stored_parts(workspace: Workspace, store: ObjectStore, file: str) -> Iterator[Part]:
    """Everything that is stored of a file of prompts, in its order.

    Raises:
        IntegrityError: a part is damaged.
    """
    folder = answers_folder(workspace, file)
    listed = [one.key for batch in store.list_objects(folder) for one in batch]
    ours = sorted(key for key in listed if key.rpartition("/")[0] == folder)
    for fetched in store.get_many(ours):
        if fetched.error is not None:
            raise fetched.error
        try:
            yield Part(fetched.key, tuple(from_lines(fetched.data)))
        except ValueError as error:
            raise IntegrityError(
                f"a file of answers is damaged: {error}",
                where=f"{store.url}/{fetched.key}",
                remedy="delete it: its prompts are asked again",
            ) from error


def write_parts(
    workspace: Workspace, store: ObjectStore, file: str, position: int, ended: Sequence[Answered]
) -> None:
    """Store a batch; then what it took. A run that goes on writes the same under the same names."""
    folder = answers_folder(workspace, file)
    for kind, with_answer in (("failed", False), ("part", True)):
        rows = [one for one in ended if one.state.has_answer is with_answer]
        if not rows:
            continue
        key = f"{folder}/{kind}-{position:06d}-{batch_digest([one.key for one in rows])}.jsonl"
        with contextlib.suppress(ConflictError):  # it is there already, of these very prompts
            store.put(key, to_lines(rows), if_absent=True)
        note_usage(workspace, Part(key, tuple(rows)))


def note_usage(workspace: Workspace, part: Part) -> None:
    """Write down what a part took, under the part's name: never twice."""
    spec = workspace.spec
    usage = [
        Usage(f"{spec.name}/{one.key}", spec.tenant, one.model, spec.name,
              one.input_tokens, one.output_tokens)
        for one in part.ended
        if one.input_tokens or one.output_tokens
    ]  # fmt: skip
    if not usage:
        return
    name = f"batch_inference-{spec.name}-{part.key.replace('/', '-').removesuffix('.jsonl')}"
    write_usage(workspace.platform, max(one.at for one in part.ended)[:10], name, usage)
