"""Digests name content: equal content, equal name; anything else, another name."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.road.identity import (
    DIGEST_CHARACTERS,
    Json,
    canonical_json,
    digest_bytes,
    digest_json,
    digest_parts,
    digest_text,
    shard_of,
)

ROOT = Path(__file__).resolve().parents[3]
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    LEAVES | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
# Any code point, lone surrogates too: a file name that is not UTF-8 is read as such.
ANY_TEXT = st.text(st.characters(exclude_categories=()))
PARTS = st.lists(ANY_TEXT, max_size=5)


def turned_around(value: Any) -> Any:
    """The same JSON value with all keys in the opposite order."""
    if isinstance(value, dict):
        return {key: turned_around(value[key]) for key in reversed(value)}
    if isinstance(value, list):
        return [turned_around(one) for one in value]
    return value


def is_digest(text: str) -> bool:
    return len(text) == DIGEST_CHARACTERS == 32 and set(text) <= set("0123456789abcdef")


def test_digests_are_what_they_were() -> None:
    """Stored indexes, evidence and releases are found by these: a change orphans them all.

    The values are from `sha256sum`, the parts written by hand behind their lengths in 8 bytes.
    """
    assert digest_bytes(b"") == "e3b0c44298fc1c149afbf4c8996fb924"
    assert digest_text("청크") == digest_bytes(bytes.fromhex("ecb2aded81ac"))
    assert digest_text("청크") == "d39db22bfb152bf233fe1d187f2583e6"
    assert digest_parts("a", "b") == "3c9d591045bc8876f9d0399bbfb05c6a"
    assert digest_json({"b": [1, 2.5, None], "a": "값"}) == "0b8e18f37d2b7181cbcde5b2476edbce"


@given(data=st.binary(), text=ANY_TEXT, value=VALUES, parts=PARTS)
def test_every_digest_has_one_shape(data: bytes, text: str, value: Json, parts: list[str]) -> None:
    """Digests are parts of file names and collection names: 32 lower-case hex characters."""
    digests = [digest_bytes(data), digest_text(text), digest_json(value), digest_parts(*parts)]
    assert all(is_digest(digest) for digest in digests)


@given(value=VALUES)
def test_the_order_of_keys_does_not_matter(value: Json) -> None:
    """YAML reordered by a person would otherwise rebuild an index."""
    assert digest_json(value) == digest_json(turned_around(value))


@given(first=VALUES, second=VALUES)
def test_two_values_have_one_digest_only_if_they_are_one_text(first: Json, second: Json) -> None:
    """`1`, `1.0`, `true` and `"1"` are four values; a digest that joined them would skip work."""
    same = canonical_json(first) == canonical_json(second)
    assert (digest_json(first) == digest_json(second)) is same


@given(value=VALUES)
def test_canonical_json_is_read_back_and_stays_itself(value: Json) -> None:
    """What is digested is the whole value, in one form."""
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


def test_canonical_json_is_compact_sorted_and_not_escaped() -> None:
    """One text per value: no spaces, sorted keys, Korean as it is."""
    assert canonical_json({"b": [1, "가"], "a": None}) == '{"a":null,"b":[1,"가"]}'


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_has_no_digest(number: float) -> None:
    """NaN is not JSON, and not equal to itself: it names nothing."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest_json({"score": [number]})


@given(first=PARTS, second=PARTS)
def test_parts_are_told_apart_where_they_touch(first: list[str], second: list[str]) -> None:
    """("ab", "c") and ("a", "bc") joined without lengths are one text."""
    assert (digest_parts(*first) == digest_parts(*second)) is (first == second)


@given(parts=st.lists(ANY_TEXT, min_size=1, max_size=4), cuts=st.data())
def test_moving_a_border_or_adding_an_empty_part_changes_the_digest(
    parts: list[str], cuts: st.DataObject
) -> None:
    """Near misses, which two random lists hardly ever are."""
    at = cuts.draw(st.integers(0, len(parts) - 1))
    cut = cuts.draw(st.integers(0, len(parts[at])))
    split = [*parts[:at], parts[at][:cut], parts[at][cut:], *parts[at + 1 :]]
    assert digest_parts(*split) != digest_parts(*parts)


@given(first=ANY_TEXT, second=ANY_TEXT)
def test_texts_have_one_digest_only_if_they_are_one(first: str, second: str) -> None:
    """Composed and decomposed Korean are two texts here: the caller normalises."""
    assert (digest_text(first) == digest_text(second)) is (first == second)


@pytest.mark.parametrize(
    ("key", "shards", "shard"),
    [
        ("", 16, 4),
        ("docs/overview.md", 16, 3),
        ("docs/overview.md", 4096, 3347),
        ("문서/청크-정책.md", 16, 10),
        ("문서/청크-정책.md", 7, 5),
    ],
)
def test_a_key_stays_in_its_shard(key: str, shards: int, shard: int) -> None:
    """A shard that moves between versions is parsed and embedded again, all of it."""
    assert shard_of(key, shards) == shard


@given(key=st.text(), shards=st.integers(1, 4096))
def test_a_shard_is_one_of_those_there_are(key: str, shards: int) -> None:
    """Every key has a shard, whatever its script."""
    assert 0 <= shard_of(key, shards) < shards
    assert shard_of(key, 1) == 0


def test_keys_spread_evenly() -> None:
    """A hot shard is a slow stage: 16,000 keys with one prefix fill 16 shards alike."""
    sizes = Counter(shard_of(f"docs/page-{number:05d}.md", 16) for number in range(16_000))
    assert len(sizes) == 16
    assert max(sizes.values()) < 1.15 * 1000
    assert min(sizes.values()) > 0.85 * 1000


def test_another_process_finds_the_same_digests_and_shards() -> None:
    """`hash()` of a string differs in every process; nothing here may use it."""
    code = (
        "from platform_pipelines.core.road.identity import *;"
        "print(digest_json({'b': 1, 'a': '값'}), digest_parts('a', 'b'), shard_of('문서', 4096))"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for seed in ("1", "2")
    ]
    here = [digest_json({"a": "값", "b": 1}), digest_parts("a", "b"), str(shard_of("문서", 4096))]
    assert printed == [here, here]
