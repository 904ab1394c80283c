"""Where a contestant works, and who they are."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.contestant import Contestant, Timed, local_server, server_pid, timed
from benchmarks.corpus import write_corpus

Make = Callable[[Path, Path, str], Contestant]


def contestants() -> dict[str, Make]:
    """How each is made, by name."""
    from benchmarks.floor import Floor
    from benchmarks.langchain_index import LangChainIndex
    from benchmarks.llamaindex_pipeline import LlamaIndexPipeline
    from benchmarks.ours import Ours

    return {c.name: c for c in (Floor, Ours, LangChainIndex, LlamaIndexPipeline)}


@dataclass(frozen=True, slots=True)
class Place:
    """A corpus, a home and a running Milvus, all of one contestant alone."""

    corpus: Path
    home: Path
    uri: str


@contextmanager
def place(documents: int) -> Iterator[Place]:
    """A fresh place; everything in it is removed afterwards."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True)))
        corpus, home = root / "corpus", root / "home"
        home.mkdir()
        write_corpus(corpus, documents)
        uri = stack.enter_context(local_server(home / "milvus"))
        yield Place(corpus, home, uri)
        shutil.rmtree(corpus)


def refreshed(contestant: Contestant, here: Place) -> Timed:
    found = timed(contestant.refresh, server=server_pid(here.home / "milvus"))
    found.facts.update({"stages": dict(getattr(contestant, "stage_seconds", {}))})
    return found
