"""What only a folder can do wrong."""

import errno
import os
import resource
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from platform_pipelines.errors import (
    ConfigurationError,
    ConflictError,
    PlatformError,
    SourceForbiddenError,
    SourceNotFoundError,
    StorageFullError,
    UnavailableError,
)
from platform_pipelines.gateways.concurrent_reads import read_many_files
from platform_pipelines.gateways.local_files import mapped, settle
from platform_pipelines.gateways.object_store import ObjectStore, Skipped
from platform_pipelines.gateways.obstore_store import open_store


def keys_of(store: ObjectStore, skipped: Skipped | None = None) -> list[str]:
    return [found.key for batch in store.list_objects(skipped=skipped) for found in batch]


def files_below(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


@contextmanager
def largest_file(size_bytes: int) -> Generator[None]:
    """The system refuses to let a file grow beyond a size: as good as a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_edit_of_the_same_size_at_the_same_moment_changes_the_version(tmp_path: Path) -> None:
    """Listed, then edited within one tick of the file system's clock: the edit must be seen."""
    store = open_store(tmp_path.as_uri())
    path = tmp_path / "a.md"
    seen: set[str] = set()
    for number in range(100):
        with path.open("r+b" if path.exists() else "wb") as file:
            file.write(f"{number:03d}".encode())
        seen |= {found.version for batch in store.list_objects() for found in batch}
    assert len(seen) == 100


def test_a_link_that_leads_to_itself_costs_itself(tmp_path: Path) -> None:
    """`ln -s a a`, two links to each other, and a folder's link to its own parent."""
    (tmp_path / "good.md").write_text("good")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "up").symlink_to(tmp_path)
    skipped = Skipped()
    assert keys_of(open_store(tmp_path.as_uri()), skipped) == ["good.md"]
    assert skipped.links == 4


def test_a_path_that_is_too_long_to_open_is_named(tmp_path: Path) -> None:
    """Made by an unpacked archive or a network share: deeper than the system opens by name."""
    (tmp_path / "good.md").write_text("good")
    handle = os.open(tmp_path, os.O_RDONLY)
    handles = [handle]
    name = "폴더" * 20
    for _ in range(4096 // len(name.encode()) + 2):
        os.mkdir(name, dir_fd=handle)
        handle = os.open(name, os.O_RDONLY, dir_fd=handle)
        handles.append(handle)
    os.close(os.open("deep.md", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    for one in handles:
        os.close(one)
    skipped = Skipped()
    assert keys_of(open_store(tmp_path.as_uri()), skipped) == ["good.md"]
    assert len(skipped.unreadable) == 1
    assert "bytes long" in skipped.unreadable[0]
    assert len(skipped.unreadable[0]) < 300


def test_folders_may_be_deep(tmp_path: Path) -> None:
    """1,500 folders in each other are 3,000 bytes: nothing for a stack of calls."""
    handle = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("a", dir_fd=handle)
        inner = os.open("a", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(os.open("deep.md", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    os.close(handle)
    assert keys_of(open_store(tmp_path.as_uri())) == ["a/" * 1500 + "deep.md"]


def test_a_file_that_grows_costs_itself(tmp_path: Path) -> None:
    """A log that a program writes all the time: that one later, the others now."""
    (tmp_path / "good.md").write_text("good")
    store = open_store(tmp_path.as_uri())

    def get(key: str) -> tuple[bytes, str]:
        if key == "log.txt":
            raise ConflictError("the file changes while it is read")
        return store.get(key)

    log, good = read_many_files(get, ["log.txt", "good.md"], concurrency=2)
    assert isinstance(log.error, ConflictError)
    assert good.data == b"good"


def test_a_read_version_is_of_the_bytes_that_were_read(tmp_path: Path) -> None:
    """Read, then edited in place within one tick: the version that was read is not the new one."""
    store = open_store(tmp_path.as_uri())
    path = tmp_path / "a.md"
    path.write_bytes(b"000")
    for number in range(1, 50):
        data, version = store.get("a.md")
        assert data == f"{number - 1:03d}".encode()
        with path.open("r+b") as file:
            file.write(f"{number:03d}".encode())
        head = store.head("a.md")
        assert head is not None
        assert head.version != version


def test_a_version_is_only_told_when_its_tick_is_over(tmp_path: Path) -> None:
    """Whatever the kernel's clock: after it, an edit gets another time; so does a new file."""
    path = tmp_path / "a.md"
    store = open_store(tmp_path.as_uri())
    for call in (
        lambda: settle(path.stat()),
        lambda: keys_of(store),
        lambda: store.get("a.md"),
        lambda: store.delete(["a.md"]),
    ):
        path.write_bytes(b"x")
        soon = time.time_ns() + 20_000_001
        os.utime(path, ns=(soon, soon))
        call()
        assert time.time_ns() > soon
    path.write_bytes(b"x")
    os.utime(path, (1e9, 1e9))
    assert not settle(path.stat())


def test_the_time_of_an_object_only_grows(tmp_path: Path) -> None:
    """An inode freed by one write may come back in the next: only the time tells them apart."""
    store = open_store(tmp_path.as_uri())
    store.put("k", b"1")
    ahead = time.time_ns() + 3_600_000_000_000
    os.utime(tmp_path / "k", ns=(ahead, ahead))
    store.put("k", b"2")
    assert (tmp_path / "k").stat().st_mtime_ns > ahead


def test_a_time_in_the_future_does_not_hold_up_a_listing(tmp_path: Path) -> None:
    """An archive unpacked with a wrong clock must not wait for its date."""
    (tmp_path / "a.md").write_bytes(b"x")
    os.utime(tmp_path / "a.md", (4e9, 4e9))
    assert keys_of(open_store(tmp_path.as_uri())) == ["a.md"]


def test_links_out_of_the_root_are_not_followed(tmp_path: Path) -> None:
    """A document folder must not publish /etc; a ConfigMap's own links are files."""
    root = tmp_path / "root"
    (root / "..data").mkdir(parents=True)
    (root / "..data" / "real.md").write_bytes(b"inside")
    (root / "linked.md").symlink_to(root / "..data" / "real.md")
    (tmp_path / "secret").write_bytes(b"s")
    (root / "secret.md").symlink_to(tmp_path / "secret")
    (root / "loop").symlink_to(root)
    (root / "dangling").symlink_to(root / "none")
    os.mkfifo(root / "pipe")
    skipped = Skipped()
    assert keys_of(open_store(root.as_uri()), skipped) == ["linked.md"]
    assert (skipped.links, skipped.hidden, skipped.total) == (4, 1, 5)


def test_a_name_in_a_legacy_encoding_is_reported_not_fatal(tmp_path: Path) -> None:
    """Archives from old Windows machines carry EUC-KR names."""
    (tmp_path / "a.md").write_bytes(b"x")
    with open(os.path.join(os.fsencode(tmp_path), "한글.txt".encode("euc-kr")), "wb"):
        pass
    skipped = Skipped()
    assert keys_of(open_store(tmp_path.as_uri()), skipped) == ["a.md"]
    assert skipped.unreadable == [r"\xc7\xd1\xb1\xdb.txt"]


@pytest.mark.parametrize("kind", ["missing", "a file"])
def test_a_root_that_is_no_folder_is_not_found(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "root"
    if kind == "a file":
        root.write_bytes(b"x")
    store = open_store(root.as_uri())
    for call in (
        lambda: keys_of(store),
        lambda: store.put("k", b"x"),
        lambda: store.delete(["k"]),
        lambda: store.open_writer("k").__enter__(),
    ):
        with pytest.raises(SourceNotFoundError, match="root"):
            call()


def test_a_store_of_the_products_own_is_made_by_its_first_write(tmp_path: Path) -> None:
    """Reading from a store that was never written to finds nothing, and makes nothing."""
    store = open_store((tmp_path / "a" / "b").as_uri(), create=True)
    assert keys_of(store) == []
    assert store.head("k") is None
    store.delete(["k"])
    assert list(tmp_path.iterdir()) == []
    store.put("k", b"x")
    assert keys_of(store) == ["k"]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    store.put("kept", b"old")
    with largest_file(4096):
        with pytest.raises(StorageFullError):
            store.put("big", b"x" * 100_000)
        with pytest.raises(StorageFullError):
            _write(store, "big", b"x" * 100_000)
        with pytest.raises(StorageFullError):
            store.put("kept", b"y" * 100_000)
    assert files_below(tmp_path) == {"kept", ".lock"}
    assert store.get("kept")[0] == b"old"


def _write(store: ObjectStore, key: str, data: bytes) -> None:
    with store.open_writer(key) as file:
        file.write(data)


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    """SIGKILL in the middle of a write leaves a staged file; the next writer removes it."""
    program = (
        "import os, sys\n"
        "from platform_pipelines.gateways.obstore_store import open_store\n"
        "with open_store(sys.argv[1]).open_writer('k') as file:\n"
        "    file.write(b'x' * 100_000)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path.as_uri()],
        cwd=Path(__file__).parents[2],
        check=False,
        timeout=120,
    )
    assert done.returncode == -9
    assert len(files_below(tmp_path)) == 2
    store = open_store(tmp_path.as_uri())
    assert keys_of(store) == []
    with store.open_writer("living") as file:
        store.put("other", b"x")
        file.write(b"y")
    assert files_below(tmp_path) == {"living", "other", ".lock"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_forbidden_not_empty(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    try:
        with pytest.raises(SourceForbiddenError):
            keys_of(open_store(tmp_path.as_uri()))
    finally:
        closed.chmod(0o700)


def test_a_name_too_long_for_the_file_system_is_said(tmp_path: Path) -> None:
    """A Korean name of 100 letters has 300 bytes."""
    with pytest.raises(ConfigurationError):
        open_store(tmp_path.as_uri()).put("가" * 100, b"x")


def test_a_file_in_the_way_of_a_folder_is_said(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    store.put("a", b"x")
    with pytest.raises(PlatformError):
        store.put("a/b", b"x")
    with pytest.raises(SourceNotFoundError):
        store.get("a/b")


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOENT, SourceNotFoundError),
        (errno.EACCES, SourceForbiddenError),
        (errno.EROFS, SourceForbiddenError),
        (errno.ENOSPC, StorageFullError),
        (errno.EDQUOT, StorageFullError),
        (errno.ENAMETOOLONG, ConfigurationError),
        (errno.EIO, UnavailableError),
        (errno.ESTALE, UnavailableError),
    ],
)
def test_what_the_system_says_is_typed(number: int, expected: type[PlatformError]) -> None:
    """Retry is decided by type: a full disk is not worth one, a stale NFS handle is."""
    error = mapped(OSError(number, os.strerror(number)), where="file:///x/한글")
    assert type(error) is expected
    assert error.where == "file:///x/한글"
    assert error.stored == os.strerror(number)
