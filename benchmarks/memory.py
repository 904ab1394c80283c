"""Peak memory of a cold refresh in a fresh process, with its workers, at two corpus sizes.

Proportional resident memory, looked at twenty times a second: a page that three processes share
counts a third in each, so that the sum is what the run takes from the machine. The plain sum, in
which libraries count once a process, is reported beside. So is the Milvus server, which holds the
index itself and grows with it by design.
"""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.contestant import local_server, server_pid
from benchmarks.corpus import write_corpus
from benchmarks.report import Figure, Progress

TARGET = 1.20
SAMPLE_SECONDS = 0.05
MIB = 1024**2

_ROLLUP = re.compile(r"^(Rss|Pss): +(\d+) kB", re.MULTILINE)


@dataclass(slots=True)
class Peak:
    """Bytes at the highest moment: of the run with its workers (twice), and of the server."""

    run: int = 0  # proportional
    plain: int = 0
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
        detail=f"{high.run / MIB:.0f} MiB / {low.run / MIB:.0f} MiB; plain sum "
        f"{high.plain / MIB:.0f} / {low.plain / MIB:.0f}; Milvus server "
        f"{high.server / MIB:.0f} / {low.server / MIB:.0f}",
        record={str(n): asdict(p) for n, p in peaks.items()},
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
            family = [_resident(pid) for pid in _family(process.pid)]
            peak.run = max(peak.run, sum(proportional for _, proportional in family))
            peak.plain = max(peak.plain, sum(plain for plain, _ in family))
            peak.server = max(peak.server, _resident(server)[0])
            time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        raise SystemExit(f"the refresh failed with exit code {process.returncode}")
    return peak


def _resident(pid: int) -> tuple[int, int]:
    """Bytes, (plain, proportional); nothing of a process that has just ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0, 0
    kib = {name: int(value) for name, value in _ROLLUP.findall(text)}
    return kib.get("Rss", 0) * 1024, kib.get("Pss", 0) * 1024


def _family(root: int) -> set[int]:
    """The process and its descendants."""
    parents = {int(f.name): _parent(int(f.name)) for f in Path("/proc").glob("[0-9]*")}
    family = {root}
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
