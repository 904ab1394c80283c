"""Peak memory of a cold refresh in a fresh process, with its workers, at two corpus sizes.

Summed resident memory, looked at twenty times a second; pages that processes share count in each.
The Milvus server holds the index itself, grows with it by design, and is reported beside.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.contestant import local_server, server_pid
from benchmarks.corpus import write_corpus
from benchmarks.report import Figure, Progress

TARGET = 1.20
SAMPLE_SECONDS = 0.05
PAGE_BYTES = 4096
MIB = 1024**2


@dataclass(slots=True)
class Peak:
    """Bytes at the highest moment: of the run and its workers, and of the server."""

    run: int = 0
    server: int = 0


def measure_memory(few: int, many: int, progress: Progress) -> Iterator[Figure]:
    """One figure: the peak at `many` documents over the peak at `few`."""
    peaks: dict[int, Peak] = {}
    for documents in (few, many):
        progress(f"memory of a refresh of {documents:,} documents")
        peaks[documents] = _peak(documents)
    low, high = peaks[few], peaks[many]
    yield Figure(
        name=f"peak memory, {many:,} / {few:,} documents",
        value=high.run / low.run,
        target=TARGET,
        detail=f"{high.run / MIB:.0f} MiB / {low.run / MIB:.0f} MiB; Milvus server "
        f"{high.server / MIB:.0f} MiB / {low.server / MIB:.0f} MiB",
        record={str(n): {"run": p.run, "server": p.server} for n, p in peaks.items()},
    )


def _peak(documents: int) -> Peak:
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        corpus, home = Path(folder) / "corpus", Path(folder) / "home"
        write_corpus(corpus, documents)
        with local_server(home / "milvus"):
            return _watch(corpus, home, server_pid(home / "milvus"))


def _watch(corpus: Path, home: Path, server: int) -> Peak:
    peak = Peak()
    command = [sys.executable, "-m", "benchmarks.one_refresh", str(corpus), str(home)]
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            resident = _resident_by_process()
            peak.run = max(peak.run, sum(resident[p] for p in _family(process.pid, resident)))
            peak.server = max(peak.server, resident.get(server, 0))
            time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        raise SystemExit(f"the refresh failed with exit code {process.returncode}")
    return peak


def _resident_by_process() -> dict[int, int]:
    found: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                pages = (folder / "statm").read_text().split()[1]
            except (OSError, IndexError):
                continue  # it has just ended
            found[int(folder.name)] = int(pages) * PAGE_BYTES
    return found


def _family(root: int, processes: dict[int, int]) -> set[int]:
    """The process and its descendants."""
    parents = {pid: _parent(pid) for pid in processes}
    family = {root} & processes.keys()
    size = 0
    while size != len(family):
        size = len(family)
        family |= {pid for pid, parent in parents.items() if parent in family}
    return family


def _parent(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return int(text.rpartition(")")[2].split()[1])
