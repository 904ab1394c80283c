"""Sections of a document: which units stand under one heading, and which small ones go together."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from platform_pipelines.core.knowledge_base.chunking.pack import Unit
from platform_pipelines.core.knowledge_base.chunking.pieces import Room

Key: TypeAlias = tuple[str | int | None, ...]

SMALL = 4  # a section under a quarter of the size is small: it may join a neighbour


class Section(NamedTuple):
    """Units under one heading path. `top` is the outermost heading that tells sections apart."""

    units: list[Unit]
    top: Key
    top_size: int  # of everything under `top`, in the policy's unit
    size: int
    tokens: int


def sections_of(units: Sequence[Unit], room: Room) -> list[list[Unit]]:
    """Runs of units to be packed together, in order.

    A section keeps to itself unless it is small. Small ones join a neighbour under the same top
    heading; across top headings only when all that stands under both is small.
    """
    merged: list[Section] = []
    for section in _sections(units):
        if merged and _joins(merged[-1], section, room):
            merged[-1] = _joined(merged[-1], section)
        else:
            merged.append(section)
    return [section.units for section in merged]


def _sections(units: Sequence[Unit]) -> list[Section]:
    paths = [_path(unit) for unit in units]
    depth = _shared_depth(paths)
    tops = [path[depth : depth + 1] for path in paths]
    sections: list[Section] = []
    previous: Key | None = None
    for unit, path, top in zip(units, paths, tops, strict=True):
        if path == previous:
            last = sections[-1]
            last.units.append(unit)
            sections[-1] = last._replace(
                size=last.size + unit.size, tokens=last.tokens + unit.tokens
            )
        else:
            sections.append(Section([unit], top, 0, unit.size, unit.tokens))
        previous = path
    return _with_top_sizes(sections)


def _path(unit: Unit) -> Key:
    """Of the unit's last piece: a heading's own path may or may not include itself."""
    place = unit.pieces[-1].place
    return (place.sheet, place.slide, *place.heading)


def _shared_depth(paths: Sequence[Key]) -> int:
    """How many outer parts all paths share, e.g. the document's title."""
    first, last = min(paths, key=_order), max(paths, key=_order)
    depth = 0
    for a, b in zip(first, last, strict=False):
        if a != b:
            return depth
        depth += 1
    return depth


def _order(path: Key) -> tuple[str, ...]:
    return tuple(map(repr, path))


def _with_top_sizes(sections: Sequence[Section]) -> list[Section]:
    sizes: dict[Key, int] = {}
    for section in sections:
        sizes[section.top] = sizes.get(section.top, 0) + section.size
    return [section._replace(top_size=sizes[section.top]) for section in sections]


def _joins(a: Section, b: Section, room: Room) -> bool:
    if not room.holds(a.size + b.size, a.tokens + b.tokens):
        return False
    small = room.size // SMALL
    if a.top == b.top:
        return min(a.size, b.size) < small
    if not a.top:  # the text before the first heading that tells sections apart
        return a.size < small
    return a.size < small and max(a.top_size, b.top_size) < small


def _joined(a: Section, b: Section) -> Section:
    return Section(
        [*a.units, *b.units], b.top, max(a.top_size, b.top_size) if a.top else b.top_size,
        a.size + b.size, a.tokens + b.tokens,
    )  # fmt: skip
