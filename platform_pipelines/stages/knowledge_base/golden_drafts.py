"""Drafting golden candidates from what is released, by the language model that words its answers.

Ragas' own generator builds a graph of the whole corpus first, by several calls a chunk, and gives
no quote to hold a reference by: here it is one call a passage, checked against the passage.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from platform_pipelines.core.knowledge_base.golden_drafts import (
    MINIMUM_PASSAGE_CHARACTERS,
    SYSTEM,
    Source,
    draft,
)
from platform_pipelines.core.knowledge_base.revision import Revision
from platform_pipelines.core.road.identity import digest_text
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.gateways.language_model import Message
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base.connect import open_language_model
from platform_pipelines.stages.knowledge_base.live import live_entry
from platform_pipelines.stages.knowledge_base.revisions import read_revision
from platform_pipelines.stages.knowledge_base.tables import read_table

TRIED = 3  # passages for each question that is wanted: models answer {} where nothing is worth it


@dataclass(frozen=True, slots=True)
class Drafts:
    """Rows for a person to review, and how many drafts were left out, by why."""

    rows: tuple[dict[str, Any], ...]
    left: dict[str, int]


def draft_candidates(
    settings: Settings, name: str, *, count: int, progress: Callable[[str], None]
) -> Drafts:
    """At most `count` candidates; the same passages are asked for the same revision.

    Raises:
        ConfigurationError: no language model is declared.
        UnknownNameError: nothing is released. UnavailableError: the model does not answer.
    """
    store, entry = live_entry(settings, name)
    revision = read_revision(store, entry.revision)
    model = open_language_model(settings, revision.recipe.answer)
    if model is None:
        raise ConfigurationError(
            "drafting questions needs a language model", where=name,
            remedy="declare `answer.model` and `answer.url`, or PLATFORM_LANGUAGE_MODEL",
        )  # fmt: skip
    rows: dict[str, dict[str, Any]] = {}
    left: Counter[str] = Counter()
    try:
        for source in _passages(store, revision, TRIED * count):
            if len(rows) == count:
                break
            asked = [Message("system", SYSTEM), Message("user", source.text)]
            made = draft(model.complete(asked).text, source)
            if isinstance(made, dict):
                rows.setdefault(str(made["id"]), made)
                progress(f"{len(rows)} of {count} drafted")
            else:
                left[str(made)] += 1
    finally:
        model.close()
    return Drafts(tuple(rows.values()), dict(left))


def _passages(store: ObjectStore, revision: Revision, most: int) -> Iterator[Source]:
    """Of every shard some, in an order that has nothing to do with the documents."""
    drawn: list[tuple[str, Source]] = []
    for shard in revision.chunks:
        table = read_table(store, shard.path, ["chunk_id", "document_key", "text"])
        found = sorted(
            (digest_text(row["chunk_id"]), row["document_key"], row["text"])
            for row in table.to_pylist()
            if len(row["text"]) >= MINIMUM_PASSAGE_CHARACTERS
        )
        drawn += [(order, Source(key, text)) for order, key, text in found[:most]]
    ordered = sorted(drawn, key=lambda pair: pair[0])
    yield from (source for _, source in ordered[:most])
