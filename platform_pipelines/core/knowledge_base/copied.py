"""Which documents of a corpus say what others say: what the page of `evidence` tells of copies."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from pydantic.dataclasses import dataclass

from platform_pipelines.core.knowledge_base.copies import RUN, SHARE, run_marks
from platform_pipelines.core.knowledge_base.matching import fold
from platform_pipelines.core.road.records import CONFIG

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NAMED = 20  # in evidence; all are counted
ONE_IN = 32  # runs of a text are kept: 60 of a chunk, 12 bytes each
# Of stored marks: raise the first number when a text's others change (folding, the hash).
MARKS_VERSION = f"1-{RUN}-{ONE_IN}"
_FEWEST = 4  # kept runs: less of a document says nothing
_BOILERPLATE = 8  # documents: a run that more of them hold is a frame around their text


def marks_of(text: str) -> "npt.NDArray[np.uint64]":
    """The few marks that are kept of a chunk's text."""
    return run_marks(fold(text).casefold(), one_in=ONE_IN)


@dataclass(frozen=True, config=CONFIG)
class Copied:
    """Of a revision: documents of which most stands in others, and the first of them.

    An estimate, of a sample of each text's runs: numbers are not compared here.
    """

    documents: int
    named: tuple[dict[str, Any], ...] = ()  # document, share, like: the one it shares most with


class Corpus:
    """Takes documents' texts one after the other, and keeps a few marks of each."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._marks: list[npt.NDArray[np.uint64]] = []
        self._owners: list[npt.NDArray[np.int32]] = []

    def add(self, document_key: str, text: str) -> None:
        """One chunk of a document."""
        import numpy as np

        marks = marks_of(text)
        self.add_marks([document_key], marks, np.asarray([len(marks)]))

    def add_marks(
        self,
        document_keys: Sequence[str],
        marks: "npt.NDArray[np.uint64]",
        counts: "npt.NDArray[np.int64]",
    ) -> None:
        """Chunks of these documents, in their order; each has so many of the marks."""
        import numpy as np

        numbers = [self._numbers.setdefault(key, len(self._numbers)) for key in document_keys]
        self._marks.append(marks)
        self._owners.append(np.repeat(np.asarray(numbers, dtype=np.int32), counts))

    def copied(self) -> Copied:
        """Documents of which `SHARE` or more stands in others; the most alike are named first."""
        import numpy as np

        if len(self._numbers) < 2:
            return Copied(0)
        marks, owners = self._once()
        _, first, held_by = np.unique(marks, return_index=True, return_counts=True)
        shared = np.repeat((held_by > 1) & (held_by <= _BOILERPLATE), held_by)
        of = len(self._numbers)
        total = np.bincount(owners, minlength=of)
        common = np.bincount(owners[shared], minlength=of)
        shares = common / np.maximum(total, 1)
        found = np.flatnonzero((shares >= SHARE) & (total >= _FEWEST))
        few = np.flatnonzero((held_by > 1) & (held_by <= _BOILERPLATE)) if len(found) else found
        groups = [
            owners[start : start + size]
            for start, size in zip(first[few], held_by[few], strict=True)
        ]
        return self._named(found.tolist(), shares.tolist(), groups)

    def _once(self) -> "tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]":
        """Each mark once a document, by mark: the marks, and whose they are."""
        import numpy as np

        marks, owners = np.concatenate(self._marks), np.concatenate(self._owners)
        order = np.lexsort((owners, marks))
        marks, owners = marks[order], owners[order]
        is_new = np.ones(len(marks), dtype=bool)
        is_new[1:] = (marks[1:] != marks[:-1]) | (owners[1:] != owners[:-1])
        return marks[is_new], owners[is_new]

    def _named(
        self, found: Sequence[int], shares: Sequence[float], groups: "Sequence[Any]"
    ) -> Copied:
        keys = list(self._numbers)
        together: Counter[tuple[int, int]] = Counter()
        for group in groups:
            together.update(combinations(sorted(group.tolist()), 2))
        most: dict[int, tuple[int, int]] = {}
        for (one, other), times in together.items():
            for mine, theirs in ((one, other), (other, one)):
                most[mine] = max(most.get(mine, (0, 0)), (times, -theirs))
        ordered = sorted(found, key=lambda n: (-shares[n], keys[n]))[:NAMED]
        return Copied(
            documents=len(found),
            named=tuple(
                {"document": keys[n], "share": round(shares[n], 2), "like": keys[-most[n][1]]}
                for n in ordered
            ),
        )
