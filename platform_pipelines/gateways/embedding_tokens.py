"""Token counts of a served model: the server's own (vLLM's or TEI's form), or a tokenizer.json's.

    vLLM  POST /tokenize {"model", "prompt", "add_special_tokens"}  ->  {"count", "max_model_len"}
    TEI   POST /tokenize {"inputs": [...], "add_special_tokens"}    ->  [[{"id", ...}, ...], ...]

https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html,
https://huggingface.github.io/text-embeddings-inference/. NIM has neither: it needs the file.
"""

import threading
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from platform_pipelines.errors import ConfigurationError
from platform_pipelines.gateways.embedding_http import JsonClient, Reply

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PATH = "/tokenize"
COUNT_BATCH = 512  # texts encoded at a time, so that memory does not grow with the list

# Calls a function on each item, some at once, and keeps the order.
Spread = Callable[[Callable[[Any], list[int]], Iterable[Any]], Iterable[list[int]]]


def sendable(text: str) -> str:
    """NFC, and without halves of surrogate pairs, which are no characters and no UTF-8."""
    composed = unicodedata.normalize("NFC", text)
    return composed.encode("utf-8", "replace").decode("utf-8")


@dataclass(frozen=True, slots=True)
class CountedModel:
    """Whose tokens are counted."""

    model: str
    window_tokens: int
    passage_prefix: str


class ServerTokenCounter:
    """Counts by asking the server; the form it speaks is found with the first question.

    Raises (from `count`): what `JsonClient` raises, and
        ConfigurationError: the server counts in neither form, or its window is smaller than ours.
    """

    def __init__(
        self, counted: CountedModel, *, client: JsonClient, spread: Spread, batch: int
    ) -> None:
        self.window_tokens = counted.window_tokens
        self._counted = counted
        self._client = client
        self._spread = spread
        self._batch = batch
        self._lock = threading.Lock()
        self._batched: bool | None = None  # TEI's form takes lists, vLLM's one text

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as a passage: special tokens and prefix included."""
        if not texts:
            return []
        prefixed = [sendable(self._counted.passage_prefix + text) for text in texts]
        if not self._takes_lists(prefixed[0]):
            return [count for part in self._spread(self._one, prefixed) for count in part]
        starts = range(0, len(prefixed), self._batch)
        batches = (prefixed[start : start + self._batch] for start in starts)
        return [count for part in self._spread(self._list, batches) for count in part]

    def _takes_lists(self, text: str) -> bool:
        with self._lock:
            if self._batched is None:
                self._batched = self._find_form(text)
            return self._batched

    def _find_form(self, text: str) -> bool:
        single = self._ask_one(text)
        if _single_count(single) is not None:
            self._check_window(single.body.get("max_model_len"))
            return False
        listed = self._ask_list([text])
        if _list_counts(listed, 1) is not None:
            return True
        raise ConfigurationError(
            "the embedding server does not count tokens",
            where=PATH,
            stored=f"HTTP {single.status}: {single.message}",
            expected="the answer of vLLM or of TEI",
            remedy="set the embedder's tokenizer to the path of the model's tokenizer.json",
        )

    def _check_window(self, served: Any) -> None:
        if isinstance(served, int) and served < self.window_tokens:
            raise ConfigurationError(
                f"window_tokens is more than {self._counted.model} is served with",
                stored=self.window_tokens,
                expected=f"at most {served}",
                remedy="lower window_tokens, or start the server with a longer --max-model-len",
            )

    def _ask_one(self, text: str) -> Reply:
        payload = {"model": self._counted.model, "prompt": text, "add_special_tokens": True}
        return self._client.post(PATH, payload)

    def _ask_list(self, texts: Sequence[str]) -> Reply:
        return self._client.post(PATH, {"inputs": list(texts), "add_special_tokens": True})

    def _one(self, text: str) -> list[int]:
        reply = self._ask_one(text)
        count = _single_count(reply)
        if count is None:
            raise _changed(reply)
        return [count]

    def _list(self, texts: Sequence[str]) -> list[int]:
        reply = self._ask_list(texts)
        counts = _list_counts(reply, len(texts))
        if counts is None:
            raise _changed(reply)
        return counts


def _single_count(reply: Reply) -> int | None:
    body: Any = reply.body
    count = body.get("count") if reply.ok and hasattr(body, "get") else None
    return count if isinstance(count, int) else None


def _list_counts(reply: Reply, expected: int) -> list[int] | None:
    body: Any = reply.body
    if not reply.ok or not isinstance(body, list):
        return None
    tokens = cast("list[Any]", body)
    if len(tokens) != expected or not all(isinstance(one, list) for one in tokens):
        return None
    return [len(one) for one in tokens]


def _changed(reply: Reply) -> ConfigurationError:
    return ConfigurationError(
        "the embedding server stopped counting tokens",
        where=PATH,
        stored=f"HTTP {reply.status}: {reply.message}",
        remedy="lower the embedder's batch, or set its tokenizer to a tokenizer.json",
    )


class FileTokenCounter:
    """Counts with a model's own tokenizer.json, loaded on first use.

    Raises (from `count`):
        ConfigurationError: the file is missing or is not a tokenizer.
    """

    def __init__(self, counted: CountedModel, *, file: Path) -> None:
        self.window_tokens = counted.window_tokens
        self._prefix = counted.passage_prefix
        self._file = file
        self._lock = threading.Lock()
        self._tokenizer: Tokenizer | None = None

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as a passage: special tokens and prefix included."""
        tokenizer = self._open()
        counts: list[int] = []
        for start in range(0, len(texts), COUNT_BATCH):
            part = [sendable(self._prefix + text) for text in texts[start : start + COUNT_BATCH]]
            counts.extend(map(len, tokenizer.encode_batch_fast(part)))
        return counts

    def _open(self) -> "Tokenizer":
        from tokenizers import Tokenizer

        with self._lock:
            if self._tokenizer is None:
                try:
                    tokenizer = Tokenizer.from_file(str(self._file))
                except Exception as error:  # tokenizers raises bare Exception
                    raise ConfigurationError(
                        f"the embedder's tokenizer cannot be loaded: {error}",
                        where=str(self._file),
                        expected="a tokenizer.json",
                    ) from error
                tokenizer.no_padding()
                tokenizer.no_truncation()
                self._tokenizer = tokenizer
            return self._tokenizer
