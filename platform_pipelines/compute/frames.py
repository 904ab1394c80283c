"""Messages between a pool and its workers: length-prefixed JSON, with raw bytes beside it.

A frame is `magic(4) json_length(u32) raw_length(u32) json raw`, big-endian. A `bytes` value at any
depth of the message travels in `raw`, and stands in the JSON as `{"$bytes": [start, length]}`.
Nothing is pickled: what a worker sends can never run code in the parent.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any, cast

from platform_pipelines.errors import IntegrityError

MAGIC = b"PPw1"
MAX_FRAME_BYTES = 1 << 30
_HEADER = struct.Struct("!4sII")
_MARK = "$bytes"
_QUOTED_MARK = f'"{_MARK}":'
_PLAIN = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def encode_frame(message: Mapping[str, object]) -> bytes:
    """One frame. Raises IntegrityError for what is neither JSON nor bytes, and above 1 GiB."""
    raw: list[bytes] = []
    try:
        try:
            text = _PLAIN.encode(message)
        except TypeError:  # rare: pay for the hook only when there are bytes inside
            text = json.dumps(
                message, ensure_ascii=False, separators=(",", ":"), default=_lift_into(raw)
            )
        if _QUOTED_MARK in text and text.count(_QUOTED_MARK) != len(raw):
            raise ValueError(f"the key {_MARK} is reserved")
        # surrogatepass: file names and broken text may hold lone surrogates
        body = text.encode("utf-8", "surrogatepass")
    except (TypeError, ValueError, RecursionError) as error:
        raise IntegrityError(
            "a message between processes may hold JSON values and bytes only",
            stored=str(error),
            remedy="return dicts, lists, strings, numbers, booleans, None or bytes",
        ) from error
    raw_length = sum(map(len, raw))
    _check_length(len(body) + raw_length)
    return b"".join((_HEADER.pack(MAGIC, len(body), raw_length), body, *raw))


class FrameReader:
    """Cuts a stream of bytes, fed in any pieces, into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The messages that `data` completes. Raises IntegrityError for what is not a frame."""
        self._buffer += data
        start = 0
        try:
            while (end := self._frame_end(start)) is not None:
                frame_start, start = start, end
                yield self._decode(frame_start, end)
        finally:
            if start:
                del self._buffer[:start]

    def _frame_end(self, start: int) -> int | None:
        if len(self._buffer) - start < _HEADER.size:
            return None
        magic, json_length, raw_length = _HEADER.unpack_from(self._buffer, start)
        if magic != MAGIC:
            raise IntegrityError(
                "the channel between processes carries something else than frames",
                stored=repr(bytes(magic)),
                expected=repr(MAGIC),
                remedy="find what writes into a file descriptor that it did not open",
            )
        _check_length(json_length + raw_length)
        end = start + _HEADER.size + json_length + raw_length
        return end if end <= len(self._buffer) else None

    def _decode(self, start: int, end: int) -> dict[str, Any]:
        _, json_length, _ = _HEADER.unpack_from(self._buffer, start)
        raw_start = start + _HEADER.size + json_length
        body = bytes(self._buffer[start + _HEADER.size : raw_start])
        raw = bytes(self._buffer[raw_start:end])
        hook = _restore_from(raw) if _QUOTED_MARK.encode() in body else None
        try:
            message = json.loads(body.decode("utf-8", "surrogatepass"), object_hook=hook)
        except (ValueError, RecursionError) as error:
            raise IntegrityError("a frame holds no JSON", stored=str(error)) from error
        if not isinstance(message, dict):
            raise IntegrityError("a frame holds no object", stored=type(message).__name__)
        return cast("dict[str, Any]", message)


def _check_length(length: int) -> None:
    if length > MAX_FRAME_BYTES:
        raise IntegrityError(
            "a message between processes is too large",
            stored=f"{length} bytes",
            expected=f"at most {MAX_FRAME_BYTES} bytes",
            remedy="hand over a path or an object's key instead of the content",
        )


def _lift_into(raw: list[bytes]) -> Any:
    def lift(value: object) -> object:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise TypeError(f"{type(value).__name__} is neither JSON nor bytes")
        start = sum(map(len, raw))
        raw.append(bytes(value))
        return {_MARK: [start, len(raw[-1])]}

    return lift


def _restore_from(raw: bytes) -> Any:
    def restore(found: dict[str, Any]) -> object:
        match found:
            case {"$bytes": [int(start), int(length)]} if len(found) == 1:
                if 0 <= start <= start + length <= len(raw):
                    return raw[start : start + length]
        if _MARK in found:
            raise IntegrityError("a frame refers to bytes, and there are no such bytes")
        return found

    return restore
