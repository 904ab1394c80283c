"""Which checkpoint of a training run is whole. Standard library only: the trainer imports it too.

The recipe marks a folder that is being written and skips such folders, but it does not fsync, keeps
no digests and does not look at the number of processes: a file cut in half makes every restart
fail, a flipped bit is loaded silently, and a checkpoint of two processes resumed by one goes on
with other data. `seal` adds what is missing, `choose` reads it before each start.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SEAL = "SEAL.json"
DAMAGED = ".damaged"
_INCOMPLETE = ".incomplete"  # the recipe's own mark
_NAME = re.compile(r"epoch_\d+_step_(\d+)")
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Choice:
    """The newest whole checkpoint, if there is one, and what was set aside: name -> why."""

    checkpoint: Path | None
    set_aside: dict[str, str]


def seal(folder: Path, world_size: int) -> None:
    """Write down size and SHA-256 of every file, all of them on the disk; the seal is last."""
    files: dict[str, list[object]] = {}
    for path in _files(folder):
        _sync(path)
        files[path.relative_to(folder).as_posix()] = [path.stat().st_size, file_digest(path)]
    text = json.dumps({"format": 1, "world_size": world_size, "files": files}, sort_keys=True)
    unfinished = folder / f"{SEAL}.part"
    unfinished.write_text(text, encoding="utf-8")
    _sync(unfinished)
    unfinished.replace(folder / SEAL)
    _sync(folder)
    _sync(folder.parent)


def fault(folder: Path, world_size: int) -> str | None:
    """Why a checkpoint may not be resumed, None when it is whole."""
    if (folder / _INCOMPLETE).exists():
        return "it was being written"
    try:
        record = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        written_by, files = int(record["world_size"]), dict(record["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return "it has no seal"
    if written_by != world_size:
        return f"it is of {written_by} processes, not of {world_size}"
    for name, (size, digest) in files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size or file_digest(path) != digest:
            return f"{name} is missing or is not what was written"
    return None


def checkpoints(root: Path) -> list[Path]:
    """Checkpoints by their steps, newest first; those set aside are not among them."""
    numbered = [(int(m[1]), p) for p in root.glob("epoch_*") if (m := _NAME.fullmatch(p.name))]
    return [path for _, path in sorted(numbered, reverse=True) if path.is_dir()]


def choose(root: Path, world_size: int) -> Choice:
    """The checkpoint to resume. Newer ones that are damaged are renamed: else they are taken.

    The recipe's links are pointed to what was chosen, or removed.
    """
    set_aside: dict[str, str] = {}
    chosen = None
    for folder in checkpoints(root):
        why = fault(folder, world_size)
        if why is None:
            chosen = folder
            break
        set_aside[folder.name] = why
        folder.rename(_free_name(folder))
    if set_aside:
        _point_links(root, chosen)
    return Choice(chosen, set_aside)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _free_name(folder: Path) -> Path:
    number = 1
    while (free := folder.with_name(f"{folder.name}{DAMAGED}-{number}")).exists():
        number += 1
    return free


def _point_links(root: Path, chosen: Path | None) -> None:
    for name in ("LATEST", "LOWEST_VAL"):
        link = root / name
        if link.is_symlink():
            link.unlink()
    if chosen is not None:
        (root / "LATEST").symlink_to(chosen.name)


def _files(folder: Path) -> Iterator[Path]:
    return (p for p in sorted(folder.rglob("*")) if p.is_file() and not p.name.startswith(SEAL))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
