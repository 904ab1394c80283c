"""A real Milvus 2.3.5 for tests, from the `milvus` package; one for a test process."""

import atexit
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

START_SECONDS = 180.0
STOP_SECONDS = 10.0
RUN = "from milvus import main; main()"


@functools.cache
def milvus_server() -> str:
    """Its address; started at the first call, removed with its data when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="milvus-server-"))
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "--data", str(folder), "--proxy-port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        start_new_session=True,
    )
    atexit.register(_stop, process, folder)
    uri = f"http://127.0.0.1:{port}"
    wait_until(functools.partial(_accepts_changes, uri, process), seconds=START_SECONDS)
    return uri


def wait_until(check: Callable[[], bool], *, seconds: float) -> None:
    """Poll until `check` holds; fail when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not so within {seconds:g} s"
        time.sleep(0.05)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _accepts_changes(uri: str, process: "subprocess.Popen[bytes]") -> bool:
    """It says that it is healthy some seconds before it can make a collection."""
    from pymilvus import MilvusClient
    from pymilvus.exceptions import MilvusException

    assert process.poll() is None, "the Milvus server ended at its start"
    if not _listens(uri):
        return False
    with suppress(MilvusException):
        client = MilvusClient(uri=uri, timeout=5, dedicated=True)
        try:
            client.create_collection("readiness", dimension=2, timeout=10)
            client.drop_collection("readiness", timeout=10)
        finally:
            client.close()
        return True
    return False


def _listens(uri: str) -> bool:
    host, port = uri.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def _stop(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
