"""Stored records: what is read comes back as it was stored, or is refused with the reason."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic.dataclasses import dataclass

from platform_pipelines.core.road.records import CONFIG, VERSION, Format, Raw, plain, stored_field
from platform_pipelines.errors import IntegrityError

ROOT = Path(__file__).parents[3]
TEXT = st.text(max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
KNOWN = {"name", "size", "more", "format", "written_by", "stored"}
UNKNOWN = st.dictionaries(TEXT.filter(lambda name: name not in KNOWN), JSON, max_size=3)


@dataclass(frozen=True, config=CONFIG)
class Inner:
    """A part of a record."""

    values: tuple[float, ...]


@dataclass(frozen=True, config=CONFIG)
class Parcel:
    """A record in its third format: 1 called the name `title`, 2 had no size."""

    name: str
    size: int
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])
    inner: Inner | None = None
    format: int = 3
    written_by: str = VERSION
    stored: Any = stored_field()


def renamed(raw: Raw) -> Raw:
    """From 1 to 2."""
    return {**raw, "name": raw["title"]}


def measured(raw: Raw) -> Raw:
    """From 2 to 3."""
    return {**raw, "size": len(raw["name"])}


FORMAT = Format(
    kind="a parcel", model=Parcel, current=3, remedy="send it again",
    upgrades={1: renamed, 2: measured},
)  # fmt: skip


def read(raw: Raw) -> Parcel:
    return FORMAT.read(FORMAT.parse(json.dumps(raw), where="w"), where="w")


@given(name=TEXT, size=st.integers(), more=st.dictionaries(TEXT, JSON, max_size=3))
def test_a_record_comes_back_as_it_was(name: str, size: int, more: dict[str, Any]) -> None:
    """Through JSON and back; what it was read from is no field of it."""
    parcel = Parcel(name, size, more, Inner((1.0, 2.5)))
    record = plain(parcel)
    assert set(record) == {"name", "size", "more", "inner", "format", "written_by"}
    found = read(record)
    assert found == parcel
    assert found.stored == json.loads(json.dumps(record))
    assert plain(found) == record


@given(unknown=UNKNOWN, name=TEXT)
def test_what_a_reader_does_not_know_is_kept(unknown: dict[str, Any], name: str) -> None:
    """Ignored as a field, and whole in what the digest is made of."""
    raw = {"name": name, "size": 1, "format": 3, **unknown}
    found = read(raw)
    assert found.stored == raw
    assert (found.name, found.size) == (name, 1)


@given(unknown=UNKNOWN, name=TEXT)
def test_an_older_format_is_upgraded_step_by_step_and_stays_as_it_is_stored(
    unknown: dict[str, Any], name: str
) -> None:
    """Without a number it is the first one."""
    for raw in ({"title": name, **unknown}, {"title": name, "format": 1, **unknown}):
        found = read(raw)
        assert (found.name, found.size, found.format) == (name, len(name), 3)
        assert found.stored == raw
    second = read({"name": name, "format": 2, **unknown})
    assert (second.size, second.stored["format"]) == (len(name), 2)


@given(number=st.integers(4), writer=st.sampled_from(["2.0.0", None]))
def test_a_newer_format_is_refused_with_who_wrote_it(number: int, writer: str | None) -> None:
    """Whatever else is in it: it is not looked at."""
    with pytest.raises(IntegrityError, match="does not read") as caught:
        read({"format": number, "written_by": writer, "name": 7})
    assert caught.value.stored == f"format {number}, written by {writer or 'unknown'}"
    assert caught.value.expected == f"format 3 or less, this is {VERSION}"


@pytest.mark.parametrize("number", [0, -1, 1.0, "3", None, True, [3]])
def test_a_format_that_is_no_number_of_one_is_refused(number: object) -> None:
    """`true` is 1 to Python, and a damaged number is not an old one."""
    with pytest.raises(IntegrityError, match="not a parcel: format"):
        read({"name": "x", "size": 1, "title": "x", "format": number})


@given(raw=st.dictionaries(st.sampled_from(["name", "size", "title", "inner", "format"]), JSON))
def test_whatever_the_object_it_is_read_or_refused(raw: dict[str, Any]) -> None:
    """Never a KeyError, never a ValidationError, never a half-read record."""
    try:
        found = read(raw)
    except IntegrityError as error:
        refused = (error.where, error.remedy != "")
    else:
        refused = None
        assert found.stored == raw
        assert isinstance(found.name, str)
    assert refused in {None, ("w", True)}


@given(st.one_of(st.binary(max_size=20), TEXT, JSON.map(json.dumps)))
def test_whatever_the_bytes_they_are_an_object_or_refused(data: bytes | str) -> None:
    """A write that was cut short, another file, an empty one."""
    try:
        found = FORMAT.parse(data, where="w")
    except IntegrityError as error:
        found = {"said": str(error)}
        refused = "not a parcel" in found["said"]
    else:
        refused = False
    assert refused or found == json.loads(data)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a": NaN}', '{"a": -Infinity}', '{"a": 1e999}', '{"a": -1e999}']
)
def test_what_no_digest_can_be_made_of_is_refused(text: str) -> None:
    """A RecursionError or a bare ValueError would end the run without a name or a remedy."""
    with pytest.raises(IntegrityError, match="not a parcel") as caught:
        FORMAT.parse(text, where="w")
    assert caught.value.remedy == "send it again"


def test_a_format_without_its_upgrade_is_refused() -> None:
    """A component that never had format 1 cannot mean what is in one."""
    bare = Format(kind="a parcel", model=Parcel, current=3, remedy="send it again")
    with pytest.raises(IntegrityError, match="not a parcel"):
        bare.read({"name": "x", "size": 1, "format": 1}, where="w")


def test_a_digest_that_is_not_the_contents_is_told_with_both() -> None:
    """What was stored, what it should be, what to do."""
    FORMAT.must_equal("digest", "a", "a", where="w")
    with pytest.raises(IntegrityError, match="a parcel is not what its digest says") as caught:
        FORMAT.must_equal("digest", "a", "b", where="w")
    error = caught.value
    assert (error.stored, error.expected, error.where, error.remedy) == (
        "a",
        "b",
        "w",
        "send it again",
    )


def test_records_name_the_version_of_this_package() -> None:
    """A newer reader's message says which version wrote what it refuses."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == VERSION
