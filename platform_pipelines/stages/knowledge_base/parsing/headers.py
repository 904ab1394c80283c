"""Which first rows of a table name its columns: judged by how the rows below differ. Pure.

A row of words over rows of words may name the columns; a row of numbers does so only where it is
years, periods or ages over something else. What is decided here travels with the block.
"""

import re
from collections.abc import Sequence
from enum import IntEnum
from itertools import pairwise
from typing import Final

NAME_CHARACTERS: Final = 80
_QUESTION_CHARACTERS: Final = 300  # of a survey: longer than what was answered
_DEEPEST: Final = 3
_FORM_SHARES: Final = (0.2, 0.8)  # of numbers below a name: mixed kinds are a form's values

_PERIOD: Final = re.compile(
    r"(?:fy|cy|h|q|w|wk|week|day|year|month|제)?\s?['’]?\d{1,4}\s?"
    r"(?:년도?|월|일|주차?|분기|반기|회계연도|학년|회차|차|시|대|세|개월|기|[qh]\d{0,4}|[aefp]|s|yrs?"
    r"|h[12]|st|nd|rd|th)?"
    r"(?:\s?(?:[-/.~–]|이상|미만|이하|\+)?\s?(?:[qhw]?\d{1,4}|대|세|월|분기|년|반기|상반기|하반기|이상|이하|미만))*"
    r"\s?(?:\((?:[a-z]{1,4}|예상|전망|잠정|실적|계획|누적)\)|\+|예상|전망|실적|[aefp])?$",
    re.IGNORECASE,
)
_MARKED: Final = re.compile(r"[^\W\d_]|[-/~–+]")
_BARE_YEAR: Final = re.compile(r"(?:19|20)\d\d$")
_MONTH: Final = re.compile(
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?(?:[\s-]?['’]?\d{2,4})?$",
    re.IGNORECASE,
)


class _Verdict(IntEnum):
    NO = 0
    MAYBE = 1
    SURE = 2


def header_depth(rows: Sequence[Sequence[str]], *, sure: bool = False) -> int:
    """How many of the first rows name the columns, 0 to 3; `rows` are clean texts.

    `sure`: only where rows below differ in kind, so that words over words are no header.
    """
    for depth in range(min(_DEEPEST, len(rows) - 1), 1, -1):
        if _is_grouped_header(rows, depth):
            return depth
    least = _Verdict.SURE if sure else _Verdict.MAYBE
    return int(bool(rows) and _verdict(rows[0], rows[1:]) >= least)


def column_names(rows: Sequence[Sequence[str]]) -> list[str]:
    """One name a column of the header's rows: `2026 / Actual` where a group stands over it."""
    width = max(map(len, rows), default=0)
    levels = [[*row, *[""] * (width - len(row))] for row in rows]
    for above, below in pairwise(levels):
        _fill_groups(above, below)
    names: list[str] = []
    for column in range(width):
        parts = dict.fromkeys(level[column] for level in levels if level[column])
        names.append(" / ".join(parts))
    return names


def is_header(texts: Sequence[str]) -> bool:
    """A row of at least two short distinct names, none of them a number or a date."""
    filled = [text for text in texts if text]
    return (
        len(filled) >= 2
        and len(filled) * 2 > len(texts)
        and all(len(t) <= NAME_CHARACTERS and not is_quantity(t) for t in filled)
        and len(set(filled)) * 2 > len(filled)
    )


def is_quantity(text: str) -> bool:
    """Whether a cell is a number, an amount or a date rather than a name: mostly digits."""
    digits = sum(c.isdecimal() for c in text)
    letters = sum(c.isalpha() for c in text)
    return digits > 0 and digits >= 2 * letters


def is_period(text: str) -> bool:
    """A year, quarter, month, age or the like: `2024`, `2022년`, `FY2024`, `1분기`, `30대`."""
    if _BARE_YEAR.match(text) or _MONTH.match(text):
        return True
    return bool(_MARKED.search(text) and _PERIOD.match(text))


def _is_grouped_header(rows: Sequence[Sequence[str]], depth: int) -> bool:
    """Whether the rows above the last of these group its columns."""
    inner = rows[depth - 1]
    if any(is_quantity(text) and not is_period(text) for row in rows[:depth] for text in row):
        return False
    if not all(_has_groups(rows[n], rows[n + 1]) for n in range(depth - 1)):
        return False
    own = [text or above for text, above in zip(inner, column_names(rows[:depth]), strict=False)]
    names = column_names(rows[:depth])
    distinct = len(set(names)) * 2 > len(names)
    return distinct and _votes(own, rows[depth:]) >= _Verdict.SURE


def _has_groups(above: Sequence[str], below: Sequence[str]) -> bool:
    filled = [*above, *[""] * (len(below) - len(above))]
    _fill_groups(filled, below)
    names = [*below, *[""] * (len(filled) - len(below))]
    return len([t for t in below if t]) >= 2 and any(
        filled[n] and filled[n] == filled[n - 1] and names[n] != names[n - 1]
        for n in range(1, len(filled))
    )


def _fill_groups(above: list[str], below: Sequence[str]) -> None:
    """Say a group's name over each of its columns where the file says it once, at the left."""
    for n in range(1, min(len(above), len(below))):
        left_is_group = above[n - 1] and below[n - 1] and below[n - 1] != above[n - 1]
        if not above[n] and below[n] and left_is_group:
            above[n] = above[n - 1]


def _verdict(first: Sequence[str], later: Sequence[Sequence[str]]) -> _Verdict:
    filled = [text for text in first if text]
    if len(filled) < 2 or len(filled) * 2 <= len(first):
        return _Verdict.NO
    if len(set(filled)) * 2 <= len(filled) or _is_form(first, later):
        return _Verdict.NO
    return _votes(first, later)


def _is_form(first: Sequence[str], later: Sequence[Sequence[str]]) -> bool:
    """Two columns of which the second holds numbers and words alike: names and their values."""
    if len(first) != 2 or is_quantity(first[0]) or any(len(row) > 2 for row in later):
        return False
    values = [row[1] for row in later if len(row) == 2 and row[1]]
    share = sum(map(is_quantity, values)) / len(values) if len(values) >= 3 else 1.0
    return first[0].endswith(":") or _FORM_SHARES[0] <= share <= _FORM_SHARES[1]


def _votes(first: Sequence[str], later: Sequence[Sequence[str]]) -> _Verdict:
    total = 0
    for column, text in enumerate(first):
        if not text:
            continue
        vote = _vote(text, [row[column] for row in later if column < len(row) and row[column]])
        if vote < 0:
            return _Verdict.NO
        total += vote
    return _Verdict.SURE if total else _Verdict.MAYBE


def _vote(text: str, below: Sequence[str]) -> int:
    """1 where what stands below differs in kind, -1 where the text is one more of it."""
    if len(text) > NAME_CHARACTERS:
        shorter = bool(below) and max(map(len, below)) * 2 <= len(text)
        question = text.rstrip(" *)").endswith(("?", "？", "시오.", "주세요.", "세요"))
        return 1 if len(text) <= _QUESTION_CHARACTERS and (shorter or question) else -1
    if is_period(text) and below:
        return -1 if sum(map(is_period, below)) * 2 >= len(below) else 1
    numbers = sum(map(is_quantity, below))
    if is_quantity(text):
        return 1 if len(below) >= 2 and not numbers else -1
    return int(bool(below) and numbers * 2 >= len(below))
