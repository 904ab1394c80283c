"""Blocks of a document as pieces small enough to pack, each with its estimated cost.

Blocks are counted once, in one batch; the parts of a block share its count by their length. The
estimate is verified at the end (`fit.py`), so that it only has to be near.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from platform_pipelines.core.knowledge_base.chunking.splitters import (
    split_code,
    split_prose,
    split_row,
)
from platform_pipelines.core.knowledge_base.documents import Block, BlockKind, Place
from platform_pipelines.core.knowledge_base.text import shortened

CountTokens: TypeAlias = Callable[[Sequence[str]], list[int]]

# Prose is cut finer than a chunk, so that packing can fill and balance chunks; items of a list less
# so, because half an item says little.
_PARTS_PER_CHUNK = {BlockKind.LIST: 2}
_PARTS_OF_PROSE = 4
_SOURCE_LINES = frozenset({BlockKind.CODE, BlockKind.TABLE})
_HEADER_CHARACTERS = 400  # of a header that is said again; of a longer one each name is cut
_LEAST_NAME = 12


class Piece(NamedTuple):
    """A block or a part of one. `text` keeps its white space: parts joined are the block's text."""

    text: str
    place: Place
    kind: BlockKind
    size: int  # in the policy's unit: tokens, or characters
    tokens: int  # estimated, without what the counter adds to every text
    starts_block: bool  # False: goes on where the piece before it ended
    header: str = ""  # of a table: said again where a chunk begins with later rows


class Room(NamedTuple):
    """How much goes into a chunk: `size` in the policy's unit is a target, `tokens` a bound."""

    size: int
    tokens: int
    in_characters: bool = False
    whole_messages: bool = False
    code_language: str | None = None
    overlap: int = 0  # in the policy's unit; parts of a cut block leave room for it

    def size_of(self, characters: int, tokens: int) -> int:
        """The one of the two that the policy counts."""
        return characters if self.in_characters else tokens

    def holds(self, size: int, tokens: int) -> bool:
        """Whether this much is one chunk."""
        return size <= self.size and tokens <= self.tokens


def block_pieces(block: Block, tokens: int, room: Room) -> list[Piece]:
    """The block whole when it fits a chunk, else its parts at the best borders of its kind.

    A table row (and a message, where the policy says so) is cut only when no chunk could hold it.
    """
    text = block.text
    size = room.size_of(len(text), tokens)
    if room.holds(size, tokens) or (_is_whole(block, room) and tokens <= room.tokens):
        return [Piece(text, block.place, block.kind, size, tokens, True, block.header)]
    return _pieces(block, _parts(block, tokens, room), tokens / len(text), room)


def part_place(block_place: Place, kind: BlockKind, text: str, offset: int) -> Place:
    """Where `text[offset:]` begins: a later line, in the kinds whose lines are the source's."""
    if block_place.line is None or kind not in _SOURCE_LINES:
        return block_place
    first = len(text) - len(text.lstrip())
    shown = len(text) - len(text[offset:].lstrip())
    lines = text.count("\n", first, shown)
    return block_place._replace(line=block_place.line + lines) if lines else block_place


def _is_whole(block: Block, room: Room) -> bool:
    return room.whole_messages and block.kind is BlockKind.MESSAGE


def _parts(block: Block, tokens: int, room: Room) -> list[str]:
    text = block.text
    per_token = len(text) / tokens
    bound = max(1, int(room.tokens * per_token))
    fresh = room.size - room.overlap
    target = min(bound, max(1, fresh if room.in_characters else int(fresh * per_token)))
    if block.kind is BlockKind.TABLE:
        return _row_parts(text, bound)
    if block.kind is BlockKind.CODE:
        return split_code(text, target, room.code_language)
    if _is_whole(block, room):
        return split_prose(text, bound)
    return split_prose(text, max(1, target // _PARTS_PER_CHUNK.get(block.kind, _PARTS_OF_PROSE)))


def _row_parts(text: str, bound: int) -> list[str]:
    parts: list[str] = []
    for row in text.splitlines(keepends=True):
        if len(row) <= bound:
            parts.append(row)
        else:
            parts.extend(split_row(row, bound))
    return parts


def _pieces(block: Block, parts: Sequence[str], ratio: float, room: Room) -> list[Piece]:
    pieces: list[Piece] = []
    offset = 0
    for part in _without_blanks(parts):
        tokens = max(1, math.ceil(len(part) * ratio))
        place = part_place(block.place, block.kind, block.text, offset)
        size = room.size_of(len(part), tokens)
        pieces.append(Piece(part, place, block.kind, size, tokens, offset == 0, block.header))
        offset += len(part)
    return pieces


def said_header(before: Piece | None, piece: Piece) -> str:
    """What names the columns of rows that would else stand alone: after `before`, or first."""
    goes_on = before is not None and (not piece.starts_block or before.header == piece.header)
    if not piece.header or goes_on or piece.text.lstrip().startswith(piece.header):
        return ""
    return _shortened_header(piece.header)


def _shortened_header(header: str) -> str:
    """A survey's questions in full over each chunk would leave no room for the answers."""
    if len(header) <= _HEADER_CHARACTERS:
        return header
    names = header.rsplit("\n", 1)[-1].split(" | ")
    each = max(_LEAST_NAME, _HEADER_CHARACTERS // len(names))
    return " | ".join(shortened(name, each) for name in names)


def _without_blanks(parts: Sequence[str]) -> list[str]:
    """The same text, blank parts joined to a neighbour: a blank chunk answers nothing."""
    kept: list[str] = []
    lead = ""
    for part in parts:
        if part.isspace():
            if kept:
                kept[-1] += part
            else:
                lead += part
        else:
            kept.append(lead + part)
            lead = ""
    return kept
