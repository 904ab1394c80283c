"""Messages survive the channel in whatever pieces they arrive; anything else is refused."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.compute.frames import MAGIC, MAX_FRAME_BYTES, FrameReader, encode_frame
from platform_pipelines.errors import IntegrityError

ANY_TEXT = st.text(st.characters(), max_size=20)  # lone surrogates included
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ANY_TEXT | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)
MESSAGES = st.dictionaries(ANY_TEXT.filter(lambda key: key != "$bytes"), VALUES, max_size=4)


def holds_mark(value: Any) -> bool:
    """Whether a dict inside looks like the mark for bytes, which messages may not use."""
    if isinstance(value, dict):
        return "$bytes" in value or any(map(holds_mark, value.values()))
    return isinstance(value, list) and any(map(holds_mark, value))


@given(st.lists(MESSAGES.filter(lambda m: not holds_mark(m)), max_size=4), st.integers(1, 40))
def test_messages_survive_being_cut_into_any_pieces(
    messages: list[dict[str, Any]], piece: int
) -> None:
    """A socket gives half a header as readily as three frames."""
    stream = b"".join(map(encode_frame, messages))
    reader = FrameReader()
    received = [
        message
        for start in range(0, len(stream), piece)
        for message in reader.feed(stream[start : start + piece])
    ]
    assert received == messages


@given(st.binary(min_size=12, max_size=64).filter(lambda data: not data.startswith(MAGIC)))
def test_what_is_not_a_frame_is_refused(data: bytes) -> None:
    """A library that writes into a foreign descriptor is found at once, not as a wrong result."""
    with pytest.raises(IntegrityError, match="something else than frames"):
        list(FrameReader().feed(data))


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff\xfe", b"nul"])
def test_a_frame_without_an_object_is_refused(body: bytes) -> None:
    """The header alone proves nothing."""
    frame = struct.pack("!4sII", MAGIC, len(body), 0) + body
    with pytest.raises(IntegrityError, match="a frame holds no"):
        list(FrameReader().feed(frame))


@pytest.mark.parametrize("mark", [b"{}", b'["a","b"]', b"[0]", b"[0,9]", b"[-1,1]", b"7"])
def test_a_reference_to_bytes_that_are_not_there_is_refused(mark: bytes) -> None:
    """Never silently fewer bytes than were announced."""
    body = b'{"a":{"$bytes":' + mark + b"}}"
    frame = struct.pack("!4sII", MAGIC, len(body), 2) + body + b"xy"
    with pytest.raises(IntegrityError, match="no such bytes"):
        list(FrameReader().feed(frame))


def test_an_announced_length_beyond_the_bound_is_refused_before_it_is_read() -> None:
    """A broken header must not make the reader wait for, or allocate, gigabytes."""
    header = struct.pack("!4sII", MAGIC, MAX_FRAME_BYTES, 1)
    with pytest.raises(IntegrityError, match="too large"):
        list(FrameReader().feed(header))


@pytest.mark.parametrize("value", [object(), {1, 2}, 1j])
def test_values_that_are_not_json_are_refused(value: object) -> None:
    """Nothing is pickled, nothing is guessed."""
    with pytest.raises(IntegrityError, match="JSON values and bytes only"):
        encode_frame({"a": value})


def test_a_value_that_contains_itself_is_refused() -> None:
    """An error, not an endless loop."""
    value: list[object] = []
    value.append(value)
    with pytest.raises(IntegrityError):
        encode_frame({"a": value})


def test_a_mapping_that_looks_like_the_mark_for_bytes_is_refused() -> None:
    """It would come back as bytes, or not at all."""
    with pytest.raises(IntegrityError, match="reserved"):
        encode_frame({"a": {"$bytes": [0, 1]}})
