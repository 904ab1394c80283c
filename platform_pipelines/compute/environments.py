"""Python environments of worker classes: made once from a hash lock, kept, and named by its digest.

Each class of work (evaluation, training, serving, registry, proxy) brings libraries that do not
go together, or that are too heavy for everybody else. Its lock lies in the package
`environments` as `NAME.txt`, complete and with hashes; what a lock leaves out on purpose stands
in `NAME.excludes`, and so it is installed without dependencies. `NAME.in` is what was asked for:

    uv pip compile --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
        --no-header [--find-links FOLDER] [--excludes NAME.excludes] NAME.in -o NAME.txt
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from platform_pipelines.compute.process import Interpreter
from platform_pipelines.errors import ConfigurationError, UnavailableError

PACKAGE = Path(__file__).parents[1]
LOCKS = Path(__file__).parents[1] / "environments"
DIGEST_CHARACTERS = 12
SECONDS_TO_INSTALL = 1800.0
_TAIL_CHARACTERS = 2000


def names() -> list[str]:
    """The worker classes that have a lock."""
    return sorted(path.stem for path in LOCKS.glob("*.txt"))


def folder_of(name: str, home: Path) -> Path:
    """Where the environment of a class is, made or not.

    Raises:
        ConfigurationError: there is no such class.
    """
    lock = LOCKS / f"{name}.txt"
    if not lock.is_file():
        raise ConfigurationError(
            "no worker class has this name",
            where="environment",
            stored=name,
            expected=", ".join(names()),
        )
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:DIGEST_CHARACTERS]
    return home / "environments" / f"{name}-{digest}"


def ensure(name: str, home: Path, progress: Callable[[str], None]) -> Path:
    """The Python of a class's environment; made by the first who asks, others wait for it.

    Marked when it is whole: what a killed installation left is made again.

    Raises:
        ConfigurationError: there is no such class.
        UnavailableError: a package cannot be had, or is not the one that the lock names.
    """
    folder = folder_of(name, home)
    python, mark = folder / "bin" / "python", folder / ".whole"
    if mark.exists():
        return python
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{name}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not mark.exists():
            progress(f"making the environment `{name}` (once; some minutes with downloads)")
            _make(name, folder)
            mark.touch()
    return python


def interpreter(name: str, home: Path, progress: Callable[[str], None]) -> Interpreter:
    """The Python of a class for a worker pool: its own libraries, and this package alone.

    This package stands in a folder with the whole runtime where a wheel was installed, so the
    import path names a folder that holds nothing but a link to it.

    Raises:
        ConfigurationError: there is no such class.
        UnavailableError: a package cannot be had, or is not the one that the lock names.
    """
    python = ensure(name, home, progress)
    digest = hashlib.sha256(str(PACKAGE).encode()).hexdigest()[:DIGEST_CHARACTERS]
    alone = home / "environments" / f"package-{digest}"
    alone.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):  # of an earlier run, or another one's just now
        (alone / PACKAGE.name).symlink_to(PACKAGE, target_is_directory=True)
    return Interpreter(str(python), (str(alone),))


def _make(name: str, folder: Path) -> None:
    """Made in place: its scripts know their own path."""
    shutil.rmtree(folder, ignore_errors=True)
    uv = _uv()
    bare = ["--without-pip"] if uv else []  # Debian's own Python has none to give
    _run(name, [sys.executable, "-m", "venv", *bare, str(folder)])
    python = folder / "bin" / "python"
    lock = ["--no-deps", "--require-hashes", "-r", str(LOCKS / f"{name}.txt")]
    links = _find_links()
    if uv:
        folders = [word for link in links for word in ("--find-links", link)]
        _run(name, [uv, "pip", "install", "-q", "--python", str(python), "--system-certs",
                    *folders, *lock])  # fmt: skip
    else:
        quiet = ["--disable-pip-version-check", "install", "-q"]
        _run(name, [str(python), "-m", "pip", *quiet, *lock])


def _uv() -> str | None:
    """The fast installer: beside this Python, or on the path."""
    beside = Path(sys.executable).parent / "uv"
    return str(beside) if beside.exists() else shutil.which("uv")


def _find_links() -> list[str]:
    """Folders of wheels that pip is told to look into; uv does not read pip's configuration."""
    command = [sys.executable, "-m", "pip", "config", "get", "global.find-links"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.split() if found.returncode == 0 else []


def _run(name: str, command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=SECONDS_TO_INSTALL
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(
            f"installing the environment `{name}` took over {SECONDS_TO_INSTALL:.0f} s",
            where=os.path.basename(command[0]),
            remedy="look at the network or the package mirror, and run again",
        ) from error
    if done.returncode != 0:
        raise UnavailableError(
            f"the environment `{name}` could not be made",
            where=os.path.basename(command[0]),
            stored=(done.stderr or done.stdout)[-_TAIL_CHARACTERS:].strip(),
            expected=f"every package of environments/{name}.txt",
            remedy="make the package index reachable (pip's own configuration), and run again",
        )
