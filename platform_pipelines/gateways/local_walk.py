"""Walk a folder as an object store lists it: files only, in byte order, hidden names left out."""

import contextlib
import errno
import os
from collections.abc import Generator, Iterator

from platform_pipelines.gateways.local_files import settle, typed_errors
from platform_pipelines.gateways.object_store import Skipped

SHOWN_CHARACTERS = 200  # of a name that is too long


def walk(root: str, folder: str, skipped: Skipped) -> Iterator[tuple[str, os.stat_result]]:
    """Raw name relative to `root`, and status, of every file below `folder` ("" is the root).

    A file that vanishes meanwhile is left out; a link that leads to itself, or a path that is
    longer than the system opens, costs itself; a folder that may not be read is an error.

    Raises:
        SourceForbiddenError: a folder may not be listed.
    """
    waiting = [(folder, iter(_entries(root, folder, skipped)))]  # no recursion: folders may be deep
    while waiting:
        folder, entries = waiting[-1]
        entry = next(entries, None)
        if entry is None:
            waiting.pop()
            continue
        raw = f"{folder}/{entry.name}" if folder else entry.name
        if entry.name.startswith("."):
            skipped.hidden += 1
        elif not is_utf8(entry.name):
            escaped = os.fsencode(entry.name).decode("ascii", "backslashreplace")
            skipped.unreadable.append(f"{folder}/{escaped}" if folder else escaped)
        elif entry.is_dir(follow_symlinks=False):
            waiting.append((raw, iter(_entries(root, raw, skipped))))
        elif _is_own_file(entry, root):
            yield from _settled(raw, entry.path, skipped)
        else:
            skipped.links += 1


def children(root: str, folder: str) -> list[str]:
    """Names in a folder, [] when it is none."""
    try:
        return [name for name in os.listdir(os.path.join(root, folder)) if is_utf8(name)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def is_utf8(name: str) -> bool:
    """Whether Python could decode the name (EUC-KR names of old archives arrive as surrogates)."""
    return name.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in name)


def _entries(root: str, folder: str, skipped: Skipped) -> list["os.DirEntry[str]"]:
    path = os.path.join(root, folder)
    with typed_errors(path), _too_long(folder, skipped):
        try:
            with os.scandir(path) as entries:
                return sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except (FileNotFoundError, NotADirectoryError):
            return []
    return []


@contextlib.contextmanager
def _too_long(raw: str, skipped: Skipped) -> Generator[None]:
    """Name what the system does not open by its whole path (4,096 bytes on Linux)."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        skipped.unreadable.append(f"{raw[:SHOWN_CHARACTERS]}… ({len(os.fsencode(raw))} bytes long)")


def _is_own_file(entry: "os.DirEntry[str]", root: str) -> bool:
    """Regular, or a link to a regular file below the root (as Kubernetes mounts a ConfigMap)."""
    if not entry.is_symlink():
        return entry.is_file()
    inside = os.path.realpath(entry.path).startswith(os.path.realpath(root) + os.sep)
    try:
        return inside and entry.is_file()
    except OSError:  # a link that leads to itself
        return False


def _settled(raw: str, path: str, skipped: Skipped) -> Iterator[tuple[str, os.stat_result]]:
    try:  # context managers would cost as much as the status itself, for every file
        status = os.stat(path)
        if settle(status):
            status = os.stat(path)
    except FileNotFoundError:
        return
    except OSError as error:
        with typed_errors(path), _too_long(raw, skipped):
            raise error
        return
    yield raw, status
