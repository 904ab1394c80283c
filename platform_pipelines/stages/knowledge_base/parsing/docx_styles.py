"""What a Word paragraph's style and numbering mean: heading level, list marker, code."""

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from platform_pipelines.stages.knowledge_base.parsing.docx_text import W

if TYPE_CHECKING:
    from docx.document import Document

# Korean Word, LibreOffice and converters from HWP name styles in Korean.
_HEADING: Final = re.compile(r"(?:heading|제목|개요|머리글\s*수준)\s*([1-9])\b", re.IGNORECASE)
_TITLE: Final = re.compile(r"(?:title|제목|문서\s*제목)$", re.IGNORECASE)
_LIST: Final = re.compile(r"list (?:bullet|number|paragraph)|목록|글머리", re.IGNORECASE)
_NUMBERED: Final = re.compile(r"list number|번호", re.IGNORECASE)
_CODE: Final = re.compile(
    r"\b(?:code|source|preformatted|macro text|html preformatted)\b|코드", re.IGNORECASE
)
_CONTENTS: Final = re.compile(r"(?:toc|목차|차례)\s*\d*(?: heading)?$", re.IGNORECASE)
_MOST_ANCESTORS: Final = 12
_DEEPEST_LIST: Final = 8


@dataclass(frozen=True, slots=True)
class Style:
    """What matters of a paragraph style; `level` counts from 1, None is no heading."""

    name: str = ""
    level: int | None = None
    numbering: tuple[str, int] | None = None  # the list's id and the depth in it, from 0
    code: bool = False
    contents: bool = False


@dataclass(slots=True)
class Styles:
    """The styles of a document by id, with what they inherit."""

    by_id: dict[str, Style] = field(default_factory=dict)
    default: Style = field(default_factory=Style)

    @classmethod
    def of(cls, document: "Document") -> "Styles":
        """Read the style part; a document without one has no styles."""
        elements: dict[str, Any] = {}
        for element in document.styles.element.iterchildren(f"{W}style"):
            elements[element.get(f"{W}styleId", "")] = element
        return cls({name: _style(name, elements) for name in elements})

    def style_of(self, paragraph: Any) -> Style:
        """A paragraph's style, with the outline level and numbering that it sets itself."""
        properties = paragraph.find(f"{W}pPr")
        if properties is None:
            return self.default
        style = self.by_id.get(_value(properties, "pStyle") or "", self.default)
        level = _outline_level(properties)
        numbering = _numbering(properties)
        if level is not None and style.level is None:
            style = replace(style, level=level)
        return replace(style, numbering=numbering) if numbering else style


def _style(name: str, elements: dict[str, Any]) -> Style:
    """One style and its ancestors: the nearest that says something counts."""
    chain: list[Any] = []
    current: str | None = name
    while current in elements and len(chain) < _MOST_ANCESTORS:
        chain.append(elements[current])
        current = _value(elements[current], "basedOn")
    names = [(_value(element, "name") or "").strip() for element in chain]
    levels = [_level_of_name(n) or _outline_of(e) for n, e in zip(names, chain, strict=True)]
    lists = [_numbering(p) for e in chain if (p := e.find(f"{W}pPr")) is not None]
    contents = any(_CONTENTS.match(n) for n in names)
    return Style(
        names[0],
        None if contents else next((level for level in levels if level), None),
        next((found for found in lists if found), None),
        any(_CODE.search(n) for n in names),
        contents,
    )


def _level_of_name(name: str) -> int | None:
    found = _HEADING.match(name)
    if found:
        return int(found.group(1))
    return 1 if _TITLE.match(name) else None


def _outline_of(style: Any) -> int | None:
    properties = style.find(f"{W}pPr")
    return None if properties is None else _outline_level(properties)


def _outline_level(properties: Any) -> int | None:
    value = _value(properties, "outlineLvl")
    return int(value) + 1 if value and value.isdecimal() and int(value) < 9 else None


def _numbering(properties: Any) -> tuple[str, int] | None:
    element = properties.find(f"{W}numPr")
    if element is None:
        return None
    number = _value(element, "numId")
    depth = _value(element, "ilvl") or "0"
    # Number 0 takes a paragraph out of its style's list.
    return (number, int(depth) if depth.isdecimal() else 0) if number and number != "0" else None


def _value(parent: Any, tag: str) -> str | None:
    element = parent.find(f"{W}{tag}")
    return None if element is None else element.get(f"{W}val")


@dataclass(slots=True)
class Numbering:
    """Markers of list items: bullets, or numbers counted the way Word would."""

    bullets: dict[str, set[int]] = field(default_factory=dict)  # list id -> depths with bullets
    counts: dict[tuple[str, int], int] = field(default_factory=dict)

    @classmethod
    def of(cls, document: "Document") -> "Numbering":
        """Read the numbering part; a document without lists has none."""
        from docx.opc.constants import RELATIONSHIP_TYPE

        try:
            part: Any = document.part.part_related_by(RELATIONSHIP_TYPE.NUMBERING)
        except KeyError:
            return cls()
        abstract = {
            element.get(f"{W}abstractNumId"): _bullet_depths(element)
            for element in part.element.iterchildren(f"{W}abstractNum")
        }
        return cls(
            {
                number.get(f"{W}numId"): abstract.get(_value(number, "abstractNumId"), set())
                for number in part.element.iterchildren(f"{W}num")
            }
        )

    def marker(self, style: Style) -> str | None:
        """`- ` or `3. ` with its indentation; None for a paragraph that is no list item."""
        if style.numbering is None:
            plain = "- " if _LIST.match(style.name) and not _NUMBERED.match(style.name) else None
            return plain if style.name.lower() != "list paragraph" else None
        name, depth = style.numbering
        indent = "  " * min(depth, _DEEPEST_LIST)
        if depth in self.bullets.get(name, set()):
            return f"{indent}- "
        self.counts = {k: n for k, n in self.counts.items() if k[0] != name or k[1] <= depth}
        count = self.counts.get((name, depth), 0) + 1
        self.counts[name, depth] = count
        return f"{indent}{count}. "


def _bullet_depths(abstract: Any) -> set[int]:
    depths: set[int] = set()
    for level in abstract.iterchildren(f"{W}lvl"):
        depth = level.get(f"{W}ilvl", "0")
        if depth.isdecimal() and _value(level, "numFmt") in ("bullet", "none", None):
            depths.add(int(depth))
    return depths
