"""The loop inside a worker process: tasks come in over the channel, results go out in groups."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from platform_pipelines.compute.execute import Operation, execute, failure
from platform_pipelines.compute.frames import FrameReader, encode_frame
from platform_pipelines.compute.limits import limit_address_space
from platform_pipelines.compute.progress import Phase, Progress
from platform_pipelines.compute.protocol import FailureKind
from platform_pipelines.errors import IntegrityError

READ_BYTES = 1 << 18
# One system call for a group of results; what a kill loses is at most this, and it is done again.
_GROUP_FRAMES = 32
_GROUP_BYTES = 1 << 20
_GROUP_SECONDS = 0.05


def serve(channel: socket.socket, progress: Progress, resolve: Callable[[str], Operation]) -> int:
    """Answer tasks until the parent closes the channel. The exit code: 0, or 1 when broken."""
    outbox = _Outbox(channel, progress)
    session = _Session(outbox, progress, resolve)
    try:
        for message in _messages(channel, progress, outbox):
            session.handle(message)
    except (BrokenPipeError, ConnectionResetError):  # the parent is gone: nobody to tell
        return 1
    except Exception as error:  # noqa: BLE001 - outside of an item; the parent raises it
        outbox.put({"kind": "broken", **failure(error)})
        outbox.flush()
        return 1
    return 0


class _MemoryIsSpentError(Exception):
    """The rest of the task is for a fresh worker: the pool sees that items are missing."""


class _Session:
    """The operation that is open, and the tasks that use it."""

    def __init__(
        self, outbox: "_Outbox", progress: Progress, resolve: Callable[[str], Operation]
    ) -> None:
        self._outbox = outbox
        self._progress = progress
        self._resolve = resolve
        self._operation: Operation | None = None
        self._shared: dict[str, Any] = {}

    def handle(self, message: dict[str, Any]) -> None:
        match message.get("kind"):
            case "open":
                self._open(message)
            case "task" if self._operation is not None:
                self._task(self._operation, message)
            case kind:
                raise IntegrityError("a worker got a message that it does not know", stored=kind)

    def _open(self, message: dict[str, Any]) -> None:
        self._operation = self._resolve(message["operation"])
        self._shared = message["shared"]
        # After the import: what libraries map for themselves is not the item's doing.
        if message["memory_bytes"] is not None:
            limit_address_space(message["memory_bytes"])
        self._outbox.put({"kind": "ready"})
        self._outbox.flush()

    def _task(self, operation: Operation, message: dict[str, Any]) -> None:
        number = message["number"]

        def report(outcome: dict[str, object]) -> None:
            self._outbox.put({"task": number, **outcome})
            if outcome.get("failure") == FailureKind.MEMORY_BUDGET:
                raise _MemoryIsSpentError

        self._progress.start_task(number)
        items = list(zip(message["indexes"], message["items"], strict=True))
        with contextlib.suppress(_MemoryIsSpentError):
            execute(operation, self._shared, items, marker=self._progress, report=report)
        self._outbox.put({"kind": "task_done", "task": number})


class _Outbox:
    """Collects encoded frames and sends them in groups."""

    def __init__(self, channel: socket.socket, progress: Progress) -> None:
        self._channel = channel
        self._progress = progress
        self._frames: list[bytes] = []
        self._bytes = 0
        self._flushed_at = time.monotonic()

    def put(self, message: dict[str, object]) -> None:
        """Encoding happens here, so that a result that cannot travel fails its own item."""
        frame = encode_frame(message)
        self._frames.append(frame)
        self._bytes += len(frame)
        full = len(self._frames) >= _GROUP_FRAMES or self._bytes >= _GROUP_BYTES
        if full or time.monotonic() - self._flushed_at >= _GROUP_SECONDS:
            self.flush()

    def flush(self) -> None:
        if not self._frames:
            return
        self._progress.set_phase(Phase.WRITING)
        self._channel.sendall(b"".join(self._frames))
        self._progress.set_phase(Phase.BETWEEN)
        self._frames.clear()
        self._bytes = 0
        self._flushed_at = time.monotonic()


def _messages(
    channel: socket.socket, progress: Progress, outbox: _Outbox
) -> Iterator[dict[str, Any]]:
    reader = FrameReader()
    while data := _receive(channel, progress, outbox):
        yield from reader.feed(data)


def _receive(channel: socket.socket, progress: Progress, outbox: _Outbox) -> bytes:
    """The next bytes; before it has to wait for them, everything finished is sent."""
    try:
        return channel.recv(READ_BYTES, socket.MSG_DONTWAIT)
    except BlockingIOError:
        outbox.flush()
        progress.set_phase(Phase.WAITING)
        return channel.recv(READ_BYTES)
