"""Files as versioned objects: versions that do not lie, one lock a root, and typed errors."""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Generator

from platform_pipelines.errors import (
    ConfigurationError,
    PlatformError,
    SourceForbiddenError,
    SourceNotFoundError,
    StorageFullError,
    UnavailableError,
)

LOCK_NAME = ".lock"
_SECOND_NS = 1_000_000_000
_COARSE_NS = 2 * _SECOND_NS  # FAT and some network file systems keep even seconds only


def version_of(status: os.stat_result) -> str:
    """Inode, modification time in nanoseconds and size: changes when the content may have."""
    return f"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"


def stat_or_none(path: str) -> os.stat_result | None:
    """The status of what a path leads to, or None when there is nothing."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def settle(status: os.stat_result) -> bool:
    """Wait until a further edit must get another modification time; whether it had to wait.

    The kernel stamps files with a clock that moves every few milliseconds, so two edits of one size
    within one tick share a version (git calls such an entry racily clean).
    """
    whole_second = status.st_mtime_ns % _SECOND_NS == 0
    until = status.st_mtime_ns + (_COARSE_NS if whole_second else 0)
    now = _stamp_ns()
    if now > until or until - now > 2 * _COARSE_NS:
        return False  # settled, or a time in the future, which says nothing about the tick
    while _stamp_ns() <= until:
        time.sleep(0.001)
    return True


def _stamp_ns() -> int:
    coarse = getattr(time, "CLOCK_REALTIME_COARSE", None)  # what Linux stamps files with
    return time.time_ns() if coarse is None else time.clock_gettime_ns(coarse)


@contextlib.contextmanager
def locked(root: str) -> Generator[None]:
    """Hold the root's lock: between threads and between processes; freed when its holder dies."""
    handle = os.open(os.path.join(root, LOCK_NAME), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def mapped(error: OSError, *, where: str) -> PlatformError:
    """The typed error for what the operating system said."""
    said = error.strerror or type(error).__name__
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR | errno.EISDIR:
            return SourceNotFoundError("no such file or folder", where=where, stored=said)
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return SourceForbiddenError(
                "the file system refuses access",
                where=where,
                stored=said,
                remedy="give this user the right to it, or choose another folder",
            )
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return StorageFullError(
                "the disk is full", where=where, stored=said, remedy="free some space"
            )
        case errno.ENAMETOOLONG | errno.EINVAL | errno.EILSEQ | errno.ELOOP | errno.EEXIST:
            return ConfigurationError(
                "the file system cannot hold this name", where=where, stored=said
            )
        case _:
            return UnavailableError("the file system failed", where=where, stored=said)


@contextlib.contextmanager
def typed_errors(where: str) -> Generator[None]:
    """Turn every OSError of the block into a typed one."""
    try:
        yield
    except OSError as error:
        raise mapped(error, where=where) from error
