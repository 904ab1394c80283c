"""A walk over an HTML tree without recursion (a hostile page nests a hundred thousand elements)."""

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


def events(root: "LexborNode") -> Iterator[tuple[bool, str, "LexborNode"]]:
    """`(entering, tag, node)` in document order without what nobody reads; text is `-text`."""
    node: LexborNode | None = root
    while node is not None:
        tag = node.tag or ""
        hidden = tag in SKIPPED or tag.startswith(("-comment", "_comment", "!")) or _is_hidden(node)
        if not hidden:
            yield True, tag, node
            child = node.first_child
            if child is not None:
                node = child
                continue
            yield False, tag, node
        node = yield from _climb(node, root)


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


def _is_hidden(node: "LexborNode") -> bool:
    if not node.is_element_node:
        return False
    found = node.attributes
    if not found:
        return False
    style = (found.get("style") or "").replace(" ", "").lower()
    return (
        "hidden" in found
        or found.get("aria-hidden") == "true"
        or "display:none" in style
        or "visibility:hidden" in style
    )
