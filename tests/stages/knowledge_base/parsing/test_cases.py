"""Documents that people reported of document pipelines, each with the right answer beside it.

`tests/fixtures/cases/README.md` says what the lines of an `expected.txt` mean. Each case stands for
a kind of fault: what is mended is the kind.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from platform_pipelines.core.knowledge_base.chunking.policy import ChunkPolicies
from platform_pipelines.core.knowledge_base.chunking.split import chunk_document
from platform_pipelines.core.knowledge_base.documents import Reason
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.parse import parse_document

_CASES = Path(__file__).parents[3] / "fixtures" / "cases" / "documents"
_WINDOW_TOKENS = 512
_TOKEN_CHARACTERS = 3

# A typed quarantine that says what is missing is right, too: no text can be had from these.
QUARANTINED = {"30-pdf-korean-no-tounicode": Reason.NEEDS_OCR}
# What does not hold yet.
OPEN: dict[str, str] = {}


@dataclass(frozen=True)
class Seen:
    """What parsing and the shipped chunk policies made of a document."""

    type: str
    text: str
    chunks: tuple[str, ...]  # what is searched

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def one_chunk_holds(self, alternatives: str) -> bool:
        return any(_holds_all(chunk, alternatives) for chunk in self.chunks)

    def in_order(self, parts: str) -> bool:
        at = 0
        for part in parts.split(" < "):
            found = self.text.find(part, at)
            if found < 0:
                return False
            at = found + len(part)
        return True


def _holds_all(text: str, alternatives: str) -> bool:
    return any(
        all(part in text for part in parts.split(" && ")) for parts in alternatives.split(" || ")
    )


_CHECKS: dict[str, Callable[[Seen, str], bool]] = {
    "HAS": lambda seen, text: any(text in chunk for chunk in seen.chunks),
    "NOT": lambda seen, text: bool(seen.chunks) and not any(text in c for c in seen.chunks),
    "CHUNK": Seen.one_chunk_holds,
    "ROW": lambda seen, line: line in seen.lines,
    "ROWHAS": lambda seen, parts: any(_holds_all(line, parts) for line in seen.lines),
    "ORDER": Seen.in_order,
    "TYPE": lambda seen, name: seen.type == name,
    "NOTE": lambda _seen, _remark: True,
}


def _count(texts: object) -> list[int]:
    assert isinstance(texts, list)
    return [len(str(text)) // _TOKEN_CHARACTERS + 1 for text in texts]


def _seen(path: Path) -> Seen:
    document = parse_document(path.read_bytes(), key=path.name)
    chunks = chunk_document(
        document,
        key=path.name,
        policy=ChunkPolicies().for_type(document.type),
        count_tokens=_count,
        window_tokens=_WINDOW_TOKENS,
    )
    text = "\n".join(block.text for block in document.blocks)
    return Seen(str(document.type), text, tuple(chunk.search_text for chunk in chunks))


def _case(folder: Path) -> object:
    reason = OPEN.get(folder.name)
    marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
    return pytest.param(folder, id=folder.name, marks=marks)


@pytest.mark.parametrize("folder", [_case(folder) for folder in sorted(_CASES.iterdir())])
def test_a_reported_document_is_read_as_its_expectations_say(folder: Path) -> None:
    """Each line of `expected.txt` holds, or the document is quarantined with the reason named."""
    (path,) = [file for file in folder.iterdir() if file.name != "expected.txt"]
    if folder.name in QUARANTINED:
        with pytest.raises(DocumentError) as caught:
            parse_document(path.read_bytes(), key=path.name)
        assert caught.value.reason == QUARANTINED[folder.name]
        return
    seen = _seen(path)
    lines = (folder / "expected.txt").read_text("utf-8").splitlines()
    wanted = [line.partition(" ") for line in lines if line.strip()]
    missed = [f"{kind} {rest}" for kind, _, rest in wanted if not _CHECKS[kind](seen, rest)]
    assert not missed, seen.text[:2000]


def test_every_case_is_there() -> None:
    """The cases are thirty-one, and the lists above name cases that exist."""
    names = {folder.name for folder in _CASES.iterdir()}
    assert len(names) == 31
    assert set(OPEN) | set(QUARANTINED) <= names
