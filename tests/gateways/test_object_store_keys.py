"""Names and keys, without a store."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.knowledge_base.documents import SourceObject
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.gateways.object_store import Skipped
from platform_pipelines.gateways.store_keys import (
    BATCH_OBJECTS,
    Listing,
    checked_key,
    checked_prefix,
    nfc,
    stored_names,
)

# Hangul, its jamo, a base letter and its accent, and two singletons (an ideograph, the angstrom).
LETTERS = st.sampled_from("가각ㄱ\u1100\u1161\u11a8e\u0301é\uf900豈\u212bÅa")
NAMES = st.sets(st.text(LETTERS, min_size=1, max_size=4), max_size=30)


def listed(names: set[str]) -> tuple[list[list[SourceObject]], Skipped]:
    skipped = Skipped()
    listing = Listing(skipped, lambda key: key in names)
    batches: list[list[SourceObject]] = []
    for raw in sorted(names, key=str.encode):
        batches.extend(listing.add(raw, 1, raw))
    batches.extend(listing.finish())
    return batches, skipped


@given(NAMES)
def test_every_key_is_listed_once_and_its_own_name_wins(names: set[str]) -> None:
    """Whatever the normal forms, and also for letters that sort after their composed form."""
    batches, skipped = listed(names)
    found = {one.key: one.version for batch in batches for one in batch}
    assert sorted(found) == sorted({nfc(name) for name in names})
    assert sum(len(batch) for batch in batches) == len(found)
    assert len(skipped.duplicates) == len(names) - len(found)
    assert all(raw == key for key, raw in found.items() if key in names)


def test_batches_are_bounded() -> None:
    batches, _ = listed({f"{number:05d}" for number in range(2 * BATCH_OBJECTS + 1)})
    assert [len(batch) for batch in batches] == [BATCH_OBJECTS, BATCH_OBJECTS, 1]


@given(st.lists(st.text(LETTERS, min_size=1, max_size=3), min_size=1, max_size=3))
def test_a_stored_name_is_found_by_its_key(parts: list[str]) -> None:
    """Each part may be in another normal form."""
    tree: dict[str, list[str]] = {}
    for depth in range(len(parts)):
        tree["/".join(parts[:depth])] = ["beside", parts[depth]]
    assert stored_names(nfc("/".join(parts)), lambda folder: tree.get(folder, [])) == [
        "/".join(parts)
    ]


def test_both_folders_of_one_key_are_found() -> None:
    composed, decomposed = "가", unicodedata.normalize("NFD", "가")
    tree = {"": [composed, decomposed], composed: ["a"], decomposed: ["a", "b"]}
    assert stored_names("가/a", lambda folder: tree[folder]) == [
        f"{decomposed}/a",
        f"{composed}/a",
    ]
    assert stored_names("가/b", lambda folder: tree[folder]) == [f"{decomposed}/b"]


def test_a_prefix_may_be_empty_and_a_key_may_not() -> None:
    assert checked_prefix("", url="u") == ""
    assert checked_prefix("a/b/", url="u") == "a/b"
    with pytest.raises(ConfigurationError) as caught:
        checked_key("", url="file:///x")
    assert caught.value.where == "file:///x"
