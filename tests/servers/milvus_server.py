"""A real Milvus 2.3.5 for tests, from the `milvus` package; one for a test process."""

import atexit
import fcntl
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
START_LOCK = Path(tempfile.gettempdir()) / "milvus-server-start.lock"
# Ends when its standard input does, that is with the process that started it, however that ends.
RUN = """
import os, signal, sys, threading
from milvus import main
def end_with_starter():
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=end_with_starter, daemon=True).start()
main()
"""


@functools.cache
def milvus_server() -> str:
    """Its address; started at the first call, removed with its data when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="milvus-server-"))
    port = free_port()
    # Its etcd listens on 2379 and 2380 whatever `--etcd-port` says, so that a second server on the
    # machine would wait for ever; a file of etcd's own is heeded.
    etcd = folder / "etcd.yaml"
    etcd.write_text(_etcd_config(folder / "etcd"), encoding="utf-8")
    uri = f"http://127.0.0.1:{port}"
    with START_LOCK.open("w", encoding="utf-8") as lock:
        # Two that start at once find the same ports free.
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, "--data", str(folder), "--proxy-port", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={**os.environ, "ETCD_CONFIG_PATH": str(etcd)},
            start_new_session=True,
        )
        atexit.register(_stop, process, folder)
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


def _etcd_config(folder: Path) -> str:
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    return (
        f"name: default\ndata-dir: {folder}\n"
        f"listen-client-urls: {client}\nadvertise-client-urls: {client}\n"
        f"listen-peer-urls: {peer}\ninitial-advertise-peer-urls: {peer}\n"
        f"initial-cluster: default={peer}\n"
    )


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
    assert process.stdin is not None
    process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
