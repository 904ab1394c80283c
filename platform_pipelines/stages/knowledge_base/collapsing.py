"""Near-duplicates among what a search found: collapsed before fusion, named beside what is shown.

Before fusion, because reciprocal ranks count places: a copy at rank 1 would push what it copies to
rank 2 of both lists.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from platform_pipelines.core.knowledge_base.copies import Copies, Passage, find_copies
from platform_pipelines.core.knowledge_base.documents import place_from_record
from platform_pipelines.gateways.vector_store import Hit


@dataclass(frozen=True, slots=True)
class AlsoIn:
    """Another document that says the same, and where."""

    chunk_id: str
    document_key: str
    citation: str


@dataclass(frozen=True, slots=True)
class Collapsed:
    """Both lists without copies; `also` of what is kept, by chunk id."""

    dense: Sequence[Hit]
    words: Sequence[Hit]
    also: Mapping[str, tuple[AlsoIn, ...]]


def collapse(dense: Sequence[Hit], words: Sequence[Hit]) -> Collapsed:
    """Both lists, each copy replaced by the passage that is shown for it.

    A passage that takes the place of its copy in a list that did not hold it takes its score, too.
    """
    hits = {h.chunk_id: h for h in (*words, *dense)}
    copies = find_copies(
        [Passage(h.chunk_id, h.document_key, h.document_type, h.text) for h in hits.values()]
    )
    if not (copies.shown or copies.held):
        return Collapsed(dense, words, {})
    return Collapsed(
        _collapsed(dense, copies, hits), _collapsed(words, copies, hits), _also(copies, hits)
    )


def _collapsed(ranked: Sequence[Hit], copies: Copies, hits: Mapping[str, Hit]) -> list[Hit]:
    own = {h.chunk_id: h for h in ranked}
    placed: list[Hit] = []
    score = ranked[0].score if ranked else 0.0
    for item in copies.collapse(list(own)):
        hit = own.get(item) or replace(hits[item], score=score)
        placed.append(hit)
        score = hit.score
    return placed


def _also(copies: Copies, hits: Mapping[str, Hit]) -> dict[str, tuple[AlsoIn, ...]]:
    also: dict[str, list[AlsoIn]] = {}
    for copied, kept in copies.shown.items():
        also.setdefault(kept[0], []).append(_also_in(hits[copied]))
    for whole, parts in copies.held.items():
        for part in parts:
            also.setdefault(part, []).append(_also_in(hits[whole]))
    return {item: tuple(found) for item, found in also.items()}


def _also_in(hit: Hit) -> AlsoIn:
    place = place_from_record(json.loads(hit.place or "{}"))
    citation = " › ".join(part for part in (hit.document_key, place.label) if part)
    return AlsoIn(hit.chunk_id, hit.document_key, citation)
