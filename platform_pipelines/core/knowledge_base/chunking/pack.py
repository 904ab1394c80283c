"""Pieces into chunks: balanced, headings beside what they head, overlap at natural borders."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from platform_pipelines.core.knowledge_base.chunking.pieces import Piece, Room, part_place
from platform_pipelines.core.knowledge_base.documents import BlockKind
from platform_pipelines.core.knowledge_base.sentences import sentence_start

Carry: TypeAlias = Callable[[Sequence[Piece]], list[Piece]]

_SPILL = 1.15  # a last chunk of a few tokens joins the one before it, up to this share of the size
_RUNT = 8  # a last chunk under an eighth of the size
_LINES = frozenset({BlockKind.TABLE, BlockKind.LIST, BlockKind.CODE})
_CHARACTERS_OF_WORD = 2  # a shorter overlap says nothing


class Unit(NamedTuple):
    """Pieces that stay together: a heading and what follows it, or one piece."""

    pieces: tuple[Piece, ...]
    size: int
    tokens: int


def units_of(pieces: Sequence[Piece], room: Room) -> list[Unit]:
    """Units in order. A run of headings goes with the next piece, while a chunk can hold them."""
    units: list[Unit] = []
    held: list[Piece] = []
    for piece in pieces:
        if held and sum(p.tokens for p in held) + piece.tokens > room.tokens:
            units.append(unit_of(held))
            held = []
        held.append(piece)
        if piece.kind is not BlockKind.HEADING:
            units.append(unit_of(held))
            held = []
    if held:
        units.append(unit_of(held))
    return units


def unit_of(pieces: Sequence[Piece]) -> Unit:
    """The pieces as one unit."""
    if len(pieces) == 1:
        piece = pieces[0]
        return Unit((piece,), piece.size, piece.tokens)
    return Unit(tuple(pieces), sum(p.size for p in pieces), sum(p.tokens for p in pieces))


def pack(units: Sequence[Unit], room: Room, *, carry: Carry) -> list[list[Piece]]:
    """Chunks of at most about `room`, nearly equal; each begins with the carry of the last."""
    target = _target(sum(u.size for u in units), room.size, room.overlap)
    groups: list[_Group] = []
    current = _Group([])
    for unit in units:
        if current.fresh and not current.takes(unit, room, target):
            groups.append(current)
            current = _Group(_fitting(carry(current.pieces), unit, room))
        current.add(unit)
    groups.append(current)
    _join_runt(groups, room)
    return [group.pieces for group in groups]


def tail(pieces: Sequence[Piece], room: Room) -> list[Piece]:
    """The last pieces, sentences, lines or rows within the overlap; at most half of a chunk."""
    left = min(room.overlap, sum(p.size for p in pieces) // 2)
    first = len(pieces)
    # Ends before the first piece: `left` is less than all of them.
    while pieces[first - 1].size <= left and pieces[first - 1].kind is not BlockKind.HEADING:
        first -= 1
        left -= pieces[first].size
    part = _tail_part(pieces[first - 1], left, room)
    return [part, *pieces[first:]] if part else list(pieces[first:])


def last_messages(pieces: Sequence[Piece], count: int) -> list[Piece]:
    """The last `count` whole messages, and never all of the chunk."""
    whole = [p for p in pieces if p.kind is BlockKind.MESSAGE and p.starts_block]
    keep = min(count, len(pieces) - 1)
    return whole[-keep:] if keep > 0 and pieces[-1] is (whole or [None])[-1] else []


class _Group:
    """A chunk in the making: what it repeats from the last one, and what is new."""

    def __init__(self, carried: list[Piece]) -> None:
        self.carried = carried
        self.fresh: list[Piece] = []
        self.fresh_size = 0
        self.size = sum(p.size for p in carried)
        self.tokens = sum(p.tokens for p in carried)

    @property
    def pieces(self) -> list[Piece]:
        return [*self.carried, *self.fresh]

    def add(self, unit: Unit) -> None:
        self.fresh.extend(unit.pieces)
        self.fresh_size += unit.size
        self.size += unit.size
        self.tokens += unit.tokens

    def takes(self, unit: Unit, room: Room, target: int) -> bool:
        if not room.holds(self.size + unit.size, self.tokens + unit.tokens):
            return False
        # Over the target by less than half of the unit is nearer to it than stopping short.
        return self.size + unit.size // 2 <= target


def _target(total: int, size: int, overlap: int) -> int:
    """Equal shares: 300 tokens at a size of 256 are two chunks of 150, not 256 and 44."""
    step = max(1, size - overlap)
    chunks = max(1, math.ceil((total - overlap) / step))
    return min(size, math.ceil((total + overlap * (chunks - 1)) / chunks))


def _fitting(carried: list[Piece], unit: Unit, room: Room) -> list[Piece]:
    size = sum(p.size for p in carried) + unit.size
    tokens = sum(p.tokens for p in carried) + unit.tokens
    return carried if room.holds(size, tokens) else []


def _join_runt(groups: list[_Group], room: Room) -> None:
    if len(groups) < 2 or groups[-1].fresh_size * _RUNT >= room.size:
        return
    last, before = groups[-1], groups[-2]
    if (
        before.size + last.fresh_size <= room.size * _SPILL
        and before.tokens + sum(p.tokens for p in last.fresh) <= room.tokens
    ):
        before.fresh.extend(last.fresh)
        groups.pop()


def _tail_part(piece: Piece, left: int, room: Room) -> Piece | None:
    """The end of a piece within `left`: whole lines or sentences; words only where they count."""
    if piece.kind in (BlockKind.MESSAGE, BlockKind.HEADING) or left <= 0:
        return None
    text = piece.text
    earliest = len(text) - int(left * len(text) / piece.size)
    if piece.kind in _LINES:
        start = text.find("\n", max(0, earliest - 1)) + 1
    else:
        start = sentence_start(text, earliest)
        if start == 0 and room.in_characters:
            start = text.find(" ", earliest) + 1
    rest = text[start:] if start > 0 else ""
    if len(rest.strip()) < _CHARACTERS_OF_WORD:
        return None
    tokens = max(1, math.ceil(piece.tokens * len(rest) / len(text)))
    place = part_place(piece.place, piece.kind, text, start)
    size = room.size_of(len(rest), tokens)
    return piece._replace(text=rest, place=place, size=size, tokens=tokens, starts_block=True)
