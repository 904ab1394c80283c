"""Markdown (CommonMark's blocks, GitHub's tables, front matter) by one pass over the lines.

A full CommonMark parser costs milliseconds per document; a corpus has many thousands of these.
"""

import re
from typing import Final

from platform_pipelines.core.knowledge_base.documents import BlockKind, Place
from platform_pipelines.core.knowledge_base.text import one_line
from platform_pipelines.stages.knowledge_base.parsing.draft import (
    Draft,
    Outline,
    add_heading,
    add_table,
)
from platform_pipelines.stages.knowledge_base.parsing.inline import plain_inline

_ATX: Final = re.compile(r" {0,3}(#{1,6})(?:[ \t]+|$)")
_SETEXT: Final = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_FENCE: Final = re.compile(r"([ \t]*)(`{3,}|~{3,})([^`]*)$")
_RULE: Final = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$")
_ITEM: Final = re.compile(r"([ \t]*)([-*+]|\d{1,9}[.)])(?:[ \t]+(.*)|$)")
_TABLE_RULE: Final = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?$")
_CELL_BORDER: Final = re.compile(r"(?<!\\)\|")
_QUOTE: Final = re.compile(r"(?: {0,3}>[ \t]?)+")
# Only what leads somewhere is a link definition: `[TODO]: rotate` and `[Sora]: I will` are text.
_DEFINITION: Final = re.compile(
    r" {0,3}\[(?!\^)[^\]\[]{1,200}\]:[ \t]*(?:<[^<>]{0,2000}>|(?=\S{0,2000}[/#:.@])\S{1,2000})"
    r"(?:[ \t]+(?:\"[^\"]{0,400}\"|'[^']{0,400}'|\([^()]{0,400}\)))?[ \t]*$"
)
_FOOTNOTE: Final = re.compile(r" {0,3}\[\^([^\]\[\s]{1,200})\]:[ \t]*")
_TABLE_TAG: Final = re.compile(
    r" {0,3}(?:<(?:div|center|p)\b[^<>]{0,400}>\s{0,10})?<table\b", re.IGNORECASE
)
_TABLE_END: Final = re.compile(r"</table\s{0,10}>", re.IGNORECASE)
_FRONT_TITLE: Final = re.compile(r"title[ \t]*[:=][ \t]*(.+)$", re.IGNORECASE)
_LIST_ENDS: Final = frozenset("#`~-*_>|")
_INTERRUPTS: Final = frozenset("#`~>|-*+=_<[0123456789 \t")


def read_markdown(text: str) -> Draft:
    """Blocks of a Markdown text; the title is the front matter's or the first `#` heading's."""
    return _Reader(text).read()


class _Reader:
    """One pass over the lines; each `_take_*` consumes at least one line or answers False."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.at = 0
        self.draft = Draft()
        self.outline = Outline()
        self.no_comment_end = 0  # up to which line a comment is known not to end

    def read(self) -> Draft:
        self._take_front_matter()
        takers = (
            self._take_fence,
            self._take_footnote,
            self._take_html_table,
            self._take_table,
            self._take_item,
            self._take_quote,
        )
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if not line.strip():
                self.at += 1
            elif self._take_heading(line) or self._take_noise(line):
                continue
            else:
                prose = line[0] not in _INTERRUPTS and "|" not in line
                if prose or not any(take(line) for take in takers):
                    self._take_paragraph()
        return self.draft

    def _place(self) -> Place:
        return Place(heading=self.outline.path)

    def _take_front_matter(self) -> None:
        fence = self.lines[0].rstrip()
        if fence not in ("---", "+++"):
            return
        for end in range(1, min(len(self.lines), 200)):
            line = self.lines[end]
            if line.rstrip() in (fence, "..."):
                self.at = end + 1
                return
            found = _FRONT_TITLE.match(line)
            if found:
                self.draft.title = one_line(found.group(1).strip().strip("\"'")) or None
        self.draft.title = None  # never closed: a rule and a paragraph, not front matter

    def _take_heading(self, line: str) -> bool:
        found = _ATX.match(line)
        if not found:
            return False
        self._heading(len(found.group(1)), line[found.end() :])
        self.at += 1
        return True

    def _heading(self, level: int, raw: str) -> None:
        title = plain_inline(_heading_text(raw)).replace("`", "").strip()
        add_heading(self.draft, self.outline, level, title, Place())
        if level == 1 and title and self.draft.title is None:
            self.draft.title = one_line(title)

    def _take_noise(self, line: str) -> bool:
        """Rules, link definitions and comments carry no text of their own."""
        if line.lstrip().startswith("<!--"):
            end = self._comment_end()
            if end is None:
                return False
            self.at = end
        elif not (_RULE.match(line) or _DEFINITION.match(line)):
            return False
        self.at += 1
        return True

    def _comment_end(self) -> int | None:
        """The line that ends the comment; None when it never ends, or text follows it there."""
        if self.at < self.no_comment_end:
            return None
        for number in range(self.at, len(self.lines)):
            _, mark, rest = self.lines[number].partition("-->")
            if mark:
                return None if rest.strip() else number
        self.no_comment_end = len(self.lines)
        return None

    def _take_fence(self, line: str) -> bool:
        found = _FENCE.match(line)
        if not found:
            return False
        indent, fence = len(found.group(1)), found.group(2)
        closing = re.compile(rf"[ \t]*{re.escape(fence[0])}{{{len(fence)},}}[ \t]*$")
        body: list[str] = []
        self.at += 1
        while self.at < len(self.lines) and not closing.match(self.lines[self.at]):
            row = self.lines[self.at]
            body.append(row[indent:] if not row[:indent].strip() else row.lstrip())
            self.at += 1
        self.at += 1
        self.draft.add("\n".join(body), BlockKind.CODE, self._place())
        return True

    def _take_footnote(self, line: str) -> bool:
        """A note with its indented paragraphs; it keeps its mark, by which the text names it."""
        found = _FOOTNOTE.match(line)
        if not found:
            return False
        rows = [line[found.end() :]]
        self.at += 1
        while self.at < len(self.lines):
            row = self.lines[self.at]
            below = self.lines[self.at + 1] if self.at + 1 < len(self.lines) else ""
            inside = row.startswith(("    ", "\t")) or (
                below.startswith(("    ", "\t")) if not row.strip() else bool(rows[-1])
            )
            if not inside or _FOOTNOTE.match(row) or (row.strip() and self._interrupts(row)):
                break
            rows.append(row.strip())
            self.at += 1
        text = plain_inline("\n".join(filter(None, "\n".join(rows).split("\n"))))
        self.draft.add(f"[^{found.group(1)}]: {text}", BlockKind.PARAGRAPH, self._place())
        return True

    def _take_html_table(self, line: str) -> bool:
        """A table that a converter left as tags: read as on a page, to its own end."""
        if not _TABLE_TAG.match(line):
            return False
        end = self.at
        while end < len(self.lines) and not _TABLE_END.search(self.lines[end]):
            end += 1
        if end == len(self.lines):
            return False
        from platform_pipelines.stages.knowledge_base.parsing.html import read_html

        for block in read_html("\n".join(self.lines[self.at : end + 1])).blocks:
            heading = (*self.outline.path, *block.place.heading)
            self.draft.blocks.append(block._replace(place=Place(heading=heading)))
        self.at = end + 1
        return True

    def _take_table(self, line: str) -> bool:
        following = self.lines[self.at + 1] if self.at + 1 < len(self.lines) else ""
        if "|" not in line or "-" not in following or not _TABLE_RULE.match(following.strip()):
            return False
        rows = [_cells(line)]
        self.at += 2
        while self.at < len(self.lines) and "|" in self.lines[self.at]:
            rows.append(_cells(self.lines[self.at]))
            self.at += 1
        add_table(self.draft, rows, self._place(), depth=1)
        return True

    def _take_item(self, line: str) -> bool:
        """A whole list: items, their wrapped lines and nested items; fences inside stay code."""
        if not _ITEM.match(line):
            return False
        items: list[list[str]] = []
        while self.at < len(self.lines):
            row = self.lines[self.at]
            found = _ITEM.match(row)
            if found and not _RULE.match(row):
                indent = len(found.group(1).expandtabs(4)) // 2 * 2
                first = f"{' ' * indent}{found.group(2)} {(found.group(3) or '').strip()}"
                items.append([first])
            elif not row.strip() or self._ends_list(row):
                break
            else:
                items[-1].append(row.strip())
            self.at += 1
            self._skip_blank_before_item()
        text = "\n".join(plain_inline(" ".join(item).rstrip()) for item in items)
        self.draft.add(text, BlockKind.LIST, self._place())
        return True

    def _ends_list(self, row: str) -> bool:
        first = row.lstrip()[:1]
        if first not in _LIST_ENDS:
            return False
        return first == "|" or any(mark.match(row) for mark in (_ATX, _FENCE, _RULE, _QUOTE))

    def _skip_blank_before_item(self) -> None:
        """A blank line inside a list belongs to it when an item or an indented line follows."""
        ahead = self.at
        while ahead < len(self.lines) and not self.lines[ahead].strip():
            ahead += 1
        if ahead == self.at or ahead >= len(self.lines):
            return
        row = self.lines[ahead]
        if _ITEM.match(row) or (row[0] in " \t" and not _FENCE.match(row)):
            self.at = ahead

    def _take_quote(self, line: str) -> bool:
        if not _QUOTE.match(line):
            return False
        rows: list[str] = []
        while self.at < len(self.lines) and self.lines[self.at].strip():
            row = self.lines[self.at]
            found = _QUOTE.match(row)
            rows.append(row[found.end() :] if found else row)
            self.at += 1
        self.draft.add(plain_inline(_join(rows)), BlockKind.PARAGRAPH, self._place())
        return True

    def _take_paragraph(self) -> None:
        rows = [self.lines[self.at]]
        indented = rows[0].startswith(("    ", "\t"))
        self.at += 1
        while self.at < len(self.lines):
            row = self.lines[self.at]
            if not row.strip() or (indented and not row.startswith(("    ", "\t"))):
                break
            underline = None if indented else _SETEXT.match(row)
            if underline and len(rows) <= 3:
                self.at += 1
                self._heading(1 if "=" in underline.group(1) else 2, " ".join(rows))
                return
            if row[0] in _INTERRUPTS and not indented and self._interrupts(row):
                break
            rows.append(row)
            self.at += 1
        if indented:
            self.draft.add(_dedent(rows), BlockKind.CODE, self._place())
        else:
            self.draft.add(plain_inline(_join(rows)).strip(), BlockKind.PARAGRAPH, self._place())

    def _interrupts(self, row: str) -> bool:
        found = _ITEM.match(row)
        if found:  # as in CommonMark: a number other than 1 may be the wrapped end of a sentence
            return bool(found.group(3)) and found.group(2) in ("-", "*", "+", "1.", "1)")
        note = bool(_FOOTNOTE.match(row) or _TABLE_TAG.match(row))
        return self._ends_list(row) or note or row.lstrip().startswith("<!--")


def _heading_text(raw: str) -> str:
    """Without a closing `##` (a space stands before it: `C#` is a name) and an `{#anchor}`."""
    text = raw.strip()
    bare = text.rstrip("#")
    if bare != text and bare[-1:] in ("", " ", "\t"):
        text = bare.rstrip()
    anchor = text.rfind("{#")
    return text[:anchor].rstrip() if anchor >= 0 and text.endswith("}") else text


def _join(rows: list[str]) -> str:
    """Soft line breaks are spaces; two trailing spaces or a backslash are hard ones."""
    parts: list[str] = []
    for row in rows:
        hard = row.endswith(("  ", "\\"))
        parts.append(row.strip().removesuffix("\\").rstrip() + ("\n" if hard else " "))
    return "".join(parts).strip()


def _dedent(rows: list[str]) -> str:
    return "\n".join(row[1:] if row.startswith("\t") else row.removeprefix("    ") for row in rows)


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|")
    if inner.endswith("|") and not inner.endswith("\\|"):
        inner = inner[:-1]
    return [plain_inline(cell.strip().replace("\\|", "|")) for cell in _CELL_BORDER.split(inner)]
