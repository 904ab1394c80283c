"""Which chunks hold what a golden question quotes: quotes outlive chunk policies, ids do not."""

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from platform_pipelines.core.golden import Reference

OVERLAP_FLOOR = 0.5  # of a quote's characters, when no chunk holds it whole

# What a parser may add, drop or break without changing the words, dropped on both sides: white
# space (PDF lines break Korean words in the middle), Markdown and table marks, format characters.
_FOLDED_AWAY = re.compile(r"[\s|*_`#>~\-\u00ad\u200b-\u200f\u2060-\u2064\ufeff]+")


@dataclass(frozen=True, slots=True)
class ChunkText:
    """What matching reads of a chunk."""

    chunk_id: str
    document_key: str
    text: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """A reference and the chunks that hold it: `share` of the quote's characters, 1.0 if whole."""

    reference: Reference
    chunk_ids: tuple[str, ...]
    share: float


@dataclass(frozen=True, slots=True)
class Match:
    """What a question's references came to. `unresolved` ones are stale: counted, never dropped."""

    resolved: tuple[Resolved, ...]
    unresolved: tuple[Reference, ...]

    @property
    def relevant(self) -> tuple[str, ...]:
        """Relevant chunk ids, each once, in the order of the references and of the chunks."""
        return tuple(dict.fromkeys(i for r in self.resolved for i in r.chunk_ids))


def fold(text: str) -> str:
    """The characters that count when a quote is looked for: NFC, case kept, no spaces, no marks."""
    bare = _FOLDED_AWAY.sub("", unicodedata.normalize("NFC", text))
    return unicodedata.normalize("NFC", bare)


def match_references(references: Sequence[Reference], chunks: Sequence[ChunkText]) -> Match:
    """Resolve each reference to the chunks of its document that hold its quote.

    All chunks that hold the whole quote are relevant. When none does (a chunk border cuts it),
    those that share its longest part are, if that part is at least `OVERLAP_FLOOR` of the quote.
    """
    wanted = {_key(r.document) for r in references}
    folded: dict[str, list[tuple[str, str]]] = {}
    for chunk in chunks:
        key = _key(chunk.document_key)
        if key in wanted:
            folded.setdefault(key, []).append((chunk.chunk_id, fold(chunk.text)))
    outcomes = [(r, _resolve(r, folded.get(_key(r.document), []))) for r in references]
    return Match(
        resolved=tuple(found for _, found in outcomes if found is not None),
        unresolved=tuple(reference for reference, found in outcomes if found is None),
    )


def _key(document: str) -> str:
    return unicodedata.normalize("NFC", document)


def _resolve(reference: Reference, chunks: Sequence[tuple[str, str]]) -> Resolved | None:
    quote = fold(reference.quote)
    if not quote:
        return None
    whole = tuple(chunk_id for chunk_id, text in chunks if quote in text)
    if whole:
        return Resolved(reference, whole, 1.0)
    shortest = math.ceil(len(quote) * OVERLAP_FLOOR)
    lengths = [longest_shared(quote, text, at_least=shortest) for _, text in chunks]
    best = max(lengths, default=0)
    if best == 0:
        return None
    ids = tuple(chunk[0] for chunk, n in zip(chunks, lengths, strict=True) if n == best)
    return Resolved(reference, ids, best / len(quote))


def longest_shared(quote: str, text: str, *, at_least: int) -> int:
    """Characters of the longest part of `quote` that `text` holds; 0 when shorter than `at_least`.

    Bisection over the length: a text that holds a part of length n holds shorter ones too. The
    inner search is `str.__contains__`: microseconds where difflib takes milliseconds.
    """
    if not _shares(quote, text, at_least):
        return 0
    low, high = at_least, min(len(quote), len(text))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _shares(quote, text, middle) else (low, middle - 1)
    return low


def _shares(quote: str, text: str, length: int) -> bool:
    return any(quote[i : i + length] in text for i in range(len(quote) - length + 1))
