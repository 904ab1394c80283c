"""What a Word paragraph's style means: heading level, list, code, contents."""

import re
from dataclasses import dataclass, field, replace
from typing import Any, Final

from platform_pipelines.stages.knowledge_base.parsing.docx_text import W

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


@dataclass(frozen=True, slots=True)
class Style:
    """What matters of a paragraph style; `level` counts from 1, None is no heading."""

    name: str = ""
    level: int | None = None
    numbering: tuple[str, int | None] | None = None  # the list's id; the depth in it, from 0
    code: bool = False
    contents: bool = False
    id: str = ""
    is_list: bool = False  # by its name: with bullets, and without a list's number


@dataclass(slots=True)
class Styles:
    """The styles of a document by id, with what they inherit."""

    by_id: dict[str, Style] = field(default_factory=dict)
    default: Style = field(default_factory=Style)

    @classmethod
    def of(cls, root: Any) -> "Styles":
        """From the style part's XML."""
        elements: dict[str, Any] = {}
        for element in root.iterchildren(f"{W}style"):
            elements[element.get(f"{W}styleId", "")] = element
        return cls({name: _style(name, elements) for name in elements})

    def style_of(self, paragraph: Any) -> Style:
        """A paragraph's style, with the outline level and numbering that it sets itself."""
        properties = paragraph.find(f"{W}pPr")
        if properties is None:
            return self.default
        style = self.by_id.get(value_of(properties, "pStyle") or "", self.default)
        level = _outline_level(properties)
        numbering = _numbering(properties)
        if level is not None and style.level is None:
            style = replace(style, level=level)
        if numbering is None:
            return style
        return replace(style, numbering=None if numbering[0] == "0" else numbering)


def _style(name: str, elements: dict[str, Any]) -> Style:
    """One style and its ancestors: the nearest that says something counts."""
    chain: list[Any] = []
    current: str | None = name
    while current in elements and len(chain) < _MOST_ANCESTORS:
        chain.append(elements[current])
        current = value_of(elements[current], "basedOn")
    names = [(value_of(element, "name") or "").strip() for element in chain]
    levels = [_level_of_name(n) or _outline_of(e) for n, e in zip(names, chain, strict=True)]
    lists = [_numbering(p) for e in chain if (p := e.find(f"{W}pPr")) is not None]
    contents = any(_CONTENTS.match(n) for n in names)
    return Style(
        names[0],
        None if contents else next((level for level in levels if level), None),
        next((found for found in lists if found and found[0] != "0"), None),
        any(_CODE.search(n) for n in names),
        contents,
        name,
        bool(_LIST.match(names[0])) and not _NUMBERED.match(names[0]),
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
    value = value_of(properties, "outlineLvl")
    return int(value) + 1 if value and value.isdecimal() and int(value) < 9 else None


def _numbering(properties: Any) -> tuple[str, int | None] | None:
    element = properties.find(f"{W}numPr")
    if element is None:
        return None
    number = value_of(element, "numId")
    depth = value_of(element, "ilvl")
    # Number 0 takes a paragraph out of its style's list.
    return (number, int(depth) if depth and depth.isdecimal() else None) if number else None


def value_of(parent: Any, tag: str) -> str | None:
    """The `val` of a child."""
    element = parent.find(f"{W}{tag}")
    return None if element is None else element.get(f"{W}val")
