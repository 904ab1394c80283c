"""HTML as a reader sees it: headings, paragraphs, lists, code and tables, without the furniture."""

import html
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from platform_pipelines.core.knowledge_base.documents import BlockKind, NoteKind, Place
from platform_pipelines.core.knowledge_base.text import one_line
from platform_pipelines.stages.knowledge_base.parsing.dom import events, link_share
from platform_pipelines.stages.knowledge_base.parsing.draft import (
    Draft,
    Outline,
    add_heading,
    add_table,
)
from platform_pipelines.stages.knowledge_base.parsing.html_table import is_data_table, read_table

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_META_CHARSET: Final = re.compile(
    rb"<meta[^>]{0,200}?charset\s{0,5}=\s{0,5}[\"']?([\w.:-]{2,40})", re.IGNORECASE
)
_XML_CHARSET: Final = re.compile(
    rb"<\?xml[^>]{0,100}?encoding=[\"']([\w.:-]{2,40})[\"']", re.IGNORECASE
)
_XHTML: Final = re.compile(
    r"\s*+(?:<\?xml\b|(?:<!doctype[^>]{0,200}xhtml[^>]{0,200}>|<!--.{0,2000}?-->|\s)*+"
    r"<html\b[^>]{0,500}xmlns=)",
    re.IGNORECASE | re.DOTALL,
)
_SELF_CLOSED: Final = re.compile(r"<([A-Za-z][\w:-]{0,40})((?:\s[^<>]{0,2000}?)?)\s*/>")
_CDATA: Final = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_VOID_TAGS: Final = "area base br col embed hr img input link meta param source track wbr"
_VOID: Final = frozenset(_VOID_TAGS.split())
_RAISED: Final = re.compile(r"[-+−]?[\d.,]{1,12}$|[-+−]?[a-zA-Z]$")
_NAVIGATION: Final = re.compile(r"\b(?:nav|navbox|navbar|breadcrumbs?|toc|menu)\b", re.IGNORECASE)
_MENU_SHARE: Final = 0.5
_NAVIGATION_SHARE: Final = 0.9  # of a table's text in links: it leads elsewhere, and says nothing
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}
_BLOCK_TAGS: Final = """
    address article aside blockquote body center dd details div dl dt fieldset figcaption figure
    footer form header hr html legend li main menu ol p pre section summary table tbody td tfoot th
    thead tr ul
"""
_BLOCKS: Final = frozenset(_BLOCK_TAGS.split())
_DEEPEST_LIST: Final = 8


def declared_charset(data: bytes) -> str | None:
    """The charset that an HTML file's own first bytes declare."""
    found = _META_CHARSET.search(data[:4096]) or _XML_CHARSET.search(data[:200])
    return found.group(1).decode("ascii", "ignore") if found else None


def read_html(text: str) -> Draft:
    """Blocks of a page in document order; the title is the `<title>`, or else the first `h1`."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(_as_html(text))
    title = tree.css_first("head > title")
    reader = _Reader()
    root = tree.body or tree.root
    if root is not None:
        reader.read(root)
    first = tree.css_first("h1")
    reader.draft.title = (one_line(title.text()) if title else "") or (
        one_line(first.text(separator=" ")) if first else ""
    )
    return reader.draft


def _as_html(text: str) -> str:
    """XHTML's own forms as HTML's: to an HTML parser `<title/>` opens a title that never ends."""
    if not _XHTML.match(text):
        return text
    text = _CDATA.sub(lambda found: html.escape(found.group(1), quote=False), text)
    return _SELF_CLOSED.sub(_closed, text)


def _closed(found: re.Match[str]) -> str:
    tag = found.group(1)
    return found.group() if tag.lower() in _VOID else f"<{tag}{found.group(2)}></{tag}>"


@dataclass(slots=True)
class _Reader:
    draft: Draft = field(default_factory=Draft)
    outline: Outline = field(default_factory=Outline)
    inline: list[str] = field(default_factory=list)  # text of the block that is open
    items: list[str] = field(default_factory=list)  # finished items of the list that is open
    lists: list[int] = field(default_factory=list)  # per open list: next number, or -1 for bullets
    marker: str = ""  # of the list item that has no text yet
    verbatim: int = 0  # open `pre` elements
    skipping: int | None = None  # the table whose rows are already taken

    def read(self, root: "LexborNode") -> None:
        for entering, tag, node in events(root):
            if self.skipping is not None:
                if not entering and node.mem_id == self.skipping:
                    self.skipping = None
            elif tag == "-text":
                if entering:
                    self.inline.append(node.text_content or "")
            elif entering:
                self._enter(tag, node)
            else:
                self._leave(tag)
        self._flush()
        self._flush_list()

    def _enter(self, tag: str, node: "LexborNode") -> None:
        if tag == "br":
            self.inline.append("\n" if self.verbatim else "\v")
        elif tag in ("sup", "sub"):
            self._raise(tag, node)
        elif tag in _BLOCKS or tag in _HEADINGS:
            self._enter_block(tag, node)

    def _enter_block(self, tag: str, node: "LexborNode") -> None:
        if self.verbatim and tag != "pre":
            self.inline.append("\n")
            return
        self._flush()
        if tag == "table":
            self._enter_table(node)
        elif tag in ("ul", "ol", "menu"):
            self.lists.append(1 if tag == "ol" else -1)
        elif tag == "li":
            self.marker = self._next_marker()
        elif tag == "pre" or tag in _HEADINGS:
            self._flush_list()
            self.verbatim += tag == "pre"

    def _enter_table(self, node: "LexborNode") -> None:
        if _is_navigation(node):
            self.draft.note(NoteKind.HIDDEN, "navigation tables")
            self.skipping = node.mem_id
        elif is_data_table(node):
            self._flush_list()
            found = read_table(node)
            add_table(
                self.draft, found.rows, self._place(), depth=found.depth, caption=found.caption
            )
            self.skipping = node.mem_id

    def _leave(self, tag: str) -> None:
        if tag in _HEADINGS:
            level, text = _HEADINGS[tag], self._take_inline()
            add_heading(self.draft, self.outline, level, text, Place())
        elif tag == "pre" and self.verbatim:
            self.verbatim -= 1
            text, self.inline = "".join(self.inline).strip("\n"), []
            self.draft.add(text, BlockKind.CODE, self._place())
        elif tag in _BLOCKS and not self.verbatim:
            self._flush()
            if tag in ("ul", "ol", "menu") and self.lists:
                self.lists.pop()
                if not self.lists:
                    self._flush_list()

    def _raise(self, tag: str, node: "LexborNode") -> None:
        """`10<sup>5</sup>` is not 105, and a note's mark is no digit of the number before it."""
        text = (node.text() or "").strip()
        before = "".join(self.inline)[-1:]
        if tag == "sup" and node.css_first("a") is not None and len(text) <= 4:
            self.inline.append(" ")
        elif tag == "sup" and before.isalnum() and _RAISED.match(text):
            self.inline.append("^")
        elif tag == "sub" and before.isdigit() and text[:1].isdigit():
            self.inline.append("_")

    def _next_marker(self) -> str:
        if not self.lists:
            self.lists.append(-1)  # an item outside any list, as browsers show it
        depth = min(len(self.lists), _DEEPEST_LIST) - 1
        number = self.lists[-1]
        if number >= 0:
            self.lists[-1] = number + 1
        return "  " * depth + (f"{number}. " if number >= 0 else "- ")

    def _take_inline(self) -> str:
        text, self.inline = "".join(self.inline), []
        return "\n".join(filter(None, (one_line(part) for part in text.split("\v"))))

    def _flush(self) -> None:
        """End the open run of text: an item of the open list, or a paragraph."""
        if not self.inline:
            return
        text = self._take_inline()
        if not text:
            return
        if self.lists:
            self.items.append((self.marker or "  " * len(self.lists)) + text.replace("\n", " "))
            self.marker = ""
        else:
            self.draft.add(text, BlockKind.PARAGRAPH, self._place())

    def _flush_list(self) -> None:
        items, self.items = self.items, []
        self.draft.add("\n".join(items), BlockKind.LIST, self._place())

    def _place(self) -> Place:
        return Place(heading=self.outline.path)


def _is_navigation(table: "LexborNode") -> bool:
    """A table of links to other pages."""
    found = table.attributes
    named = found.get("role") == "navigation" or _NAVIGATION.search(found.get("class") or "")
    links = len(table.css("a"))
    if links < 3:
        return False
    return link_share(table) >= (_MENU_SHARE if named else _NAVIGATION_SHARE)
