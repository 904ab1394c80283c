"""In a process of its own, that holds nothing worth stealing: a document's bytes to its blocks."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from platform_pipelines.compute.confinement import confine
from platform_pipelines.core.knowledge_base.documents import (
    Reason,
    blocks_to_json,
    notes_to_json,
)
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.ocr import OcrOptions
from platform_pipelines.stages.knowledge_base.parsing.parse import ParseLimits, parse_document

DETAIL_CHARACTERS = 500


def parse_bytes(
    shared: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """Operation `documents.parse`: items are `{key, data}`, `data` the document's bytes.

    Results are `{state: parsed, type, code_language, title, language, blocks, notes}`, or
    `{state: quarantined, reason, detail}`.
    """
    _confined()
    limits = ParseLimits(max_bytes=int(shared["max_bytes"]), ocr=OcrOptions.of(shared.get("ocr")))
    for item in items:
        yield _parse(item["data"], item["key"], limits)


_confined = cache(confine)  # once, before the first document, for all later ones


def _parse(data: bytes, key: str, limits: ParseLimits) -> Mapping[str, Any]:
    try:
        document = parse_document(data, key=key, limits=limits)
    except DocumentError as error:
        detail = "; ".join(filter(None, (error.what, error.remedy)))
        return quarantined(Reason(error.reason), detail)
    return {
        "state": "parsed",
        "type": str(document.type),
        "code_language": document.code_language or "",
        "title": document.title,
        "language": document.language,
        "blocks": blocks_to_json(document.blocks),
        "notes": notes_to_json(document.notes),
    }


def quarantined(reason: Reason, detail: str) -> Mapping[str, Any]:
    """The result of a document that cannot be used."""
    return {"state": "quarantined", "reason": str(reason), "detail": detail[:DETAIL_CHARACTERS]}
