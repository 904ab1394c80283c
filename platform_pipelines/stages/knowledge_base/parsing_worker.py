"""In a process of its own, that holds nothing worth stealing: a document's bytes to its blocks."""

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

from platform_pipelines.compute.confinement import confine
from platform_pipelines.core.knowledge_base.documents import (
    ParsedDocument,
    Reason,
    blocks_to_json,
    inner_key,
    notes_to_json,
)
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.chat_exports import People, people_of
from platform_pipelines.stages.knowledge_base.parsing.ocr import OcrOptions
from platform_pipelines.stages.knowledge_base.parsing.parse import ParseLimits, parse_document
from platform_pipelines.stages.knowledge_base.people import list_for

DETAIL_CHARACTERS = 500


def parse_bytes(
    shared: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """Operation `documents.parse`: items are `{key, data}`, `data` the document's bytes.

    Results are `{state: parsed, type, code_language, title, language, blocks, notes, attached}`, or
    `{state: quarantined, reason, detail}`; `attached` are results of the documents inside it, with
    `{key, size_bytes, content_digest}`.
    """
    _confined()
    limits = ParseLimits(max_bytes=int(shared["max_bytes"]), ocr=OcrOptions.of(shared.get("ocr")))
    lists: Mapping[str, bytes] = shared.get("people") or {}
    for item in items:
        people = list_for(item["key"], lists)
        named = None if people is None else _people(people)
        yield _parse(item["data"], item["key"], limits, named)


_people = lru_cache(maxsize=4)(people_of)
_confined = cache(confine)  # once, before the first document, for all later ones


def _parse(data: bytes, key: str, limits: ParseLimits, people: People | None) -> Mapping[str, Any]:
    try:
        document = parse_document(data, key=key, limits=limits, apart=True, people=people)
    except DocumentError as error:
        detail = "; ".join(filter(None, (error.what, error.remedy)))
        return quarantined(Reason(error.reason), detail)
    return {**_parsed(document), "attached": list(_attached(document, key))}


def _parsed(document: ParsedDocument) -> dict[str, Any]:
    return {
        "state": "parsed",
        "type": str(document.type),
        "code_language": document.code_language or "",
        "title": document.title,
        "language": document.language,
        "blocks": blocks_to_json(document.blocks),
        "notes": notes_to_json(document.notes),
    }


def _attached(document: ParsedDocument, key: str) -> Iterator[Mapping[str, Any]]:
    """The results of all documents inside a document, those inside them behind each."""
    for one in document.attached:
        inner = inner_key(key, one.name)
        own = {"key": inner, "size_bytes": one.size_bytes, "content_digest": one.content_digest}
        if one.document is None:
            yield {**quarantined(one.reason or Reason.CORRUPT, one.detail), **own}
            continue
        yield {**_parsed(one.document), **own}
        yield from _attached(one.document, inner)


def quarantined(reason: Reason, detail: str) -> Mapping[str, Any]:
    """The result of a document that cannot be used."""
    return {"state": "quarantined", "reason": str(reason), "detail": detail[:DETAIL_CHARACTERS]}
