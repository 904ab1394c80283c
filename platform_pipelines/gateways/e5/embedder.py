"""The embedded default: multilingual-e5-small on this machine's CPU, without torch or a server."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from platform_pipelines.errors import ConfigurationError, IntegrityError
from platform_pipelines.gateways.e5 import model_files
from platform_pipelines.gateways.e5.encoder import Encoder, open_encoder
from platform_pipelines.gateways.e5.light_tokenizer import LightTokenizer, load_light_tokenizer
from platform_pipelines.gateways.e5.tokenizer import E5TokenCounter

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Matrix: TypeAlias = npt.NDArray[np.float32]

# So many are encoded without loading the tokenizer: a command that asks once never needs it.
LIGHT_CHARACTERS = 12_000
WINDOW_TEXTS = 1024  # tokenised and sorted by length at a time, so that memory has a bound


class E5Embedder:
    """An `Embedder` on files that `provision` made. Loads on first use; threads may share it.

    `threads`: CPU threads, one stream each. `batch`: texts of 256 tokens that one stream takes at a
    time; shorter texts are packed more at a time (4 is enough; more costs memory, not time).

    Raises (from every method that embeds or counts):
        ModelFileError: the files are missing or damaged; the remedy is `provision`.
        IntegrityError: a passage exceeds the window; cutting it would lose text silently.
    """

    name = model_files.MODEL_NAME
    digest = model_files.DIGEST
    dimension = model_files.DIMENSION
    window_tokens = model_files.WINDOW_TOKENS

    def __init__(self, model_dir: Path, *, threads: int, batch: int) -> None:
        if threads < 1 or batch < 1:
            raise ConfigurationError(
                "threads and batch of the embedder count from 1",
                stored=f"threads={threads}, batch={batch}",
            )
        self._model_dir = model_dir
        self._threads = threads
        self._batch = batch
        self._counter = E5TokenCounter(model_dir)
        self._lock = threading.Lock()
        self._encoder: Encoder | None = None
        self._light: LightTokenizer | None = None
        self._characters = 0  # encoded so far without the whole tokenizer

    def embed_passages(self, texts: Sequence[str]) -> "Matrix":
        """[len(texts), 384] float32, unit rows. A passage over the window: IntegrityError."""
        return self._embed(texts, _Role(prefix=model_files.PASSAGE_PREFIX, cut=False))

    def embed_queries(self, texts: Sequence[str]) -> "Matrix":
        """[len(texts), 384] float32, unit rows. A query is cut to the window."""
        return self._embed(texts, _Role(prefix=model_files.QUERY_PREFIX, cut=True))

    def token_counter(self) -> E5TokenCounter:
        """The counter of passages; it shares this embedder's tokenizer."""
        return self._counter

    def close(self) -> None:
        """Gives the compiled model back; the next use loads it again."""
        with self._lock:
            self._encoder = None

    def _embed(self, texts: Sequence[str], role: "_Role") -> "Matrix":
        import numpy as np

        vectors = np.empty((len(texts), self.dimension), np.float32)
        for start in range(0, len(texts), WINDOW_TEXTS):
            encoded = self._encoded(role.prefix, texts[start : start + WINDOW_TEXTS])
            token_ids = role.token_ids(encoded, start)
            # the queue of requests and its callback are shared: one window at a time
            with self._lock:
                self._open().encode(token_ids, vectors[start : start + len(token_ids)])
        if not np.isfinite(vectors).all():
            raise IntegrityError("the embedder made a vector that is not finite", where=self.name)
        return vectors

    def _encoded(self, prefix: str, texts: Sequence[str]) -> list[list[int]]:
        characters = sum(map(len, texts))
        if self._counter.is_loaded or self._characters + characters > LIGHT_CHARACTERS:
            return [one.ids for one in self._counter.tokenizer().encode(prefix, texts)]
        with self._lock:
            self._characters += characters
            if self._light is None:
                files = model_files.load_model_files(
                    self._model_dir, names=model_files.TOKENIZER_FILES
                )
                self._light = load_light_tokenizer(files, self._model_dir)
            return self._light.encode(prefix, texts)

    def _open(self) -> Encoder:
        if self._encoder is None:
            files = model_files.load_model_files(self._model_dir)
            self._encoder = open_encoder(
                files, self._model_dir, threads=self._threads, batch=self._batch
            )
        return self._encoder


@dataclass(frozen=True, slots=True)
class _Role:
    """How texts of one role are prefixed, and what happens to one that is too long."""

    prefix: str
    cut: bool

    def token_ids(self, encoded: Sequence[list[int]], first_index: int) -> list[list[int]]:
        return [self._fit(ids, first_index + i) for i, ids in enumerate(encoded)]

    def _fit(self, ids: list[int], index: int) -> list[int]:
        window = model_files.WINDOW_TOKENS
        if len(ids) <= window:
            return ids
        if self.cut:
            return [*ids[: window - 1], ids[-1]]  # the end token stays
        raise IntegrityError(
            "a passage is longer than the embedder's window",
            where=f"passage {index} of the list",
            stored=f"{len(ids)} tokens",
            expected=f"at most {window} tokens",
            remedy="chunk with this embedder's own token counter",
        )
