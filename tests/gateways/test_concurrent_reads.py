"""Reading many objects: one after the other while that is quick, at once when it is not."""

import threading

import pytest

from platform_pipelines.errors import SourceNotFoundError, UnavailableError
from platform_pipelines.gateways import concurrent_reads
from platform_pipelines.gateways.concurrent_reads import read_many, read_many_files

KEYS = [f"{number}.md" for number in range(20)]


class Disk:
    """Answers from where it is asked, and remembers that; a missing file is an error."""

    def __init__(self, *missing: str) -> None:
        self.missing = missing
        self.threads: list[threading.Thread] = []

    def get(self, key: str) -> tuple[bytes, str]:
        self.threads.append(threading.current_thread())
        if key in self.missing:
            raise SourceNotFoundError("gone", where=key)
        return key.encode(), "v1"


def test_quick_files_are_read_on_the_readers_own_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread for each cached file costs more than the file."""
    monkeypatch.setattr(concurrent_reads, "QUICK_SECONDS", 60.0)
    disk = Disk("3.md")
    found = list(read_many_files(disk.get, KEYS, concurrency=4))
    assert [one.key for one in found] == KEYS
    assert [one.key for one in found if one.error] == ["3.md"]
    assert set(disk.threads) == {threading.current_thread()}


def test_the_first_slow_file_makes_the_rest_concurrent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system answers in milliseconds: many reads must be on their way."""
    monkeypatch.setattr(concurrent_reads, "QUICK_SECONDS", 0.0)
    disk = Disk("0.md", "7.md")
    found = list(read_many_files(disk.get, KEYS, concurrency=4))
    assert [one.key for one in found] == KEYS
    assert [one.key for one in found if one.error] == ["0.md", "7.md"]
    assert disk.threads[0] is threading.current_thread()
    assert threading.current_thread() not in disk.threads[1:]


@pytest.mark.parametrize("read", [read_many, read_many_files])
def test_any_other_error_ends_the_reading(read) -> None:
    """A disk that fails is the stage's error, not a document's."""

    def broken(key: str) -> tuple[bytes, str]:
        raise UnavailableError("the file system failed", where=key)

    with pytest.raises(UnavailableError):
        list(read(broken, KEYS, concurrency=4))
