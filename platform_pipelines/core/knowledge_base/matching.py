"""Which chunks hold what a golden question quotes: quotes outlive chunk policies, ids do not."""

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from platform_pipelines.core.knowledge_base.golden import Reference

OVERLAP_FLOOR = 0.5  # of a quote's characters, when no chunk holds it whole
NEARBY_CHARACTERS = 40  # more than the missing part that are searched for its numbers: a footer

_NUMBER = re.compile(r"\d+")

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
class _Folded:
    """A chunk as it is compared: its folded text, and its numbers as they stood before folding."""

    chunk_id: str
    text: str
    numbers: frozenset[str]

    @staticmethod
    def of(chunk: ChunkText) -> "_Folded":
        return _Folded(chunk.chunk_id, fold(chunk.text), frozenset(_numbers(chunk.text)))


@dataclass(frozen=True, slots=True)
class Resolved:
    """A reference and the chunks that hold it: `share` of the quote's characters, 1.0 if whole.

    `missing_numbers` are the quote's numbers that none of those chunks has where the rest of the
    quote would stand: the document says something else now.
    """

    reference: Reference
    chunk_ids: tuple[str, ...]
    share: float
    missing_numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Match:
    """What a question's references came to. `unresolved` ones are stale: counted, never dropped.

    So are `outdated` ones, whose words are still there, with other numbers: finding their chunks is
    still right, and what the golden set says about them is not.
    """

    resolved: tuple[Resolved, ...]
    unresolved: tuple[Reference, ...]

    @property
    def outdated(self) -> tuple[Resolved, ...]:
        """Resolved references whose numbers have changed in the document."""
        return tuple(r for r in self.resolved if r.missing_numbers)

    @property
    def stale(self) -> int:
        """How many references the golden set's author should look at."""
        return len(self.unresolved) + len(self.outdated)

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
    folded: dict[str, list[_Folded]] = {}
    for chunk in chunks:
        key = _key(chunk.document_key)
        if key in wanted:
            folded.setdefault(key, []).append(_Folded.of(chunk))
    outcomes = [(r, _resolve(r, folded.get(_key(r.document), []))) for r in references]
    return Match(
        resolved=tuple(found for _, found in outcomes if found is not None),
        unresolved=tuple(reference for reference, found in outcomes if found is None),
    )


def _key(document: str) -> str:
    return unicodedata.normalize("NFC", document)


def _resolve(reference: Reference, chunks: Sequence[_Folded]) -> Resolved | None:
    quote = fold(reference.quote)
    if not quote:
        return None
    whole = tuple(chunk.chunk_id for chunk in chunks if quote in chunk.text)
    if whole:
        return Resolved(reference, whole, 1.0)
    shortest = math.ceil(len(quote) * OVERLAP_FLOOR)
    lengths = [longest_shared(quote, chunk.text, at_least=shortest) for chunk in chunks]
    best = max(lengths, default=0)
    if best == 0:
        return None
    matched = [chunk for chunk, n in zip(chunks, lengths, strict=True) if n == best]
    missing = _missing_numbers(reference.quote, quote, best, matched, chunks)
    return Resolved(reference, tuple(c.chunk_id for c in matched), best / len(quote), missing)


def _missing_numbers(
    words: str, quote: str, length: int, matched: Sequence[_Folded], chunks: Sequence[_Folded]
) -> tuple[str, ...]:
    """The numbers of a quote that none of the matched chunks has in its place, sorted.

    `quote` is folded `words`, and `length` what each matched chunk shares of it. A chunk border
    cuts a quote as well: what is missing beyond the border may stand in any chunk of the document.
    """
    numbers = frozenset(_numbers(words))
    elsewhere = frozenset(n for chunk in chunks for n in chunk.numbers)
    missing = (numbers - _present(quote, length, chunk, elsewhere) for chunk in matched)
    return tuple(sorted(min(missing, key=len)))


def _present(quote: str, length: int, chunk: _Folded, elsewhere: frozenset[str]) -> frozenset[str]:
    """The numbers of a chunk that stand where the quote would, for its longest shared part."""
    starts = range(len(quote) - length + 1)
    start = next(i for i in starts if quote[i : i + length] in chunk.text)
    at = chunk.text.index(quote[start : start + length])
    end, rest = at + length, len(quote) - start - length
    low = max(0, at - start - NEARBY_CHARACTERS) if start else at
    high = end + rest + NEARBY_CHARACTERS if rest else end
    nearby = chunk.text[low:high]
    present = frozenset(n for n in chunk.numbers if n in nearby)
    shared = frozenset(_numbers(quote[start : start + length]))
    is_cut = (start > 0 and at == 0) or (rest > 0 and end == len(chunk.text))
    return present | shared | elsewhere if is_cut else present | shared


def _numbers(text: str) -> list[str]:
    return _NUMBER.findall(unicodedata.normalize("NFC", text))


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
