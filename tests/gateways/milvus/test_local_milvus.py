"""One database, many processes: who starts its server, who outlives whom."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from platform_pipelines.errors import ConfigurationError, UnavailableError
from platform_pipelines.gateways.milvus.local_files import (
    LocalFiles,
    ServerRecord,
    is_locked,
    open_lock_file,
    try_lock,
)
from platform_pipelines.gateways.milvus.local_server import LocalMilvus
from tests.gateways.milvus.local import local_store
from tests.gateways.milvus.rows import fill, make_row, unit_vectors
from tests.servers.milvus_server import wait_until

CLIENT = """
import sys
from pathlib import Path
from platform_pipelines.gateways.milvus.local_server import LocalMilvus
local = LocalMilvus(Path(sys.argv[1]), idle_seconds=0.2)
print(local.uri(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A database's directory; whatever serves it is ended afterwards."""
    folder = tmp_path / "kb" / "vectors"
    yield folder
    record = LocalFiles(folder).living_server()
    if record is not None:
        with suppress(ProcessLookupError):
            os.kill(record.pid, signal.SIGKILL)


def start_client(directory: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)},
    )


def first_line(client: "subprocess.Popen[str]") -> str:
    assert client.stdout is not None
    return client.stdout.readline().strip()


def living(directory: Path) -> ServerRecord:
    record = LocalFiles(directory).living_server()
    assert record is not None
    return record


def gone(directory: Path) -> bool:
    return not is_locked(LocalFiles(directory).server_lock)


def test_two_starters_get_one_server_that_ends_after_both(directory: Path) -> None:
    """A second server could not open the database; a server for ever would hold its memory."""
    clients = [start_client(directory), start_client(directory)]
    addresses = {first_line(client) for client in clients}
    assert len(addresses) == 1
    assert addresses.pop().startswith("http://127.0.0.1:")
    clients[0].kill()
    clients[0].communicate()
    assert not gone(directory)
    clients[1].communicate()
    wait_until(lambda: gone(directory), seconds=20)
    assert not LocalFiles(directory).record.exists()


def test_the_server_is_out_of_reach_of_the_terminals_signals(directory: Path) -> None:
    """Ctrl-C in a run would otherwise end the server of the web UI."""
    local = LocalMilvus(directory, idle_seconds=0.2)
    local.uri()
    pid = living(directory).pid
    assert os.getsid(pid) != os.getsid(0)
    assert os.getpgid(pid) != os.getpgid(0)
    local.close()


def test_a_killed_server_is_replaced_and_its_rows_are_there(directory: Path) -> None:
    """kill -9 between two calls: what was sealed is loaded again, what was inserted is replayed.
    The stale server.json names a port that may be anybody's by now."""
    store = local_store(directory)
    vectors = unit_vectors(4)
    rows = [make_row(number, vector) for number, vector in enumerate(vectors)]
    fill(store, "kept", rows[:3], keyword=True)
    store.point_alias("live", "kept")
    store.insert("kept", rows[3:])
    killed = living(directory)
    os.kill(killed.pid, signal.SIGKILL)
    wait_until(lambda: gone(directory), seconds=20)
    assert LocalFiles(directory).record.exists()
    assert store.count("kept") == 4
    (hits,) = store.search_dense("live", vectors[3:], k=1, tenant="default")
    assert hits[0].chunk_id == rows[3].chunk_id
    (words,) = store.search_keywords("live", ["word2"], k=1, tenant="default")
    assert words[0].chunk_id == rows[2].chunk_id
    assert living(directory).pid != killed.pid
    store.close()


def test_a_server_told_to_stop_flushes_and_the_next_call_starts_another(directory: Path) -> None:
    """SIGTERM is what a machine that goes down sends."""
    store = local_store(directory)
    fill(store, "kept", [make_row(1, unit_vectors(1)[0])])
    os.kill(living(directory).pid, signal.SIGTERM)
    wait_until(lambda: gone(directory), seconds=20)
    assert store.count("kept") == 1
    store.close()


def test_leftover_files_mean_nothing(directory: Path) -> None:
    """Files of a machine that lost its power: locks without owners, half a record."""
    directory.mkdir(parents=True)
    for name in ("start.lock", "server.lock", "lease"):
        (directory / name).write_bytes(b"leftover")
    (directory / "server.json").write_text('{"pid": 1, "po', encoding="utf-8")
    local = LocalMilvus(directory, idle_seconds=0.2)
    assert local.uri() == f"http://127.0.0.1:{living(directory).port}"
    local.close()
    local.close()


def test_a_record_is_believed_only_while_its_server_lives(tmp_path: Path) -> None:
    """A process id may be anybody's; the lock is the server's own."""
    files = LocalFiles(tmp_path)
    files.write_record(ServerRecord(pid=os.getpid(), port=1, started=0.0))
    assert files.living_server() is None
    with open_lock_file(files.server_lock) as lock:
        assert try_lock(lock)
        assert files.living_server() == ServerRecord(pid=os.getpid(), port=1, started=0.0)
        files.record.write_text("[]", encoding="utf-8")
        assert files.living_server() is None
    assert files.living_server() is None
    assert files.tail_of_log() == ""


def test_a_directory_that_cannot_be_written_is_a_configuration_error(tmp_path: Path) -> None:
    """Not a stack of OSError from a child process."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="file"):
        LocalMilvus(tmp_path / "file" / "kb", idle_seconds=1).uri()


def test_a_database_held_by_another_program_is_unavailable(directory: Path) -> None:
    """Somebody opened it with Milvus Lite directly: the message shows the server's own words."""
    data = directory / "data"
    data.mkdir(parents=True)
    with open_lock_file(data / "LOCK") as foreign:
        assert try_lock(foreign)
        with pytest.raises(UnavailableError, match="DataDirLocked"):
            LocalMilvus(directory, idle_seconds=1).uri()
