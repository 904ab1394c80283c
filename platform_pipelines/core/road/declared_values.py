"""Texts and addresses of a declaration: what is wrong with one, and how a message shows one."""

import re
from collections.abc import Mapping
from typing import Any, cast

from platform_pipelines.errors import hide_user

ADDRESSES = frozenset(("url", "golden_set"))  # names of fields that hold one
GOLDEN_SET = "golden_set:"  # `gate.golden_set: golden_set:NAME`
_HIGHEST_PORT = 65535
# What the embedder's client takes: scheme, host, port and path, and nothing behind it.
_WEB = re.compile(
    r"https?://(?:\[[0-9a-f:.]+\]|[^\s/@:?#\[\]]+)(?::([0-9]{1,5}))?(?:/[^\s?#]*)?", re.IGNORECASE
)


def text_problem(text: str | None) -> str:
    """What is wrong with a name or a path, where there is one, or nothing."""
    if text is None:
        return ""
    if not text.strip():
        return "is blank"
    return "holds a NUL character" if "\0" in text else ""


def named_golden_set(golden_set: str | None) -> str | None:
    """The name in `golden_set:NAME`; None where a declaration gives an address instead."""
    if golden_set is None or not golden_set.startswith(GOLDEN_SET):
        return None
    return golden_set.removeprefix(GOLDEN_SET).strip()


def server_problem(url: str | None) -> str:
    """What is wrong with the address of an embedder, where there is one, or nothing."""
    if url is None:
        return ""
    if hide_user(url) != url:
        return "holds a user or a password, and is shown; PLATFORM_EMBEDDER_API_KEY takes the key"
    found = _WEB.fullmatch(url)
    if found is None or int(found[1] or 1) > _HIGHEST_PORT:
        return "is no address of a server, such as http://embedder:8000/v1"
    return ""


def shown(value: object, *, name: object = "") -> str:
    """A declared value as a message shows it: users and passwords of addresses hidden.

    `name` is the field's: a misspelt address is known by the field that it stands in.
    """
    return repr(_hidden(value, name))


def _hidden(value: object, name: object) -> object:
    if isinstance(value, str):
        return hide_user(value) if name in ADDRESSES or "://" in value else value
    if isinstance(value, Mapping):
        inner = cast("Mapping[Any, object]", value)
        return {key: _hidden(one, key) for key, one in inner.items()}
    if isinstance(value, list):
        return [_hidden(one, name) for one in cast("list[object]", value)]
    return value
