"""Chat logs: JSON lines (or one JSON array) of messages with a speaker, a time and a text."""

import datetime
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from platform_pipelines.core.knowledge_base.documents import Block, BlockKind, Place, Reason
from platform_pipelines.core.knowledge_base.text import one_line
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.chat_exports import (
    People,
    are_messages,
    flattened,
    is_bulk,
    messages_of,
    names_of,
    plain,
    speaker_of,
    text_of,
)
from platform_pipelines.stages.knowledge_base.parsing.draft import HEADING_CHARACTERS, Draft

_TIME: Final = (
    "ts", "time", "timestamp", "createdDateTime", "created_at", "create_at", "date", "datetime",
)  # fmt: skip
_THREAD: Final = (
    "thread_ts", "thread_id", "thread", "replyToId", "root_id", "parent_id", "parent", "reply_to",
    "reply_to_message_id", "reference",
)  # fmt: skip
_CHANNEL: Final = ("channel", "channel_name", "room")
_SAMPLE_CHARACTERS: Final = 200_000
_SAMPLE_LINES: Final = 50
_SPEAKER_CHARACTERS: Final = 100
_TIME_CHARACTERS: Final = 64
_MILLISECONDS_FROM: Final = 1e11  # an epoch this large is the year 5138 in seconds

Record = Mapping[str, Any]


def read_chat(text: str, *, key: str, people: People | None = None) -> Draft:
    """One MESSAGE block per message; replies follow the message that opened their thread.

    `people` are names by id, of a list that stands beside the export.

    Raises:
        DocumentError: CORRUPT, a line is not a JSON object.
    """
    draft = Draft()
    records, channel = _records(text, key)
    names = {**(people or {}), **names_of(records)}
    for record in _in_threads(flattened(records)):
        body = text_of(record, names)
        if body.strip():
            place = _place(record, channel, speaker_of(record, names))
            draft.blocks.append(Block(body, BlockKind.MESSAGE, place))
    return draft


def is_chat(text: str) -> bool:
    """Whether a JSON text, or every line of one, is a chat's."""
    root = _json_or_none(text)
    if root is not None:
        found = messages_of(root)
        return found is not None and are_messages(found[:_SAMPLE_LINES])
    lines = [line for line in text[:_SAMPLE_CHARACTERS].split("\n") if line.strip()]
    if len(text) > _SAMPLE_CHARACTERS and len(lines) > 1:
        lines.pop()  # cut off in the middle
    # The last line may be cut short.
    values = [_json_or_none(line) for line in lines[:_SAMPLE_LINES]]
    objects = [value for value in values if isinstance(value, dict)]
    return (
        bool(objects)
        and len(objects) >= len(values) - 1
        and (are_messages(objects) or is_bulk(objects))
    )


def _json_or_none(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _records(text: str, key: str) -> tuple[list[Record], str]:
    """All records, and the channel that the export names over them."""
    channel = ""
    root = _json_or_none(text)
    found = messages_of(root)
    if found is not None:
        values = enumerate(found, start=1)
        if isinstance(root, dict):
            channel = plain(root.get("channel")) or plain(root.get("name"))
    else:
        lines = enumerate(text.split("\n"), start=1)
        values = ((n, _load(line, key, n)) for n, line in lines if line.strip())
    records: list[Record] = []
    for number, value in values:
        if not isinstance(value, dict):
            raise _corrupt(key, number, "not a JSON object")
        records.append(value)
    return records, channel


def _load(text: str, key: str, number: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _corrupt(key, number, str(error)) from error


def _corrupt(key: str, number: int, what: str) -> DocumentError:
    return DocumentError(
        f"line {number} of the chat log cannot be read: {what}", reason=Reason.CORRUPT, where=key
    )


def _in_threads(records: Iterable[Record]) -> Iterator[Record]:
    """Messages in the file's order, each thread's replies gathered behind its first message."""
    threads: dict[str, list[Record]] = {}
    names: dict[str, str] = {}  # a message's own id or time -> the thread that it is in
    for number, record in enumerate(records):
        parent = _identity(record, _THREAD)
        own = [str(record[name]) for name in ("id", *_TIME) if _is_scalar(record.get(name))]
        thread = names.get(parent, parent) if parent else ""
        if not thread or (thread not in threads and parent not in own):
            thread = thread or f"#{number}"
        threads.setdefault(thread, []).append(record)
        for name in own:
            names.setdefault(name, thread)
    for thread in threads.values():
        yield from thread


def _identity(record: Record, names: Iterable[str]) -> str:
    for name in names:
        value = record.get(name)
        if isinstance(value, dict):  # Discord's reference
            value = value.get("messageId") or value.get("message_id") or value.get("id")
        if _is_scalar(value):
            return str(value)
    return ""


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""


def _place(record: Record, channel: str, speaker: str) -> Place:
    time = _found(record, _TIME)
    own = plain(record.get(_found(record, _CHANNEL) or ""))
    heading = one_line(own or channel, limit=HEADING_CHARACTERS)
    return Place(
        heading=(heading,) if heading else (),
        speaker=one_line(speaker, limit=_SPEAKER_CHARACTERS) or None,
        time=_time_text(record[time]) if time else None,
    )


def _time_text(value: Any) -> str | None:
    """Epoch seconds or milliseconds as ISO 8601 in UTC; anything else as it stands."""
    try:
        seconds = float(value)
        seconds = seconds / 1000 if seconds > _MILLISECONDS_FROM else seconds
        moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return one_line(plain(value), limit=_TIME_CHARACTERS) or None
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _found(record: Record, names: Iterable[str]) -> str | None:
    return next((name for name in names if record.get(name) not in (None, "", [], {})), None)
