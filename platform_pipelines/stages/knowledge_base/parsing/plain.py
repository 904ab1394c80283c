"""Plain text: paragraphs at blank lines, underlined headings, hard-wrapped lines joined."""

import re
from typing import Final

from platform_pipelines.core.knowledge_base.documents import BlockKind, Place
from platform_pipelines.core.knowledge_base.text import display_width, unwrap_lines
from platform_pipelines.stages.knowledge_base.parsing.draft import Draft, Outline, add_heading

_UNDERLINE: Final = re.compile(r"[=\-~^\"'#*]{3,}\s*$")
_BULLET: Final = re.compile(r"\s*(?:[-*•·○●■□※▪]|\d{1,3}[.)]|[가-하]\.)\s+\S")
_CAPITALS: Final = re.compile(r"[A-Z][A-Z0-9 &/,'()-]{2,60}$")  # a heading of a plain memo
_CAPITALS_LEVEL: Final = 5
_HEADING_COLUMNS: Final = 100


def read_plain(text: str) -> Draft:
    """Blocks of a text file. Underlined lines (reStructuredText) become headings."""
    draft, outline = Draft(), Outline()
    levels: list[str] = []
    lines = text.split("\n")
    start = 0
    while start < len(lines):
        end = start
        while end < len(lines) and lines[end].strip():
            end += 1
        if end > start:
            _add_run(draft, outline, lines[start:end], start + 1, levels)
        start = end + 1
    if draft.blocks and draft.blocks[0].kind is BlockKind.HEADING:
        draft.title = draft.blocks[0].text
    return draft


def _add_run(
    draft: Draft, outline: Outline, lines: list[str], number: int, levels: list[str]
) -> None:
    """One run of lines without a blank one: perhaps a heading, then the rest as one block."""
    if len(lines) == 1 and _CAPITALS.match(lines[0]):
        add_heading(draft, outline, _CAPITALS_LEVEL, lines[0], Place(line=number))
        return
    size = _heading_lines(lines)
    if size:
        title, mark = (lines[1], lines[0][0] * 2) if size == 3 else (lines[0], lines[1][0])
        if mark not in levels:
            levels.append(mark)
        add_heading(draft, outline, levels.index(mark) + 1, title, Place(line=number))
    rest = lines[size:]
    place = Place(heading=outline.path, line=number + size)
    if rest and _BULLET.match(rest[0]):
        draft.add(_items(rest), BlockKind.LIST, place)
    else:
        draft.add(unwrap_lines(rest), BlockKind.PARAGRAPH, place)


def _items(lines: list[str]) -> str:
    """One line per item: lines that go on below an item are joined to it."""
    items: list[list[str]] = []
    for line in lines:
        if not items or _BULLET.match(line):
            items.append([line.rstrip()])
        else:
            items[-1].append(line.strip())
    return "\n".join(" ".join(item) for item in items)


def _heading_lines(lines: list[str]) -> int:
    """Lines that a heading takes at the start of a run: 0, 2 (underlined) or 3 (overlined too)."""
    over = len(lines) >= 3 and _is_rule_for(lines[0], lines[1]) and lines[2] == lines[0]
    if over:
        return 3
    return 2 if len(lines) >= 2 and _is_rule_for(lines[1], lines[0]) else 0


def _is_rule_for(rule: str, title: str) -> bool:
    if not _UNDERLINE.match(rule) or len(set(rule.strip())) != 1 or _UNDERLINE.match(title):
        return False
    width = display_width(title.strip())
    return width <= _HEADING_COLUMNS and len(rule.strip()) >= 0.6 * width
