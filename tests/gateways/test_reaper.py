"""A test run that is killed takes its servers along; those that nobody holds are left alone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from platform_pipelines.gateways.server_process import ServerProcess
from tests.servers import reaper
from tests.servers.milvus_server import wait_until

RUN = """
import subprocess, sys
from pathlib import Path
from platform_pipelines.gateways.server_process import ServerProcess
reaper, root = sys.argv[1:]
watching = subprocess.Popen(
    [sys.executable, reaper, root], stdin=subprocess.PIPE, start_new_session=True
)
ServerProcess(Path(root) / "one").start(["/bin/sleep", "600"], {}, {})
print("started", flush=True)
sys.stdin.read()
"""


def test_a_killed_run_leaves_no_server(tmp_path: Path) -> None:
    """SIGKILL: nothing of the run's own can clean up."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN, reaper.__file__, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        assert run.stdout is not None
        assert run.stdout.readline() == "started\n"
        server = ServerProcess(tmp_path / "one")
        assert server.is_running()
        os.kill(run.pid, signal.SIGKILL)
    wait_until(lambda: not server.is_running(), seconds=20)


def test_a_number_whose_lock_is_free_is_left_alone(tmp_path: Path) -> None:
    """A server that ended long ago: its number may be another process' by now."""
    (tmp_path / "lock").touch()
    (tmp_path / "running.json").write_text(f'{{"pid": {os.getpid()}}}')
    assert reaper.reap(tmp_path) == []
