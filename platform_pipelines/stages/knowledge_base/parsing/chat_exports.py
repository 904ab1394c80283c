"""Messages of chat exports in one form: Slack, Discord, Teams, Mattermost, Telegram, and the like.

Pure. A message that holds only a file or an alert's attachment has that as its text; joins, and
what was deleted, say nothing and are left out.
"""

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from platform_pipelines.core.knowledge_base.text import one_line

Record = Mapping[str, Any]
People: TypeAlias = Mapping[str, str]

_TEXT: Final = ("text", "message", "content", "body", "msg")
_SPEAKER: Final = (
    "user_profile", "author", "user", "speaker", "from", "username", "user_name", "sender",
    "actor", "role", "bot_profile", "user_id",
)  # fmt: skip
_NAMES: Final = (
    "real_name", "display_name", "nickname", "displayName", "global_name", "name", "username", "id",
)  # fmt: skip
_ATTACHED_WORDS: Final = ("pretext", "title", "text", "description", "content")
_LISTS: Final = ("messages", "value", "posts", "data")
_NO_WORDS: Final = frozenset(
    {"channel_join", "channel_leave", "group_join", "group_leave", "message_deleted", "tombstone"}
)
_NO_TALK: Final = frozenset(  # Discord's own words
    {
        "RecipientAdd", "RecipientRemove", "Call", "ChannelNameChange", "ChannelIconChange",
        "ChannelPinnedMessage", "GuildMemberJoin", "ThreadCreated",
    }
)  # fmt: skip
_ENVELOPES: Final = frozenset({"message_changed", "message_replied", "thread_broadcast"})
_SLACK_MARK: Final = re.compile(r"<([@#!]?)([^<>|]{1,2000})(?:\|([^<>]{0,1000}))?>")
_LEAST_SHARE: Final = 0.5  # of a chat's records: words from somebody


def messages_of(root: object) -> list[Any] | None:
    """The list of messages in an export's one JSON value; None when there is none."""
    if isinstance(root, list):
        return root
    if not isinstance(root, dict):
        return None
    for name in _LISTS:
        found = root.get(name)
        if isinstance(found, dict) and all(isinstance(v, dict) for v in found.values()):
            order = root.get("order")
            found = (
                [found[k] for k in reversed(order) if k in found] if order else [*found.values()]
            )
        if isinstance(found, list) and found:
            return found
    return None


def are_messages(values: Iterable[object]) -> bool:
    """Whether records are a chat: at least half have words and a speaker, the others say who."""
    records = [unwrapped(value) for value in values if isinstance(value, dict)]
    told = [r for r in records if is_message(r)]
    others = [r for r in records if not is_message(r) and not _is_event(r)]
    return bool(told) and not others and len(told) >= _LEAST_SHARE * len(records)


def is_bulk(values: Iterable[object]) -> bool:
    """Whether records are Mattermost's bulk export: each names its type and holds that.

    Teams, channels and users come first, often by the thousand; the posts are what is read.
    """
    records = [value for value in values if isinstance(value, dict)]
    if not records or records[0].get("type") != "version":
        return False
    return all(isinstance(r.get(str(r.get("type"))), dict | int) for r in records)


def is_message(record: object) -> bool:
    """Whether a record has what a chat message has: words, and somebody who says them."""
    if not isinstance(record, dict):
        return False
    record = unwrapped(record)
    return bool(_first(record, _SPEAKER) and text_of(record, {}).strip())


def _is_event(record: Record) -> bool:
    """A join, an empty message, a header line: with a time, a type or a speaker, without words."""
    return any(name in record for name in ("type", "subtype", "ts", "timestamp", *_SPEAKER))


def unwrapped(record: Record) -> Record:
    """The message inside an envelope: Mattermost's `post`, Slack's edited message."""
    for name in ("post", "direct_post"):
        inner = record.get(name)
        if isinstance(inner, dict):
            return inner
    inner = record.get("message")
    return inner if record.get("subtype") in _ENVELOPES and isinstance(inner, dict) else record


def flattened(records: Iterable[Record]) -> Iterator[Record]:
    """Messages without envelopes, replies behind the message that holds them; no empty events."""
    for record in _settled(records):
        if record.get("subtype") in _NO_WORDS or record.get("deletedDateTime"):
            continue
        if record.get("type") in _NO_TALK:
            continue
        yield record
        replies = record.get("replies")
        if isinstance(replies, list):
            for reply in replies:
                if isinstance(reply, dict) and _first(reply, _TEXT):
                    yield {"channel": record.get("channel"), **reply}


def _settled(records: Iterable[Record]) -> Iterator[Record]:
    """Messages as they ended: an edit stands in the place of what it changed, a deletion removes.

    Slack's export says both as events, with the time of the message that they are about.
    """
    kept: dict[object, Record] = {}
    for number, outer in enumerate(records):
        record = unwrapped(outer)
        own = record.get("ts") or number
        if outer.get("subtype") == "message_deleted":
            kept.pop(outer.get("deleted_ts"), None)
        elif outer is record or own not in kept or outer.get("subtype") == "message_changed":
            name = (own, number) if outer is record and own in kept else own
            kept[name] = record
    yield from kept.values()


def names_of(records: Iterable[Record]) -> dict[str, str]:
    """Speakers' ids to names, as the export itself says them."""
    names: dict[str, str] = {}
    for record in records:
        for given in (record.get("user_profile"), record.get("author"), record.get("user")):
            name = plain(given) if isinstance(given, dict) else ""
            own = given.get("id") if isinstance(given, dict) else None
            for key in (record.get("user"), own):
                if isinstance(key, str) and name and name != key:
                    names.setdefault(key, name)
    return names


def people_of(data: bytes) -> People:
    """Names by id of a list of people (Slack's `users.json`); empty when it is something else.

    Bots by their own id, too: a message names that.
    """
    try:
        given: Any = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    if isinstance(given, dict):
        given = given.get("users") or given.get("members") or given.get("value")
    people: dict[str, str] = {}
    for one in _dicts(given):
        profile: Any = one.get("profile")
        profile = profile if isinstance(profile, dict) else {}
        name = _name(profile) or _name(one)
        for own in (one.get("id"), profile.get("bot_id")):
            if isinstance(own, str) and own and name:
                people[own] = name
    return people


def _name(record: Record) -> str:
    names = (record.get(n) for n in ("real_name", "displayName", "display_name", "name"))
    return next((one_line(n) for n in names if isinstance(n, str) and n.strip()), "")


def speaker_of(record: Record, names: Mapping[str, str]) -> str:
    """Who speaks: the name that people know, else the id."""
    for key in _SPEAKER:
        said = plain(record.get(key))
        if said:
            return names.get(said, said)
    return ""


def text_of(record: Record, names: Mapping[str, str]) -> str:
    """The words of a message, of its attachments and the names of its files."""
    key = _first(record, _TEXT)
    value = record.get(key) if key else ""
    body = _page_words(value) if isinstance(value, dict) else plain(value)
    if not body.strip():
        body = "\n".join(_block_words(record.get("blocks")))
    slack = "ts" in record or "user_profile" in record
    subject = plain(record.get("subject"))  # of a Teams post
    parts = [subject, body, *_attached(record)]
    return "\n".join(_of_slack(p, names) if slack else p for p in parts if p.strip())


def _attached(record: Record) -> Iterator[str]:
    props = record.get("props")
    more = props.get("attachments") if isinstance(props, dict) else None
    for given in (record.get("attachments"), record.get("embeds"), more):
        for one in _dicts(given):
            words = [plain(one.get(n)) for n in _ATTACHED_WORDS]
            words += [
                f"{plain(f.get('title') or f.get('name'))}: {plain(f.get('value'))}"
                for f in _dicts(one.get("fields"))
            ]
            told = [w for w in dict.fromkeys(words) if w] or [plain(one.get("fallback"))]
            yield from filter(None, told or ())
            path = one.get("path")  # Mattermost's
            name = plain(one.get("fileName") or one.get("filename") or one.get("name") or path)
            if name:
                yield f"[file: {name}]"
    for one in (*_dicts(record.get("files")), *_dicts(record.get("file"))):
        title, name = plain(one.get("title")), plain(one.get("name"))
        told = f"{title} ({name})" if title and name and title != name else title or name
        if told:
            yield f"[file: {told}]"


def _dicts(value: object) -> list[dict[str, Any]]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def _block_words(value: object, depth: int = 0) -> Iterator[str]:
    """Texts inside Slack's blocks, for a message that has no text of its own."""
    if depth > 12:
        return
    for one in _dicts(value):
        text = one.get("text")
        if isinstance(text, str):
            yield text
        elif isinstance(text, dict):
            yield plain(text.get("text"))
        for key in ("elements", "fields"):
            yield from _block_words(one.get(key), depth + 1)


def _of_slack(text: str, names: Mapping[str, str]) -> str:
    def said(found: re.Match[str]) -> str:
        kind, target, label = found.groups()
        if kind == "@":
            return f"@{label or names.get(target, target)}"
        if kind:
            return f"{'#' if kind == '#' else '@'}{label or target.partition('^')[0]}"
        return f"{label} ({target})" if label and label != target else target

    return html.unescape(_SLACK_MARK.sub(said, text))


def _page_words(value: dict[str, Any]) -> str:
    """A body that says of what type its content is, as in Teams."""
    if str(value.get("contentType", "")).lower() != "html":
        return plain(value)
    return _of_page(str(value.get("content", "")))


def _of_page(text: str) -> str:
    from platform_pipelines.stages.knowledge_base.parsing.html import read_html

    return "\n".join(block.text for block in read_html(text).blocks)


def plain(value: Any) -> str:
    """The text of a value: exports nest it as `{"name": …}`, or as a list of parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        for key in ("user", "application", "bot"):  # Teams says which of them it is
            if isinstance(value.get(key), dict):
                return plain(value[key])
        inner = _first(value, (*_NAMES, *_TEXT))
        found = value.get(inner) if inner else ""
        return found if isinstance(found, str) else ""
    if isinstance(value, list):
        parts = (plain(part) for part in value if isinstance(part, str | dict))
        return "\n".join(part for part in parts if part)
    return "" if value is None or isinstance(value, bool) else str(value)


def _first(record: Record, names: Iterable[str]) -> str | None:
    return next((name for name in names if record.get(name) not in (None, "", [], {})), None)
