"""The same tokens as `tokenizer` for a few texts, without loading its 250,000 pieces (0.9 s).

Pieces stand sorted in one run of bytes and are looked up by bisection: a question and the sentences
it is compared with take milliseconds. Unigram segmentation by Viterbi, as the library does it
(Kudo, Subword Regularization, ACL 2018; an unknown character scores 10 below the rarest piece).
"""

import json
import struct
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_pipelines.gateways.e5.derived import derived
from platform_pipelines.gateways.e5.model_files import CHARACTERS, DIGEST, TOKENIZER, ModelFiles
from platform_pipelines.gateways.e5.tokenizer import cleaned, replacements_of

if TYPE_CHECKING:
    import numpy.typing as npt

_UNKNOWN_PENALTY = 10.0
_SPACE = "▁"
_HEADER = struct.Struct("<5q")  # pieces, their bytes, ids of: begin, end, unknown


class LightTokenizer:
    """Encodes few texts at once. Made by `load_light_tokenizer`."""

    def __init__(self, packed: bytes, replacements: dict[int, str]) -> None:
        import numpy as np

        count, size, self._begin, self._end, self._unknown = _HEADER.unpack_from(packed)
        at = _HEADER.size
        self._offsets: npt.NDArray[np.int32] = np.frombuffer(packed, np.int32, count + 1, at)
        at += 4 * (count + 1)
        self._ids: npt.NDArray[np.int32] = np.frombuffer(packed, np.int32, count, at)
        at += 4 * count
        self._scores: npt.NDArray[np.float64] = np.frombuffer(packed, np.float64, count, at)
        at += 8 * count
        self._pieces = packed[at : at + size]
        self._replacements = replacements
        self._rarest = float(self._scores.min()) - _UNKNOWN_PENALTY
        self._word = lru_cache(maxsize=4096)(self._segment)

    def encode(self, prefix: str, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, special tokens and prefix included, nothing cut."""
        return [self._encoded(cleaned(prefix + text, self._replacements)) for text in texts]

    def _encoded(self, text: str) -> list[int]:
        spaced = text.replace(" ", _SPACE)
        if not spaced.startswith(_SPACE):
            spaced = _SPACE + spaced
        words = [_SPACE + word for word in spaced.split(_SPACE)[1:]]
        ids = [piece for word in words for piece in self._word(word)]
        return [self._begin, *ids, self._end]

    def _segment(self, word: str) -> tuple[int, ...]:
        """Of all ways to cut a word into pieces, the one with the best sum of scores."""
        best: list[tuple[float, int, int]] = [(0.0, 0, 0)]  # score, start and id of what ends here
        best += [(float("-inf"), 0, 0)] * len(word)
        for start in range(len(word)):
            score = best[start][0]
            single = False
            for end, at in self._prefixes(word, start):
                candidate = score + float(self._scores[at])
                if candidate > best[end][0]:
                    best[end] = (candidate, start, int(self._ids[at]))
                single = single or end == start + 1
            if not single and score + self._rarest > best[start + 1][0]:
                best[start + 1] = (score + self._rarest, start, self._unknown)
        return self._traced(best)

    def _traced(self, best: Sequence[tuple[float, int, int]]) -> tuple[int, ...]:
        """From the end back; unknown characters in a row are one."""
        ids: list[int] = []
        at = len(best) - 1
        while at > 0:
            _, start, piece = best[at]
            if not (piece == self._unknown and ids and ids[-1] == self._unknown):
                ids.append(piece)
            at = start
        return tuple(reversed(ids))

    def _prefixes(self, word: str, start: int) -> list[tuple[int, int]]:
        """(end, place) of the pieces that begin at `start`, the shortest first."""
        found: list[tuple[int, int]] = []
        low = 0
        for end in range(start + 1, len(word) + 1):
            wanted = word[start:end].encode()
            low = self._place(wanted, low)
            piece = self._piece(low)
            if piece == wanted:
                found.append((end, low))
            elif not piece.startswith(wanted):
                break  # no piece begins so
        return found

    def _place(self, wanted: bytes, low: int) -> int:
        high = len(self._ids)
        while low < high:
            middle = (low + high) // 2
            if self._piece(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        return low

    def _piece(self, at: int) -> bytes:
        if at >= len(self._ids):
            return b""
        return self._pieces[self._offsets[at] : self._offsets[at + 1]]


def load_light_tokenizer(files: ModelFiles, model_dir: Path) -> LightTokenizer:
    """Opens what was packed of verified files, or packs it (once, 1 s)."""
    packed = derived(
        model_dir,
        f"pieces-{DIGEST[:12]}",
        lambda: _packed(files.path(TOKENIZER).read_text("utf-8")),
    )
    return LightTokenizer(packed, replacements_of(files.path(CHARACTERS)))


def _packed(tokenizer: str) -> bytes:
    import numpy as np

    record: dict[str, Any] = json.loads(tokenizer)
    vocabulary: list[tuple[str, float]] = record["model"]["vocab"]
    special = record["post_processor"]["special_tokens"]
    rows = sorted(
        (piece.encode(), number, score) for number, (piece, score) in enumerate(vocabulary) if piece
    )
    pieces = b"".join(piece for piece, _, _ in rows)
    offsets = np.cumsum([0, *(len(piece) for piece, _, _ in rows)], dtype=np.int32)
    header = _HEADER.pack(
        len(rows), len(pieces), special["<s>"]["ids"][0], special["</s>"]["ids"][0],
        record["model"]["unk_id"],
    )  # fmt: skip
    ids = np.asarray([number for _, number, _ in rows], np.int32)
    scores = np.asarray([score for _, _, score in rows], np.float64)
    return header + offsets.tobytes() + ids.tobytes() + scores.tobytes() + pieces
