"""Operations that the tests run inside worker processes, each misbehaving in one way.

An item `{"do": NAME, ...}` says what to do with it; any other item is answered at once.
"""

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from platform_pipelines.compute.protocol import Working
from platform_pipelines.errors import (
    DimensionError,
    DocumentError,
    ModelFileError,
    UnavailableError,
)
from platform_pipelines.gateways.concurrent_reads import read_many
from platform_pipelines.stages.road.access import open_named

_KEPT: list[bytearray] = []


def echo(
    shared: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """The item, and what is shared."""
    for item in items:
        yield {**item, **shared}


def identify(
    shared: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """Which process answered."""
    for item in items:
        yield {**item, "pid": os.getpid(), "environment": dict(os.environ)}


def act(
    shared: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """Do what the item says."""
    for item in items:
        action = _ACTIONS.get(item.get("do", ""))
        yield {"answer": item.get("n"), **((action(item) if action else None) or {})}


def tasked(
    access: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any] | Working]:
    """A task of a stage: writes its file into its store, or raises what its arguments say."""
    for spec in items:
        arguments = spec["arguments"]
        if arguments.get("raises") == "transient":
            raise UnavailableError("the server is away")
        if arguments.get("raises") == "terminal":
            raise DimensionError("the vector has another length", stored=3, expected=4)
        yield Working({"documents": 2})
        store = open_named(access, spec["store"], create=True)
        store.put(f"made/{spec['shard']}", str(arguments).encode())
        yield {"rows": arguments["rows"]}


def read_at_once(
    shared: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """How many objects were read, so many at the same moment; `stack_bytes` a thread, if named."""
    for item in items:
        together = threading.Barrier(item["together"])

        def get(key: str, together: threading.Barrier = together) -> tuple[bytes, str]:
            together.wait(timeout=30)
            return key.encode(), "v1"

        threading.stack_size(item.get("stack_bytes", 0))
        keys = [str(number) for number in range(32)]
        found = list(read_many(get, keys, concurrency=item["concurrency"]))
        yield {"read": [one.key for one in found] == keys}


def fail_at_once(
    shared: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """Raise before any item is taken."""
    print("about to fail")
    raise ModelFileError("the model is missing", where="model.bin", remedy="fetch it")
    yield from items


def die_at_once(
    shared: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """End the process before any item is taken."""
    print("last words")
    os._exit(9)
    yield from items


def greedy(
    shared: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """Take everything before answering."""
    yield from list(items)


def short(
    shared: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """Answer the first item only."""
    yield dict(next(items))


def scribble(
    shared: Mapping[str, Any], items: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    """Write into the channel to the parent."""
    for item in items:
        for descriptor in range(3, 64):
            try:
                os.write(descriptor, b"this is not a frame at all")
            except OSError:
                continue
        yield dict(item)


def _spin(item: Mapping[str, Any]) -> None:
    while True:
        pass


def _backtrack(item: Mapping[str, Any]) -> None:
    re.match(r"(a+)+$", "a" * 64 + "b")


def _sleep(item: Mapping[str, Any]) -> None:
    time.sleep(3600)


def _hog(item: Mapping[str, Any]) -> None:
    while True:
        _KEPT.append(bytearray(os.urandom(1 << 12) * 2048))


def _keep(item: Mapping[str, Any]) -> None:
    _KEPT.append(bytearray(os.urandom(1 << 12)) * (item["bytes"] >> 12))


def _big_once(item: Mapping[str, Any]) -> None:
    bytearray(item["bytes"])


def _segfault(item: Mapping[str, Any]) -> None:
    print("읽는 중: 보고서.pdf")
    ctypes.string_at(0)


def _abort_for_memory(item: Mapping[str, Any]) -> None:
    print("terminate called after throwing an instance of 'std::bad_alloc'", file=sys.stderr)
    os.abort()


def _grandchild(item: Mapping[str, Any]) -> dict[str, Any]:
    child = subprocess.Popen(["sleep", "3600"])
    return {"child": child.pid, "pid": os.getpid()}


def _grandchild_and_crash(item: Mapping[str, Any]) -> None:
    child = subprocess.Popen(["sleep", "3600"])
    with open(item["path"], "w", encoding="utf-8") as file:
        file.write(str(child.pid))
    os.kill(os.getpid(), signal.SIGSEGV)


def _kill_once(item: Mapping[str, Any]) -> None:
    if not os.path.exists(item["path"]):
        open(item["path"], "w", encoding="utf-8").close()
        os.kill(os.getpid(), signal.SIGKILL)


def _raise(error: BaseException) -> Callable[[Mapping[str, Any]], None]:
    def action(item: Mapping[str, Any]) -> None:
        raise error

    return action


_ACTIONS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any] | None]] = {
    "spin": _spin,
    "backtrack": _backtrack,
    "sleep": _sleep,
    "hog": _hog,
    "keep": _keep,
    "big_once": _big_once,
    "segfault": _segfault,
    "abort_for_memory": _abort_for_memory,
    "exit": lambda item: os._exit(item["code"]),
    "sys_exit": lambda item: sys.exit(3),
    "signal": lambda item: os.kill(os.getpid(), item["signal"]),
    "interrupt_group": lambda item: os.killpg(0, signal.SIGINT),
    "kill_once": _kill_once,
    "huge": lambda item: {"text": "가" * item["length"]},
    "bytes": lambda item: {"bytes": bytes(item["bytes"])[::-1]},
    "unencodable": lambda item: {"what": object()},
    "print": lambda item: print("x" * item["length"]),
    "document_error": _raise(DocumentError("no text", reason="empty", where="a.pdf")),
    "dimension_error": _raise(
        DimensionError("lengths differ", where="chunk 7", stored=3, expected=4, remedy="rebuild")
    ),
    "transient_error": _raise(UnavailableError("no answer", where="http://model")),
    "value_error": _raise(ValueError("값이 이상하다")),
    "grandchild": _grandchild,
    "grandchild_and_crash": _grandchild_and_crash,
}
