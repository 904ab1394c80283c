"""What is made of the model's verified files to open them faster: kept beside them, never trusted.

Each file ends with the digest of what stands before it; one that does not fit is made again. Where
nothing can be written (a folder that machines share read-only) it is made each time.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

FOLDER = "derived"
_DIGEST_BYTES = 32


def derived(model_dir: Path, name: str, make: Callable[[], bytes]) -> bytes:
    """The content of a derived file, made where it is missing or damaged."""
    path = model_dir / FOLDER / name
    content = _read(path)
    if content is None:
        content = make()
        with contextlib.suppress(OSError):  # it is only faster with it
            _write(path, content)
    return content


def _read(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    content, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    return content if hashlib.sha256(content).digest() == digest else None


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all; native code reads it, so nobody else may write it."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor, made = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.write(hashlib.sha256(content).digest())
        Path(made).rename(path)
    except OSError:
        Path(made).unlink(missing_ok=True)
        raise
