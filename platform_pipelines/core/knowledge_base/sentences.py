"""Sentences of Korean and English text: the units of semantic chunking and of extractive answers.

Lines with a structure of their own (table rows, list items, code, headings) are never joined with
their neighbours; a line of wrapped prose continues in the next one.
"""

import re
import string
from collections.abc import Iterator

_OPENERS = r"[\"'“‘(\[「『]"
_CLOSERS = r"[\"'”’)\]」』]"
# A mark that ends a sentence: before white space; a full-width one anywhere; after a Korean final
# syllable whose writer left no space behind the full stop (`했습니다.그리고`).
_END = re.compile(
    rf"(?<![.!?…])(?P<mark>[.!?…]++){_CLOSERS}*+(?=\s|\Z)"
    rf"|[。！？]+{_CLOSERS}*"
    rf"|(?<=[다요죠까음함임됨])[.!?]+{_CLOSERS}*(?={_OPENERS}?[가-힣])"
)
_MARK = re.compile("[.!?…。！？][.!?…]*")  # what `_END` begins with; found many times faster
_ORDINALS = "가나다라마바사아자차카타파하"  # `가.` numbers a paragraph; `네.` is a sentence
_LIST_ITEM = rf"(?:[-*+•·▪◦]|\d{{1,3}}[.)]|[{_ORDINALS}][.)]|[①-⑳])[ \t]"
_ITEM = re.compile(rf"[ \t]*{_LIST_ITEM}|[ \t]*>")
_HEADING = re.compile(r"[ \t]*#{1,6} ")
_WHOLE = re.compile(r"\t| {4}|[ \t]*(?:\||```|~~~)|.*\S[ \t]+\|[ \t]+\S|.*\S\t\S")  # rows, code
_WHOLE_MARKS = ("|", "\t", "    ", "```", "~~~")  # one of them is in whatever `_WHOLE` matches
_NUMBERED = re.compile(
    rf"[ \t]*(?:#{{1,6}} )?(?:\d{{1,3}}(?:\.\d{{1,3}})*|[{_ORDINALS}]|[A-Za-z])\.?"
)

# Never the end of a sentence, and only before a capital letter or a Hangul syllable.
_ABBREVIATIONS = frozenset(
    {
        "e.g", "i.e", "eg", "ie", "vs", "cf", "mr", "mrs", "ms", "dr", "prof", "st", "fig", "figs",
        "eq", "sec", "ch", "no", "nos", "vol", "approx", "ca", "p", "pp",
    }
)  # fmt: skip
_OFTEN_LAST = frozenset(
    {"etc", "inc", "ltd", "co", "corp", "al", "a.m", "p.m", "u.s", "u.k", "jr", "sr"}
)
_LETTERS_AND_DOT = string.ascii_letters + "."
_LAST_WORD_CHARACTERS = 16
_LOOK_BACK = 64

_WRAPPED_COLUMNS = 50  # a shorter line was ended by its writer, not by the page's width


def split_sentences(text: str) -> list[str]:
    """Sentences in order, white space inside each collapsed to one space; never a blank one.

    Kept whole: decimals, versions, URLs, file names, abbreviations, a table row, a line of code.
    """
    return [" ".join(text[start:end].split()) for start, end in sentence_spans(text)]


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """`[start, end)` of each sentence, white space around it left out; all other text is in one."""
    spans: list[tuple[int, int]] = []
    for start, end, whole in _paragraphs(text):
        if whole:
            spans.append((start, end))
        else:
            spans.extend(_prose_spans(text, start, end))
    return spans


def sentence_start(text: str, earliest: int) -> int:
    """Where the first sentence from `earliest` on starts; 0 when none does.

    Only the text from there on is split: a sentence that began more than a few words before
    `earliest` is neither a number nor an abbreviation, so that its start does not matter.
    """
    for start, end, whole in _paragraphs(text):
        if start >= earliest:
            return start
        if end <= earliest or whole:
            continue
        for first, _ in _prose_spans(text, max(start, earliest - _LOOK_BACK), end):
            if first >= earliest:
                return first
    return 0


def _paragraphs(text: str) -> list[tuple[int, int, bool]]:
    """Runs of lines that one sentence may cross, stripped; True for a row or a line of code."""
    runs: list[tuple[int, int, bool]] = []
    at = 0
    continues = False
    lines = text.splitlines(keepends=True)
    for line in lines:
        content = line.strip()
        if content:
            start = at + line.index(content[0])
            end = start + len(content)
            whole = _is_whole(line)
            heading = _HEADING.match(line) is not None
            if continues and not (whole or heading or _ITEM.match(line)):
                runs[-1] = (runs[-1][0], end, False)
            else:
                runs.append((start, end, whole))
            continues = len(lines) > 1 and not (whole or heading) and _is_wrapped(content)
        else:
            continues = False
        at += len(line)
    return runs


def _is_whole(line: str) -> bool:
    return any(mark in line for mark in _WHOLE_MARKS) and _WHOLE.match(line) is not None


def _is_wrapped(line: str) -> bool:
    """Whether it may have been ended by the page's width; a Hangul syllable is two columns wide."""
    if len(line) >= _WRAPPED_COLUMNS:
        return True
    if 2 * len(line) < _WRAPPED_COLUMNS:
        return False
    return len(line) + sum(c >= "ᄀ" for c in line) >= _WRAPPED_COLUMNS


def _prose_spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    first = start
    for match in _ends(text, start, end):
        if match.group("mark") == "." and not _ends_here(text, first, match.start(), match.end()):
            continue
        yield first, match.end()
        first = match.end()
        while first < end and text[first].isspace():
            first += 1
    if first < end:
        yield first, end


def _ends(text: str, start: int, end: int) -> Iterator[re.Match[str]]:
    """`_END.finditer`."""
    mark = _MARK.search(text, start, end)
    while mark is not None:
        found = _END.match(text, mark.start(), end)
        if found is not None:
            yield found
        mark = _MARK.search(text, (found or mark).end(), end)


def _ends_here(text: str, first: int, mark: int, after: int) -> bool:
    """Whether the full stop at `mark` ends the sentence that starts at `first`."""
    if _NUMBERED.fullmatch(text, first, mark):
        return False
    tail = text[max(first, mark - _LAST_WORD_CHARACTERS) : mark]
    word = tail[len(tail.rstrip(_LETTERS_AND_DOT)) :].lstrip(".").lower()
    following = text[after : after + 8].lstrip()[:1]
    if word in _OFTEN_LAST:
        return not following or following.isupper() or "가" <= following <= "힣"
    if word in _ABBREVIATIONS:
        # `No. 5` and `p. 3`, but `The answer is no. Then ...`.
        return word in {"no", "p", "pp"} and not following.isdigit()
    return not (len(word) == 1 and tail[-1:].isupper() and following.isupper())
