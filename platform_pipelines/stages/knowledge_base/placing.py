"""Which document a reference without one stands in: Ragas' sets hold contexts, and no names."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from platform_pipelines.core.knowledge_base.golden import ANY_DOCUMENT, Question, Reference
from platform_pipelines.core.knowledge_base.matching import fold
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.knowledge_base.tables import read_table

WINDOW_CHARACTERS = 24  # folded; a context is cut by chunk borders, a window of it seldom
WINDOWS = 8


def placed(
    store: ObjectStore, paths: Sequence[str], questions: Sequence[Question]
) -> list[Question]:
    """The questions, each reference with its document; what no chunk holds keeps none: it is stale.

    One pass over the chunks' files, and none where every reference names its document.
    """
    quotes = {r.quote for q in questions for r in q.references if r.document == ANY_DOCUMENT}
    if not quotes:
        return list(questions)
    found = _documents(store, paths, quotes)

    def of(reference: Reference) -> Reference:
        if reference.document != ANY_DOCUMENT:
            return reference
        return replace(reference, document=found.get(reference.quote, ANY_DOCUMENT))

    return [replace(q, references=tuple(of(r) for r in q.references)) for q in questions]


def _documents(store: ObjectStore, paths: Sequence[str], quotes: Iterable[str]) -> dict[str, str]:
    """The document that holds most of each quote's windows; of equals, the first by name."""
    windows = {quote: _windows(fold(quote)) for quote in quotes}
    held: dict[str, dict[str, set[str]]] = {quote: {} for quote in windows}
    for path in paths:
        for row in read_table(store, path, ["document_key", "text"]).to_pylist():
            text = fold(row["text"])
            for quote, parts in windows.items():
                if hits := {part for part in parts if part in text}:
                    held[quote].setdefault(row["document_key"], set()).update(hits)
    return {
        quote: min(found, key=lambda key: (-len(found[key]), key))
        for quote, found in held.items()
        if found
    }


def _windows(text: str) -> list[str]:
    if len(text) <= WINDOW_CHARACTERS:
        return [text] if text else []
    last = len(text) - WINDOW_CHARACTERS
    starts = [round(number * last / (WINDOWS - 1)) for number in range(WINDOWS)]
    return [text[start : start + WINDOW_CHARACTERS] for start in dict.fromkeys(starts)]
