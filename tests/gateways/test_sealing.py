"""Sealed checkpoints: a damaged one is never resumed, and the one before is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from platform_pipelines.gateways.programs.sealing import SEAL, choose, fault, seal


def checkpoint(root: Path, step: int) -> Path:
    folder = root / f"epoch_0_step_{step}"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "adapter.safetensors").write_bytes(b"weights" * 100 + bytes([step]))
    (folder / "rng.pt").write_bytes(b"state")
    return folder


def cut(folder: Path) -> None:
    path = folder / "model" / "adapter.safetensors"
    path.write_bytes(path.read_bytes()[:50])


def flip(folder: Path) -> None:
    path = folder / "model" / "adapter.safetensors"
    data = bytearray(path.read_bytes())
    data[300] ^= 64
    path.write_bytes(data)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a cut file": (cut, "adapter.safetensors is missing or is not what was written"),
    "one flipped bit": (flip, "adapter.safetensors is missing or is not what was written"),
    "a missing file": (lambda f: (f / "rng.pt").unlink(), "rng.pt is missing"),
    "no seal": (lambda f: (f / SEAL).unlink(), "it has no seal"),
    "half a seal": (lambda f: (f / SEAL).write_text('{"format"'), "it has no seal"),
    "still written": (lambda f: (f / ".incomplete").touch(), "it was being written"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_taken(
    tmp_path: Path, damage: str
) -> None:
    """The recipe itself fails on some of these for ever, and loads the others without a word."""
    older, newer = checkpoint(tmp_path, 4), checkpoint(tmp_path, 9)
    for folder in (older, newer):
        seal(folder, 1)
    (tmp_path / "LATEST").symlink_to(newer.name)
    does, why = DAMAGES[damage]
    does(newer)
    choice = choose(tmp_path, 1)
    assert choice.checkpoint == older
    assert why in choice.set_aside[newer.name]
    assert (tmp_path / "LATEST").resolve() == older
    assert choose(tmp_path, 1).set_aside == {}


def test_another_number_of_processes_is_no_checkpoint_of_this_run(tmp_path: Path) -> None:
    """Resumed, it would go on with other data: the loss differs by 0.29."""
    folder = checkpoint(tmp_path, 4)
    seal(folder, 2)
    assert fault(folder, 1) == "it is of 2 processes, not of 1"
    assert choose(tmp_path, 1).checkpoint is None


def test_nothing_written_yet_starts_afresh(tmp_path: Path) -> None:
    """The first start."""
    assert choose(tmp_path, 1).checkpoint is None
