"""A process that reads what strangers wrote, without anything worth stealing in its reach.

`confine` is for the process that parses, once, before its first document. `hide_from_peers` is for
every process that holds a secret: on Linux another process of the same user could read its
environment (`/proc/PID/environ`) and its memory.

Three walls, of which any may be missing: another user (only root can change it), no sight of other
processes' insides (`prctl(PR_SET_DUMPABLE)` of those), and Landlock (Linux 5.13, where switched on;
https://docs.kernel.org/userspace-api/landlock.html): no other process, file, program or connection.
On macOS a process cannot read another one's environment once it has dropped to another user, and
nothing more is done.
"""

import contextlib
import ctypes
import os
import stat
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

NOBODY = 65534
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same number on every machine
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FS_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}  # from this version on, so many rights of files
_TCP_RIGHTS = 0b11  # bind, connect
_SCOPES = 0b11  # abstract sockets, signals
# Of the system: shared libraries, time zones, and what a C library reads on its own.
_SYSTEM = (
    "/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/dev/urandom", "/dev/null",
    "/etc/mime.types", "/etc/httpd/mime.types", "/etc/httpd/conf/mime.types",
    "/etc/apache/mime.types", "/etc/apache2/mime.types",
)  # fmt: skip


def hide_from_peers() -> None:
    """From here on no other process of this user can read this one's environment or memory.

    Only root can. It also leaves no core file. Does nothing on macOS.
    """
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def confine() -> None:
    """Give up, for good, all that parsing does not need. What is imported later still can be.

    Raises:
        OSError: the process is root's and cannot drop to another user.
    """
    folders = list(_import_folders())
    # Made before the user changes: root may see folders that nobody else can.
    ruleset = _ruleset([*folders, *map(Path, _SYSTEM)])
    if os.geteuid() == 0:
        _keep_in_reach(folders)
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    if sys.platform == "linux":
        hide_from_peers()
        _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if ruleset is not None:
        _libc().syscall(_RESTRICT_SELF, ruleset, 0)
        os.close(ruleset)


def landlock_version() -> int:
    """Of the kernel's Landlock; 0 where there is none. `doctor` may tell it."""
    if sys.platform != "linux":
        return 0
    return max(0, _libc().syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _import_folders() -> Iterator[Path]:
    """Where modules come from. Of a checkout only the package: its root holds other things too."""
    package = Path(__file__).resolve().parents[1]
    for entry in map(Path, filter(None, sys.path)):
        folder = entry.resolve()
        if folder == package.parent and folder.name != "site-packages":
            yield package
        elif os.path.isdir(entry):
            yield entry
    # The interpreter's library may be shared.
    yield from (Path(prefix) / "lib" for prefix in {sys.prefix, sys.base_prefix})


def _keep_in_reach(folders: list[Path]) -> None:
    """Python may be installed below a folder that only root can enter, e.g. `/root`.

    A folder that is open already is reached through its descriptor, whatever is above it.
    """
    reached: dict[str, str] = {}
    for entry in dict.fromkeys([*map(str, filter(None, sys.path)), *map(str, folders)]):
        with contextlib.suppress(OSError):
            descriptor = os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            reached[entry] = f"/proc/self/fd/{descriptor}"
    sys.path[:] = [reached.get(entry, entry) for entry in sys.path]
    for module in list(sys.modules.values()):
        paths = getattr(module, "__path__", None)
        if isinstance(paths, list):
            paths[:] = [_through(path, reached) for path in paths]
    sys.path_importer_cache.clear()


def _through(path: str, reached: dict[str, str]) -> str:
    """The same folder, by way of the longest open folder above it."""
    above = max((f for f in reached if f"{path}/".startswith(f"{f}/")), key=len, default=None)
    return path if above is None else reached[above] + path[len(above) :]


def _ruleset(readable: list[Path]) -> int | None:
    """Landlock's rules: read below these paths, and no other file, program, network or process.

    None where the kernel has no Landlock: the other walls stand.
    """
    version = landlock_version()
    if version < 1:
        return None
    rights = max(bits for since, bits in _FS_RIGHTS.items() if since <= version)
    handled = [(1 << rights) - 1]
    handled += [_TCP_RIGHTS] if version >= 4 else []
    handled += [_SCOPES] if version >= 6 else []
    attributes = struct.pack(f"={len(handled)}Q", *handled)
    libc = _libc()
    ruleset = libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        return None
    for path in readable:
        _allow_reading(libc, ruleset, path)
    return ruleset


def _allow_reading(libc: ctypes.CDLL, ruleset: int, path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    rights = _READ_FILE | (_READ_DIR if stat.S_ISDIR(os.fstat(descriptor).st_mode) else 0)
    libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    os.close(descriptor)
