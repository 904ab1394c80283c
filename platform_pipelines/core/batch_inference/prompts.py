"""Prompts as people write them, line by line; one wrong line costs itself and not the file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from platform_pipelines.core.road.identity import digest_json

_ROLES = {"system", "developer", "user", "assistant"}


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt. `key` names its id and its content: under one key there is one answer."""

    id: str
    key: str
    messages: tuple[tuple[str, str], ...]  # role, text


@dataclass(frozen=True, slots=True)
class WrongLine:
    """A line that is no prompt, or a second one under an id."""

    line: int  # from 1
    id: str
    why: str


@dataclass(frozen=True, slots=True)
class PromptFile:
    """What a file says: prompts in its order, each once, and the lines that are none."""

    prompts: tuple[Prompt, ...]
    wrong: tuple[WrongLine, ...]


def parse_prompts(text: str, *, system: str = "") -> PromptFile:
    """The prompts of JSON Lines. `system` stands before each that has no system message itself.

    The same line twice is one prompt. Two prompts under one id are none: nobody could tell whose
    answer it is.
    """
    found: dict[str, tuple[int, Prompt]] = {}
    wrong: list[WrongLine] = []
    ambiguous: set[str] = set()
    for number, line in _lines(text):
        try:
            prompt = _prompt(line, system)
        except ValueError as error:
            wrong.append(WrongLine(number, "", str(error)))
            continue
        first = found.setdefault(prompt.id, (number, prompt))
        if first[1].key != prompt.key:
            ambiguous.add(prompt.id)
            wrong.append(WrongLine(number, prompt.id, f"line {first[0]} has this id too"))
    wrong += [
        WrongLine(found[name][0], name, "another line has this id too")
        for name in sorted(ambiguous)
    ]
    kept = tuple(prompt for _, prompt in found.values() if prompt.id not in ambiguous)
    return PromptFile(kept, tuple(sorted(wrong, key=lambda one: one.line)))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if line.strip():
            yield number, line


def _prompt(line: str, system: str) -> Prompt:
    try:
        raw = json.loads(line)
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from error
    if not isinstance(raw, dict):
        raise ValueError("no JSON object")
    fields = cast("Mapping[str, Any]", raw)
    name = fields.get("id", fields.get("custom_id"))
    if not isinstance(name, str | int) or isinstance(name, bool) or name == "":
        raise ValueError("`id` (or `custom_id`) is missing or no text")
    messages = _messages(fields)
    if system and all(role not in ("system", "developer") for role, _ in messages):
        messages = (("system", system), *messages)
    key = digest_json([str(name), [list(one) for one in messages]])
    return Prompt(str(name), key, messages)


def _messages(fields: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    prompt = fields.get("prompt")
    if isinstance(prompt, str) and prompt.strip():
        return (("user", prompt),)
    body = fields.get("body")
    holder = cast("Mapping[str, Any]", body) if isinstance(body, dict) else fields
    told = holder.get("messages")
    if not isinstance(told, list) or not told:
        raise ValueError("neither a `prompt` nor `messages`")
    return tuple(_message(one) for one in cast("Sequence[Any]", told))


def _message(value: Any) -> tuple[str, str]:
    fields: Mapping[str, Any] = cast("Any", value) if isinstance(value, dict) else {}
    role, content = fields.get("role"), fields.get("content")
    if role not in _ROLES or not isinstance(content, str):
        raise ValueError("a message has a `role` and a `content` that is a text")
    return str(role), content
