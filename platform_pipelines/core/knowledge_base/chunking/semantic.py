"""Breaks where the meaning of neighbouring sentences differs most.

Source: percentile breaks over distances of buffered sentences, as in LangChain's SemanticChunker.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from platform_pipelines.core.knowledge_base.chunking.pack import Unit
from platform_pipelines.core.knowledge_base.chunking.pieces import Piece, Room
from platform_pipelines.core.knowledge_base.chunking.policy import SemanticPolicy
from platform_pipelines.core.knowledge_base.documents import BlockKind
from platform_pipelines.core.knowledge_base.sentences import sentence_spans
from platform_pipelines.errors import DimensionError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

EmbedSentences: TypeAlias = Callable[[Sequence[str]], "npt.NDArray[np.float32]"]

_PROSE = frozenset({BlockKind.PARAGRAPH, BlockKind.LIST})


def sentence_pieces(pieces: Sequence[Piece], room: Room) -> list[Piece]:
    """Prose pieces as sentences; headings, rows, code and messages stay as they are."""
    sentences: list[Piece] = []
    for piece in pieces:
        sentences.extend(_sentences(piece, room) if piece.kind in _PROSE else [piece])
    return sentences


def semantic_groups(
    units: Sequence[Unit], policy: SemanticPolicy, room: Room, *, embed: EmbedSentences
) -> list[list[Piece]]:
    """Chunks of whole units that end at breaks, of `minimum` to `size` tokens where possible.

    Raises:
        DimensionError: the embedder gave another number of vectors than of sentences.
    """
    breaks = _breaks(units, policy, room, embed)
    groups: list[list[Unit]] = []
    size = tokens = 0
    for index, unit in enumerate(units):
        full = not room.holds(size + unit.size, tokens + unit.tokens)
        if not groups or full or (index in breaks and size >= policy.minimum):
            groups.append([])
            size = tokens = 0
        groups[-1].append(unit)
        size, tokens = size + unit.size, tokens + unit.tokens
    _join_last(groups, policy, room)
    return [[piece for unit in group for piece in unit.pieces] for group in groups]


def _sentences(piece: Piece, room: Room) -> list[Piece]:
    starts = [start for start, _ in sentence_spans(piece.text)]
    if len(starts) < 2:
        return [piece]
    borders = [0, *starts[1:], len(piece.text)]
    made: list[Piece] = []
    for start, end in pairwise(borders):
        text = piece.text[start:end]
        tokens = max(1, math.ceil(piece.tokens * len(text) / len(piece.text)))
        first = piece.starts_block and start == 0
        size = room.size_of(len(text), tokens)
        made.append(piece._replace(text=text, size=size, tokens=tokens, starts_block=first))
    return made


def _breaks(
    units: Sequence[Unit], policy: SemanticPolicy, room: Room, embed: EmbedSentences
) -> set[int]:
    """Indexes of units before which the distance is over the document's percentile."""
    import numpy as np

    if len(units) < 3:
        return set()  # one distance has no percentile to be over
    texts = [_buffered(units, index, policy.buffer, room) for index in range(len(units))]
    vectors = np.asarray(embed(texts), dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise DimensionError(
            "the embedder gave another number of vectors than of sentences",
            stored=str(vectors.shape),
            expected=f"({len(texts)}, dimension)",
        )
    distances = _distances(vectors)
    over = distances > float(np.percentile(distances, policy.percentile))
    return {int(index) + 1 for index in np.flatnonzero(over)}


def _distances(vectors: "npt.NDArray[np.float64]") -> "npt.NDArray[np.float64]":
    """Cosine distance of each row to the next; rows need not have unit length."""
    import numpy as np

    finite = np.nan_to_num(vectors)
    lengths = np.linalg.norm(finite, axis=1, keepdims=True)
    unit = finite / np.maximum(lengths, 1e-12)
    # Rounding keeps the last bits of another CPU's dot product from moving a chunk's border.
    likeness: npt.NDArray[np.float64] = np.einsum("ij,ij->i", unit[:-1], unit[1:])
    return (1.0 - likeness).round(5)


def _buffered(units: Sequence[Unit], index: int, buffer: int, room: Room) -> str:
    """A unit with up to `buffer` neighbours on either side, as far as the window holds them."""
    near = [index]
    tokens = units[index].tokens
    for distance in range(1, buffer + 1):
        for neighbour in (index - distance, index + distance):
            inside = 0 <= neighbour < len(units)
            if inside and tokens + units[neighbour].tokens <= room.tokens:
                near.append(neighbour)
                tokens += units[neighbour].tokens
    return "\n".join(p.text.strip() for i in sorted(near) for p in units[i].pieces)


def _join_last(groups: list[list[Unit]], policy: SemanticPolicy, room: Room) -> None:
    if len(groups) < 2 or sum(u.size for u in groups[-1]) >= policy.minimum:
        return
    both = [*groups[-2], *groups[-1]]
    if room.holds(sum(u.size for u in both), sum(u.tokens for u in both)):
        groups[-2:] = [both]
