"""A store has one identity, made once; a copy writes nothing until it has taken its own."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from platform_pipelines.core.road.ownership import identity_from_json
from platform_pipelines.errors import IntegrityError, OwnershipError
from platform_pipelines.gateways.clock import SystemClock
from platform_pipelines.settings import Settings
from platform_pipelines.stages.road.connect import open_platform_store
from platform_pipelines.stages.road.ownership import (
    KEY,
    known_identity,
    own_identity,
    take_identity,
)
from tests.knowledge import settings_under

CLOCK = SystemClock()


def copy_of(settings: Settings, folder: Path) -> Settings:
    shutil.copytree(settings.home, folder)
    return settings_under(folder, None)


@pytest.fixture
def first(tmp_path: Path) -> Settings:
    return settings_under(tmp_path / "first", None)


def test_the_first_writer_makes_it_and_all_others_find_it(first: Settings) -> None:
    """Whoever asks later is the same owner."""
    assert known_identity(first) is None
    made = own_identity(first, CLOCK)
    assert own_identity(first, CLOCK) == known_identity(first) == made
    assert len(made.owner) == 32


def test_of_two_first_writers_one_makes_it(
    first: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both looked before either wrote."""
    from platform_pipelines.stages.road import ownership

    winner = own_identity(replace(first, actor="other"), CLOCK)
    seen = iter([None])
    read = ownership._read
    monkeypatch.setattr(ownership, "_read", lambda store: next(seen, read(store)))
    assert own_identity(first, CLOCK) == winner


def test_a_copy_may_not_write_and_both_addresses_are_named(first: Settings, tmp_path: Path) -> None:
    """It would touch the original's collections in a vector store that both reach."""
    made = own_identity(first, CLOCK)
    copied = copy_of(first, tmp_path / "copy")
    with pytest.raises(OwnershipError) as refused:
        own_identity(copied, CLOCK)
    message = str(refused.value)
    assert first.store_url in message
    assert copied.store_url in message
    assert made.owner in message
    assert "store identity --new" in message
    assert known_identity(copied) == made  # reading goes on


def test_a_copy_takes_a_new_identity_and_remembers_whose_copy_it_is(
    first: Settings, tmp_path: Path
) -> None:
    """What has no mark is the original's: the copy's records of it are copies as well."""
    made = own_identity(first, CLOCK)
    copied = copy_of(first, tmp_path / "copy")
    taken = take_identity(copied, CLOCK, moved=False)
    assert own_identity(copied, CLOCK) == taken
    assert taken.owner != made.owner
    assert taken.copy_of == made.owner
    assert made.owns(None, recorded=True)
    assert not taken.owns(None, recorded=True)
    assert not taken.owns(made.owner, recorded=True)
    assert own_identity(first, CLOCK) == made


def test_a_moved_store_keeps_its_identity(first: Settings, tmp_path: Path) -> None:
    """What it made stays its own."""
    made = own_identity(first, CLOCK)
    moved = settings_under(tmp_path / "moved", None)
    first.home.rename(moved.home)
    take_identity(moved, CLOCK, moved=True)
    assert own_identity(moved, CLOCK).owner == made.owner


def test_a_damaged_identity_is_refused_and_replaced_only_by_a_new_one(first: Settings) -> None:
    """Nobody knows any more whose the collections are."""
    made = own_identity(first, CLOCK)
    open_platform_store(first).put(KEY, b"{")
    with pytest.raises(IntegrityError, match="identity"):
        own_identity(first, CLOCK)
    assert take_identity(first, CLOCK, moved=True).owner != made.owner


def test_an_identity_of_a_newer_version_is_refused_and_its_fields_are_kept(
    first: Settings,
) -> None:
    """Unknown fields are no reason to refuse, an unknown format is."""
    text = own_identity(first, CLOCK).to_json()
    more = text.replace("{", '{"region": "seoul",', 1)
    assert '"region"' in identity_from_json(more, where="x").to_json()
    with pytest.raises(IntegrityError, match="format"):
        identity_from_json(text.replace('"format": 1', '"format": 9'), where="x")
