"""A walk over an HTML tree without recursion (a hostile page nests a hundred thousand elements)."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

# Not part of what a reader reads: code, controls, pictures, and the site's own furniture.
_SKIPPED: Final = """
    script style noscript template nav svg iframe object embed canvas select button textarea
    audio video map head dialog
"""
SKIPPED: Final = frozenset(_SKIPPED.split())
_TITLES: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "summary", "dt", "legend", "th"})
_PANEL: Final = re.compile(r"accordion|collaps|tab-?pane|tab-?panel|toggle", re.IGNORECASE)
_MENU_SHARE: Final = 0.6  # of a panel's text in links: it is a menu


def events(root: "LexborNode") -> Iterator[tuple[bool, str, "LexborNode"]]:
    """`(entering, tag, node)` in document order without what nobody reads; text is `-text`."""
    node: LexborNode | None = root
    opened = _opened(root)
    while node is not None:
        tag = node.tag or ""
        hidden = tag.startswith(("-comment", "_comment", "!")) or _is_hidden(node, opened)
        hidden = hidden or (tag in SKIPPED and not (tag == "button" and _is_title(node)))
        if not hidden:
            yield True, tag, node
            child = node.first_child
            if child is not None:
                node = child
                continue
            yield False, tag, node
        node = yield from _climb(node, root)


def _opened(root: "LexborNode") -> frozenset[str]:
    """Names of what a press of a button shows: the answers of an accordion, the panes of tabs."""
    found: set[str] = set()
    for node in root.css("[aria-controls], [data-target], [data-bs-target], [data-toggle]"):
        values = node.attributes
        for name in ("aria-controls", "data-target", "data-bs-target", "href"):
            found.update((values.get(name) or "").replace("#", " ").split())
    return frozenset(found)


def _is_title(button: "LexborNode") -> bool:
    """A button that is a heading's text; others are controls."""
    node, steps = button.parent, 0
    while node is not None and steps < 4:
        if node.tag in _TITLES:
            return True
        node, steps = node.parent, steps + 1
    return bool(_PANEL.search(button.attributes.get("class") or ""))


def link_share(node: "LexborNode") -> float:
    """How much of the text stands in links, 0 to 1."""
    whole = len("".join((node.text() or "").split()))
    linked = sum(len("".join((link.text() or "").split())) for link in node.css("a"))
    return linked / whole if whole else 0.0


def _climb(node: "LexborNode", root: "LexborNode") -> Iterator[tuple[bool, str, "LexborNode"]]:
    """Leave finished parents until one has a next sibling; that sibling, or None at the root."""
    current = node
    while current.mem_id != root.mem_id:
        following = current.next
        if following is not None:
            return following
        parent = current.parent
        if parent is None:
            return None
        current = parent
        yield False, current.tag or "", current
    return None


def _is_hidden(node: "LexborNode", opened: frozenset[str]) -> bool:
    if not node.is_element_node:
        return False
    found = node.attributes
    if not found:
        return False
    style = (found.get("style") or "").replace(" ", "").lower()
    hidden = (
        "hidden" in found
        or found.get("aria-hidden") == "true"
        or "display:none" in style
        or "visibility:hidden" in style
    )
    if not hidden:
        return False
    panel = (
        (found.get("id") or "") in opened
        or found.get("role") == "tabpanel"
        or _PANEL.search(found.get("class") or "") is not None
    )
    return not panel or link_share(node) > _MENU_SHARE
