"""A judge's verdicts, kept in an object store, for another Python on this machine.

They are named by all that decides them (see `judge_calls`), so that whoever judges next, in another
pod or on another day, finds them: a killed evaluation pays for no verdict twice.
"""

import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from platform_pipelines.errors import IntegrityError, SourceNotFoundError
from platform_pipelines.gateways.line_socket import ask_line, line_socket
from platform_pipelines.gateways.object_store import ObjectStore

VERDICTS = "verdicts"
_NAME = re.compile(r"[0-9a-f]{64}")
_WHAT = "the store of verdicts"


def verdict_socket(store: ObjectStore) -> AbstractContextManager[Path]:
    """Serve the verdicts of a store until the end of the block; the path of the socket."""

    def answer(question: Any) -> str | None:
        key, text = question
        if not _NAME.fullmatch(key):
            raise IntegrityError("no name of a verdict", stored=key)
        place = f"{VERDICTS}/{key[:2]}/{key}.json"
        if text is not None:
            store.put(place, text.encode())
            return None
        try:
            return store.get(place)[0].decode()
        except SourceNotFoundError:
            return None

    return line_socket(answer)


async def kept_verdict(path: Path, key: str) -> str | None:
    """What was kept under a name, or None.

    Raises:
        UnavailableError: the other side is gone, or its store does not answer.
    """
    return await ask_line(path, [key, None], what=_WHAT)


async def keep_verdict(path: Path, key: str, text: str) -> None:
    """Keep it, whole or not at all. Raises UnavailableError, as `kept_verdict`."""
    await ask_line(path, [key, text], what=_WHAT)
