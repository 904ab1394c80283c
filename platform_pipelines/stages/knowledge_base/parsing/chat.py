"""Chat logs: JSON lines (or one JSON array) of messages with a speaker, a time and a text."""

import datetime
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from platform_pipelines.core.knowledge_base.documents import Block, BlockKind, Place, Reason
from platform_pipelines.core.knowledge_base.text import one_line
from platform_pipelines.errors import DocumentError
from platform_pipelines.stages.knowledge_base.parsing.draft import HEADING_CHARACTERS, Draft

_TEXT: Final = ("text", "message", "content", "body", "msg")
_SPEAKER: Final = ("user", "author", "speaker", "from", "username", "user_name", "sender", "role")
_TIME: Final = ("ts", "time", "timestamp", "created_at", "date", "datetime")
_THREAD: Final = ("thread_ts", "thread_id", "thread", "parent_id", "parent", "reply_to")
_CHANNEL: Final = ("channel", "channel_name", "room")
_SPEAKER_CHARACTERS: Final = 100
_TIME_CHARACTERS: Final = 64
_MILLISECONDS_FROM: Final = 1e11  # an epoch this large is the year 5138 in seconds

Record = Mapping[str, Any]


def is_message(record: object) -> bool:
    """Whether a JSON value has what a chat message has: a text, and a speaker or a time."""
    if not isinstance(record, dict) or not _found(record, _TEXT):
        return False
    return bool(_found(record, _SPEAKER))


def read_chat(text: str, *, key: str) -> Draft:
    """One MESSAGE block per message; replies follow the message that opened their thread.

    Raises:
        DocumentError: CORRUPT, a line is not a JSON object.
    """
    draft = Draft()
    for record in _in_threads(_records(text, key)):
        body = _plain(record.get(_found(record, _TEXT) or "", ""))
        if body.strip():
            draft.blocks.append(Block(body, BlockKind.MESSAGE, _place(record)))
    return draft


def _records(text: str, key: str) -> Iterator[Record]:
    if text.lstrip().startswith("["):
        values = enumerate(_load(text, key, 1), start=1)
    else:
        lines = enumerate(text.split("\n"), start=1)
        values = ((n, _load(line, key, n)) for n, line in lines if line.strip())
    for number, value in values:
        if not isinstance(value, dict):
            raise _corrupt(key, number, "not a JSON object")
        yield value


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
        if _is_scalar(record.get(name)):
            return str(record[name])
    return ""


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool) and value != ""


def _place(record: Record) -> Place:
    speaker = _found(record, _SPEAKER)
    time = _found(record, _TIME)
    channel = one_line(_plain(record.get(_found(record, _CHANNEL) or "")), limit=HEADING_CHARACTERS)
    return Place(
        heading=(channel,) if channel else (),
        speaker=one_line(_plain(record[speaker]), limit=_SPEAKER_CHARACTERS) if speaker else None,
        time=_time_text(record[time]) if time else None,
    )


def _time_text(value: Any) -> str | None:
    """Epoch seconds or milliseconds as ISO 8601 in UTC; anything else as it stands."""
    try:
        seconds = float(value)
        seconds = seconds / 1000 if seconds > _MILLISECONDS_FROM else seconds
        moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return one_line(_plain(value), limit=_TIME_CHARACTERS) or None
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _found(record: Record, names: Iterable[str]) -> str | None:
    return next((name for name in names if record.get(name) not in (None, "", [], {})), None)


def _plain(value: Any) -> str:
    """The text of a value: exports nest it as `{"name": …}`, or as a list of parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        inner = _found(value, ("real_name", "display_name", "name", "id", *_TEXT))
        found = value.get(inner) if inner else ""
        return found if isinstance(found, str) else ""
    if isinstance(value, list):
        parts = (_plain(part) for part in value if isinstance(part, str | dict))
        return "\n".join(part for part in parts if part)
    return "" if value is None else str(value)
