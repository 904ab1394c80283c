"""A cold search: the same tokens and vectors as ever, from files that open faster."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_pipelines import samples
from platform_pipelines.gateways.e5 import model_files
from platform_pipelines.gateways.e5.derived import FOLDER, derived
from platform_pipelines.gateways.e5.embedder import LIGHT_CHARACTERS, E5Embedder
from platform_pipelines.gateways.e5.light_tokenizer import LightTokenizer, load_light_tokenizer
from platform_pipelines.gateways.e5.tokenizer import E5TokenCounter, E5Tokenizer

GOLDEN = Path(samples.__file__).parent / "golden" / "handbook.jsonl"
ODD = [
    "",
    " ",
    "\t\n",
    "▁",
    "a▁▁b",
    "  two  spaces ",
    "🙂🙂 ok",
    "한글ㅎㅏㄴ",
    "\ud800",
    "ｆｕｌｌ",
    "𝔘𝔫𝔦",
    "\u0000x",
]


@pytest.fixture(scope="module")
def whole(e5_model_dir: Path) -> E5Tokenizer:
    return E5TokenCounter(e5_model_dir).tokenizer()


@pytest.fixture(scope="module")
def light(e5_model_dir: Path) -> LightTokenizer:
    return load_light_tokenizer(model_files.load_model_files(e5_model_dir), e5_model_dir)


def ids(whole: E5Tokenizer, texts: list[str]) -> list[list[int]]:
    return [one.ids for one in whole.encode("query: ", texts)]


def test_questions_and_quotes_have_the_tokens_that_they_had(
    whole: E5Tokenizer, light: LightTokenizer
) -> None:
    """Korean and English, code and numbers: all of the golden set, and what is odd."""
    rows = [json.loads(line) for line in GOLDEN.read_text("utf-8").splitlines()]
    texts = [row["question"] for row in rows]
    texts += [reference["quote"] for row in rows for reference in row["references"]]
    assert light.encode("query: ", [*texts, *ODD]) == ids(whole, [*texts, *ODD])


@given(st.text(max_size=40))
@settings(max_examples=60)
def test_any_text_has_the_tokens_that_it_had(
    whole: E5Tokenizer, light: LightTokenizer, text: str
) -> None:
    """Characters that no piece holds, too."""
    assert light.encode("query: ", [text]) == ids(whole, [text])


def test_a_compiled_model_makes_the_same_vectors(e5_model_dir: Path) -> None:
    """The first compiles and keeps it, the second opens what was kept."""
    texts = ["How many GPUs has the batch pool?", "배치 풀의 GPU는 몇 개인가요?"]
    opened = [E5Embedder(e5_model_dir, threads=2, batch=2) for _ in range(2)]
    first, second = (one.embed_queries(texts) for one in opened)
    assert list((e5_model_dir / FOLDER).glob("encoder-*"))
    assert np.array_equal(first, second)


def test_an_embedder_that_reads_much_loads_the_whole_tokenizer(e5_model_dir: Path) -> None:
    """A server is asked again and again: bisecting would cost it more."""
    embedder = E5Embedder(e5_model_dir, threads=2, batch=2)
    embedder.embed_queries(["quota"])
    assert not embedder.token_counter().is_loaded
    embedder.embed_passages(["word " * 100] * (LIGHT_CHARACTERS // 500 + 1))
    assert embedder.token_counter().is_loaded


def test_a_damaged_file_is_made_again(tmp_path: Path) -> None:
    """Native code reads it: what is not whole is never given to it."""
    assert derived(tmp_path, "x", lambda: b"content") == b"content"
    path = tmp_path / FOLDER / "x"
    path.write_bytes(path.read_bytes()[:-1])
    assert derived(tmp_path, "x", lambda: b"made anew") == b"made anew"
    assert derived(tmp_path, "x", lambda: b"never") == b"made anew"
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_where_nothing_can_be_written_it_is_made_each_time(tmp_path: Path) -> None:
    """A model folder that machines share."""
    (tmp_path / FOLDER).write_text("in the way")
    assert derived(tmp_path, "x", lambda: b"content") == b"content"
