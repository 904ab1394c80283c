"""A PDF's own outline: which rows of a page are headings, and of which level. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from platform_pipelines.stages.knowledge_base.parsing.pdf_layout import Row

_LEAST_ENTRIES: Final = 4
_LEAST_SHARE: Final = 0.6  # of the entries must be found, or the outline is of another document
_LEAST_PART: Final = 10  # characters of a heading's first line


class Entry(NamedTuple):
    """A bookmark: its level from 1, its title, and the page that it leads to, from 1."""

    level: int
    title: str
    page: int


@dataclass(frozen=True, slots=True)
class Headings:
    """The rows that the outline names, by page and text; empty where there is none to trust."""

    levels: dict[tuple[int, str], int] = field(default_factory=dict[tuple[int, str], int])
    largest: float = 0.0  # the font size of the largest of them: a larger row is a title

    @property
    def known(self) -> bool:
        """Whether the file says which its headings are."""
        return bool(self.levels)

    def level(self, page: int, row: Row) -> int | None:
        """The level of a row; None for one that the outline does not name."""
        return self.levels.get((page, _key(row.text)))


def headings_of(entries: Sequence[Entry], pages: Iterable[tuple[int, Sequence[Row]]]) -> Headings:
    """The rows of the document that its outline's entries lead to."""
    by_page: dict[int, dict[str, int]] = {}
    for entry in entries:
        if _key(entry.title):
            by_page.setdefault(entry.page, {})[_key(entry.title)] = entry.level
    levels: dict[tuple[int, str], int] = {}
    found: set[tuple[int, str]] = set()
    largest = 0.0
    for number, rows in pages:
        titles = by_page.get(number, {})
        for row in rows if titles else ():
            title = _title_of(_key(row.text), titles)
            if title:
                levels[number, _key(row.text)] = titles[title]
                found.add((number, title))
                largest = max(largest, row.size)
    wanted = sum(map(len, by_page.values()))
    trusted = len(found) >= _LEAST_ENTRIES and len(found) >= _LEAST_SHARE * wanted
    return Headings(levels, largest) if trusted else Headings()


def _title_of(text: str, titles: dict[str, int]) -> str:
    if text in titles:
        return text
    bare = text.lstrip("0123456789")
    for title in titles:
        same = bool(bare) and bare == title.lstrip("0123456789")
        if same or (len(text) >= _LEAST_PART and title.startswith(text)):
            return title
    return ""


def _key(text: str) -> str:
    """Letters and digits alone: bookmarks differ in spaces and dots."""
    return "".join(c for c in text.casefold() if c.isalnum())
