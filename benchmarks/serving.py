"""What a served search takes beside a bare one: the same queries, in turn, in the same minute.

Bare is what nobody can do without: embed the query and ask Milvus for the nearest five. Served is
`POST /v1/search` of `platform-pipelines serve` in a process of its own: tenants, limits, keywords,
fusion, HTTP and JSON are on top.
"""

import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.contestant import local_server
from benchmarks.corpus import write_corpus
from benchmarks.ours import REFRESHES, settings_under
from benchmarks.report import Figure, Progress
from platform_pipelines.core.knowledge_base.declaration import parse_declaration
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base.live import Live, open_live
from platform_pipelines.stages.knowledge_base.workspace import open_workspace

TARGET = 1.5
DOCUMENTS, QUERIES, ROUNDS, K = 100, 40, 5, 5
NAME, HOST = "served", "127.0.0.1"
START_SECONDS = 180.0
_SERVE = "from platform_pipelines.cli import main; main()"


def measure_serving(progress: Progress) -> Iterator[Figure]:
    """One figure: the median of a served search over the median of a bare one."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(ignore_cleanup_errors=True))
        settings = settings_under(Path(folder))
        stack.enter_context(local_server(settings.milvus_dir))
        progress(f"serving: {DOCUMENTS} documents, real embedder")
        _released(Path(folder), settings)
        with _served(settings) as url, open_live(settings, NAME, progress) as live:
            progress(f"serving: {QUERIES * ROUNDS} searches each way, in turn")
            bare, served = _timed(live, url)
    middle, other = statistics.median(served), statistics.median(bare)
    yield Figure(
        name="serving: a served search / a bare dense search, medians",
        value=middle / other,
        target=TARGET,
        detail=f"{1000 * middle:.1f} ms / {1000 * other:.1f} ms over {len(served)} searches",
        record={"served": served, "bare": bare},
    )


def _released(folder: Path, settings: Settings) -> None:
    write_corpus(folder / "corpus", DOCUMENTS)
    spec = parse_declaration(
        {"name": NAME, "source": {"url": (folder / "corpus").as_uri()}}, where="benchmarks"
    )
    for refresh in REFRESHES:
        refresh(open_workspace(spec, settings, run_id="benchmark"))


@contextmanager
def _served(settings: Settings) -> Iterator[str]:
    import httpx

    with socket.socket() as found:
        found.bind((HOST, 0))
        port = str(found.getsockname()[1])
    environment = {
        "PLATFORM_HOME": str(settings.home),
        "PLATFORM_SERVE_REQUESTS_PER_MINUTE": "1000000",
        "PATH": "/usr/bin:/bin",
    }
    command = [sys.executable, "-c", _SERVE, "serve", "--port", port]
    log = settings.home / "serve.log"
    with (
        log.open("wb") as said,
        subprocess.Popen(command, env=environment, stderr=said) as process,
        httpx.Client(base_url=f"http://{HOST}:{port}", timeout=10) as client,
    ):
        try:
            _wait_until_ready(process, client, log)
            yield f"http://{HOST}:{port}"
        finally:
            process.terminate()


def _wait_until_ready(process: "subprocess.Popen[bytes]", client: Any, log: Path) -> None:
    """It looks twice a second: asking without a pause takes the processor that it starts with."""
    import httpx

    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass  # it does not listen yet
        time.sleep(0.5)
    raise RuntimeError(f"the server is not ready: {log.read_text(errors='replace')[-2000:]}")


def _timed(live: Live, url: str) -> tuple[list[float], list[float]]:
    import httpx

    retriever = live.retriever
    parameters = live.revision.index["search_parameters"]
    asked = [f"What does the section about topic {n} say?" for n in range(QUERIES)]

    def bare(text: str) -> Any:
        return retriever.store.search_dense(
            retriever.target, retriever.embed([text]), k=K, tenant="default",
            search_parameters=parameters,
        )  # fmt: skip

    with httpx.Client(base_url=url, timeout=60) as client:

        def served(text: str) -> Any:
            body = {"knowledge_base": NAME, "tenant": "default", "query": text, "k": K}
            reply = client.post("/v1/search", json=body)
            assert reply.status_code == 200, reply.text
            return reply

        for warm in (bare, served):
            warm(asked[0])
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            for text in asked:
                for kept, ask in zip(times, (bare, served), strict=True):
                    kept.append(_seconds(ask, text))
    return times


def _seconds(ask: Callable[[str], Any], text: str) -> float:
    start = time.perf_counter()
    ask(text)
    return time.perf_counter() - start
