"""What is compared: something that brings one index up to a folder of documents."""

import gc
import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

# One size for everybody: the product's `fixed` policy and RecursiveCharacterTextSplitter alike. No
# overlap: of 60 characters the splitter repeats 0.8 % of the words of this corpus, and the product
# 8.4 %, because it looks for a sentence where the splitter wants a paragraph.
CHUNK_CHARACTERS = 600
CHUNK_OVERLAP = 0
DIMENSION = 384
BATCH_ROWS = 1_000


class Contestant(Protocol):
    """Opened on a home of its own; `refresh` opens all its state anew, as a new process would."""

    name: str

    def refresh(self) -> int:
        """Bring the index up to the corpus; the rows it then holds, all of them searchable."""
        ...


@dataclass(frozen=True, slots=True)
class Timed:
    """Wall seconds, and processor seconds of this process, its workers and its Milvus server."""

    seconds: float
    cpu_seconds: float
    rows: int
    facts: dict[str, object] = field(default_factory=dict[str, object])


def timed(work: Callable[[], int], *, server: int) -> Timed:
    """Run it once; `work` answers with a count of rows. `server` is the Milvus process."""
    gc.collect()
    cpu, start = cpu_seconds(server), time.perf_counter()
    rows = work()
    return Timed(time.perf_counter() - start, cpu_seconds(server) - cpu, rows)


def splitter():
    """The splitter of the floor and of both peers."""
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    return RecursiveCharacterTextSplitter(chunk_size=CHUNK_CHARACTERS, chunk_overlap=CHUNK_OVERLAP)


def embedder():
    """The free embedder of everybody."""
    from platform_pipelines.gateways.hash_embedder import HashEmbedder

    return HashEmbedder(DIMENSION)


def read_documents(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(key, title, text) of every document, in the order of the keys."""
    for path in sorted(folder.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        yield path.relative_to(folder).as_posix(), text.split("\n", 1)[0].removeprefix("# "), text


def name_of(*parts: str) -> str:
    """A chunk's id."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@contextmanager
def local_server(directory: Path) -> Iterator[str]:
    """The address of a local Milvus that is up; it is told to end afterwards."""
    from platform_pipelines.gateways.milvus.local_server import LocalMilvus

    local = LocalMilvus(directory, idle_seconds=5)
    try:
        yield local.uri()
    finally:
        pid = server_pid(directory)
        local.close()
        if pid:
            os.kill(pid, signal.SIGTERM)


def server_pid(directory: Path) -> int:
    """The process of a local Milvus; 0 when it is not up."""
    from platform_pipelines.gateways.milvus.local_files import LocalFiles

    record = LocalFiles(directory).living_server()
    return record.pid if record else 0


def cpu_seconds(server: int | None = None) -> float:
    """Spent so far by this process, its ended children and, if named, the Milvus server."""
    spent = os.times()
    own = spent.user + spent.system + spent.children_user + spent.children_system
    if server is None:
        return own
    fields = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()
    return own + (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
