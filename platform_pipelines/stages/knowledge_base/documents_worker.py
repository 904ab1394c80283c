"""Inside a worker process: read one source document, and parse it if its content is new."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from platform_pipelines.core.knowledge_base.documents import Reason, blocks_to_json
from platform_pipelines.core.road.identity import canonical_json, digest_bytes
from platform_pipelines.errors import DocumentError, SourceForbiddenError, SourceNotFoundError
from platform_pipelines.gateways.object_store import Fetched, ObjectStore
from platform_pipelines.stages.knowledge_base.parsing.parse import ParseLimits, parse_document
from platform_pipelines.stages.road import connect as road


def parse_items(
    shared: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """Operation `documents.parse`: one result an item.

    Items are `{key, known, ahead}`: `known` is the content digest that was parsed before, or empty;
    `ahead` (on the first item) lists the keys of the task, to read them concurrently.
    Results are `{state: parsed | same | quarantined | gone, version, content_digest, ...}`.
    """
    store = _open(canonical_json(dict(shared["source"])))
    limits = ParseLimits(max_bytes=int(shared["max_bytes"]))
    fetched: Iterator[Fetched] = iter(())
    for item in items:
        if item.get("ahead"):
            fetched = store.get_many(item["ahead"])
        yield _parse(_next(store, fetched, item["key"]), item.get("known", ""), limits)


@lru_cache(maxsize=1)
def _open(source: str) -> ObjectStore:
    return road.open_from_record(source)


def _next(store: ObjectStore, fetched: Iterator[Fetched], key: str) -> Fetched:
    """The object of that key, read ahead where possible (not in a task that is tried again)."""
    found = next(fetched, None)
    if found is not None and found.key == key:
        return found
    return next(iter(store.get_many([key])))


def _parse(found: Fetched, known: str, limits: ParseLimits) -> Mapping[str, Any]:
    if isinstance(found.error, SourceNotFoundError):
        return {"state": "gone"}
    if isinstance(found.error, SourceForbiddenError):
        return _quarantined(found, "", Reason.FORBIDDEN, found.error.what)
    if found.error is not None:
        raise found.error
    content_digest = digest_bytes(found.data)
    if content_digest == known:
        return {"state": "same", "version": found.version, "content_digest": content_digest}
    try:
        document = parse_document(found.data, key=found.key, limits=limits)
    except DocumentError as error:
        return _quarantined(found, content_digest, Reason(error.reason), error.what)
    return {
        "state": "parsed",
        "version": found.version,
        "content_digest": content_digest,
        "type": str(document.type),
        "code_language": document.code_language or "",
        "title": document.title,
        "language": document.language,
        "blocks": blocks_to_json(document.blocks),
    }


def _quarantined(
    found: Fetched, content_digest: str, reason: Reason, detail: str
) -> Mapping[str, Any]:
    return {
        "state": "quarantined",
        "version": found.version,
        "content_digest": content_digest,
        "reason": str(reason),
        "detail": detail[:500],
    }
