"""Servers that outlive their starter: found again by their lock, never two in one folder."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_pipelines.gateways.clock import SystemClock
from platform_pipelines.gateways.server_process import ServerProcess
from tests.servers.milvus_server import wait_until

OBEDIENT = "import time; print('up', flush=True); time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {OBEDIENT}"


def start(process: ServerProcess, program: str) -> None:
    process.start([sys.executable, "-c", program], {}, {"port": 1})
    wait_until(lambda: "up" in process.log_tail(), seconds=30)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServerProcess]:
    one = ServerProcess(tmp_path / "server")
    yield one
    one.stop(grace_seconds=5)


def test_it_is_found_by_whoever_comes_later(process: ServerProcess) -> None:
    """A step that is tried again must not start a second one."""
    assert process.wanted() is None
    start(process, OBEDIENT)
    later = ServerProcess(process.folder)
    assert later.is_running()
    assert later.wanted() == {"port": 1}
    later.start(["/nobody"], {}, {"port": 2})
    assert later.wanted() == {"port": 1}
    assert later.stop(grace_seconds=20) == "ended"
    assert later.stop(grace_seconds=20) == "absent"


def test_it_outlives_a_starter_that_is_killed(process: ServerProcess) -> None:
    """The controller dies, and users are served on."""
    program = (
        "import sys, os, signal; from pathlib import Path;"
        "from platform_pipelines.gateways.server_process import ServerProcess;"
        f"ServerProcess(Path({str(process.folder)!r})).start("
        f"[sys.executable, '-c', {OBEDIENT!r}], {{}}, {{}});"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert process.is_running()


def test_one_that_does_not_listen_is_killed(process: ServerProcess) -> None:
    """With its whole group, after the grace."""
    start(process, DEAF)
    assert process.stop(grace_seconds=0.5) == "killed"
    assert not process.is_running()


class StandingStill(SystemClock):
    """The clock of a process that gets no time: when it looks again, all grace is over."""

    def __init__(self, process: ServerProcess) -> None:
        self._process = process
        self._looks = 0

    def monotonic(self) -> float:
        self._looks += 1
        if self._looks == 1:
            return 0.0
        wait_until(lambda: not self._process.is_running(), seconds=30)
        return 1000.0


def test_one_that_ended_in_time_was_not_killed_however_late_one_looks(
    process: ServerProcess,
) -> None:
    """Whoever reads `killed` looks for a server that hangs."""
    start(process, OBEDIENT)
    late = ServerProcess(process.folder, StandingStill(process))
    assert late.stop(grace_seconds=5) == "ended"


def test_a_server_hears_though_its_starter_was_deaf(process: ServerProcess) -> None:
    """A step that is told to end holds its signals back; its servers must not, for ever."""
    signals = {signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        start(process, OBEDIENT)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert process.stop(grace_seconds=20) == "ended"


def test_one_that_died_is_not_running_and_may_be_started_again(process: ServerProcess) -> None:
    """No process id is trusted: a crash frees the lock."""
    start(process, OBEDIENT)
    record = (process.folder / "running.json").read_text()
    os.kill(int(record.split(":")[1].strip(" }")), signal.SIGKILL)
    wait_until(lambda: not process.is_running(), seconds=20)
    start(process, OBEDIENT)
    assert process.is_running()


def test_a_program_that_is_not_there_is_told(process: ServerProcess) -> None:
    """Not a start that never ends."""
    process.start(["/nobody/here"], {}, {})
    wait_until(lambda: not process.is_running(), seconds=20)
    assert "No such file" in process.log_tail()
