"""Atomic, conditional writes of files: staged beside, published under the root's lock."""

import contextlib
import fcntl
import io
import os
import uuid
from collections.abc import Generator
from dataclasses import dataclass

from platform_pipelines.errors import ConflictError
from platform_pipelines.gateways.local_files import (
    locked,
    settle,
    stat_or_none,
    version_of,
)

STAGING_NAME = ".staging"
_STEP_NS = 1_000  # the finest step that the common file systems keep
_NO_FILE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


@dataclass(frozen=True, slots=True)
class Staged:
    """A file being written; its lock, held while it is open, says that its writer lives."""

    file: io.BufferedRandom
    path: str


@contextlib.contextmanager
def staged(root: str) -> Generator[Staged]:
    """A new file below `root` that is gone after the block, published or not."""
    folder = os.path.join(root, STAGING_NAME)
    path = os.path.join(folder, uuid.uuid4().hex)
    with locked(root):
        os.makedirs(folder, exist_ok=True)
        _sweep(folder)
        file = open(path, "x+b")  # noqa: SIM115 (closed below, after the caller's block)
        fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield Staged(file, path)
    finally:
        with contextlib.suppress(OSError):
            file.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def publish(new: Staged, *, root: str, target: str, if_absent: bool, if_version: str | None) -> str:
    """Make the staged file the object at `target`; returns its version.

    Raises:
        ConflictError: the condition does not hold.
    """
    new.file.flush()
    os.fsync(new.file.fileno())
    with locked(root):
        current = stat_or_none(target)
        _check(current, target=target, if_absent=if_absent, if_version=if_version)
        folder = os.path.dirname(target)
        os.makedirs(folder, exist_ok=True)
        if current is not None:
            _move_past(new.path, current)
        os.replace(new.path, target)
        if if_absent or if_version is not None:
            # A commit: the journal writes this rename, and every one before it, now.
            _sync_folder(folder)
        return version_of(os.stat(target))


def remove(root: str, target: str) -> None:
    """Delete a file; absent is fine."""
    with contextlib.suppress(*_NO_FILE), locked(root):
        # Made again with the same inode and size, it must not have the same version.
        settle(os.stat(target))
        os.unlink(target)


def _check(
    current: os.stat_result | None, *, target: str, if_absent: bool, if_version: str | None
) -> None:
    found = None if current is None else version_of(current)
    if if_absent and found is not None:
        raise ConflictError("the object exists already", where=target, stored=found)
    if if_version is not None and found != if_version:
        raise ConflictError(
            "somebody else wrote the object",
            where=target,
            stored=found or "no object",
            expected=if_version,
            remedy="read it again and decide again",
        )


def _move_past(path: str, current: os.stat_result) -> None:
    """Times of one object only grow: a freed inode may come back within one tick of the clock."""
    status = os.stat(path)
    if status.st_mtime_ns <= current.st_mtime_ns:
        os.utime(path, ns=(status.st_atime_ns, current.st_mtime_ns + _STEP_NS))


def _sweep(folder: str) -> None:
    """Remove what killed writers left: staged files that nobody holds."""
    with os.scandir(folder) as entries:
        for entry in entries:
            with (
                contextlib.suppress(FileNotFoundError, BlockingIOError),
                open(entry.path, "rb") as file,
            ):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(entry.path)


def _sync_folder(path: str) -> None:
    """Make a rename in this folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
