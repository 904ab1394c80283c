"""A parser that was taken over finds nothing in any other process: as root, and as a user."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.compute.confinement import NOBODY, landlock_version
from platform_pipelines.compute.pool import WorkerPool
from platform_pipelines.compute.process import worker_environment
from platform_pipelines.compute.protocol import Budget, ItemDone, Task

HERE = Path(__file__).parent
SECRET = "token-of-the-vector-store"
USER = 1000
AS_ROOT = sys.platform == "linux" and os.geteuid() == 0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root can become another user")


def clean_environment() -> dict[str, str]:
    return worker_environment({"PYTHONPATH": str(HERE), "PATH": os.environ["PATH"]})


@contextmanager
def holder_of_a_secret(manner: str) -> Iterator[int]:
    """A process of the user that runs the tests; root's tests become one."""
    command = [sys.executable, "-P", str(HERE / "secret_holder.py"), str(USER if AS_ROOT else 0)]
    with subprocess.Popen(
        [*command, manner],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**clean_environment(), "PLATFORM_MILVUS_TOKEN": SECRET},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
        assert process.stdin is not None
        process.stdin.close()


@contextmanager
def looking_for(tmp_path: Path, *, confined: bool, landlock: bool) -> Iterator[dict[str, Any]]:
    """What the spy is told; somebody listens at its port, and its file can be read by anybody."""
    path = tmp_path / "credentials"
    path.write_text(SECRET, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield {
            "confined": confined,
            "landlock": landlock,
            "files": [str(path)],
            "port": server.getsockname()[1],
        }


def spy_as_user(shared: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-P", str(HERE / "hostile.py"), str(USER if AS_ROOT else 0)]
    done = subprocess.run(
        [*command, json.dumps(shared)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=clean_environment(),
    )
    return json.loads(done.stdout)


def spy_in_a_pool(shared: dict[str, Any]) -> dict[str, Any]:
    budget = Budget(seconds_per_item=60, memory_bytes=1 << 30)
    with WorkerPool(workers=1, budget=budget, environment=clean_environment()) as pool:
        found = [
            outcome.result
            for outcome in pool.run("hostile:spy", [Task("t", ({},))], shared=shared)
            if isinstance(outcome, ItemDone)
        ]
    return dict(found[0])


@needs_root
@pytest.mark.parametrize("landlock", [True, False])
def test_of_root_a_parser_is_nobody_and_reads_no_other_environment(
    tmp_path: Path, landlock: bool
) -> None:
    """`/proc/<ppid>/environ` gave the Milvus token away."""
    with (
        looking_for(tmp_path, confined=True, landlock=landlock) as shared,
        holder_of_a_secret("hidden"),
    ):
        found = spy_in_a_pool(shared)
    assert found["uid"] == NOBODY
    assert (found["owners"], found["memories"]) == ([], [])
    assert SECRET not in found["seen"]


@pytest.mark.parametrize("landlock", [True, False])
def test_of_a_user_a_parser_reads_no_environment_that_holds_a_secret(
    tmp_path: Path, landlock: bool
) -> None:
    """They are the same user's: each that holds one is hidden, and Landlock hides all others."""
    with (
        looking_for(tmp_path, confined=True, landlock=landlock) as shared,
        holder_of_a_secret("hidden") as holder,
    ):
        found = spy_as_user(shared)
    assert found["uid"] != 0
    assert holder not in (*found["owners"], *found["memories"])
    assert SECRET not in found["seen"]
    if landlock and landlock_version():
        assert (found["owners"], found["memories"]) == ([], [])


@pytest.mark.skipif(not landlock_version(), reason="the kernel has no Landlock")
def test_landlock_alone_keeps_other_processes_files_programs_and_networks_away(
    tmp_path: Path,
) -> None:
    """Also a process that nobody hid: the shell in which somebody exported a token."""
    with (
        looking_for(tmp_path, confined=True, landlock=True) as shared,
        holder_of_a_secret("open") as holder,
    ):
        found = spy_as_user(shared)
    assert holder not in (*found["owners"], *found["memories"])
    assert found["files"] == []
    assert not found["runs"]
    assert not (found["connects"] and landlock_version() >= 4)


def test_without_confinement_the_spy_finds_the_secret(tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    with (
        looking_for(tmp_path, confined=False, landlock=False) as shared,
        holder_of_a_secret("open") as holder,
    ):
        found = spy_as_user(shared)
    assert holder in found["owners"]
    assert SECRET in found["seen"]
    assert found["connects"]
