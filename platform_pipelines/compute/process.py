"""One worker process seen from its parent: start, talk, read its position, end it. No policy."""

import contextlib
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

from platform_pipelines.compute.frames import FrameReader, encode_frame
from platform_pipelines.compute.limits import STACK_SIGNAL, private_bytes
from platform_pipelines.compute.progress import PAGE_BYTES, Position, Progress
from platform_pipelines.errors import UnavailableError

READ_BYTES = 1 << 18
LOG_BYTES = 1 << 20  # a worker's output file is emptied beyond this
_TAIL_BYTES = 4000
_SECONDS_TO_EXIT = 2.0
_SECONDS_TO_PRINT_STACK = 0.05


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Another Python than this process's, and all that it finds beside its own packages."""

    python: str
    import_path: tuple[str, ...]


def worker_environment(
    environment: Mapping[str, str], interpreter: Interpreter | None = None
) -> dict[str, str]:
    """The given environment, with an import path that resolves exactly as this process's does.

    Another interpreter gets only its own import path: a library of this process's Python would
    hide the one that its lock names.
    """
    if interpreter is not None:
        kept = {n: v for n, v in environment.items() if n not in ("PYTHONHOME", "VIRTUAL_ENV")}
        path = os.pathsep.join(interpreter.import_path)
        return {"PYTHONHASHSEED": "0", **kept, "PYTHONPATH": path}
    given = environment.get("PYTHONPATH")
    here = [os.path.abspath(entry) for entry in sys.path]
    path = os.pathsep.join([given, *here] if given else here)
    return {"PYTHONHASHSEED": "0", **environment, "PYTHONPATH": path}


class WorkerProcess:
    """A running worker. Its channel never blocks; what cannot be sent at once waits in memory."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        channel: socket.socket,
        lifeline: int,
        progress: Progress,
        log: IO[bytes],
    ) -> None:
        self._process = process
        self.channel = channel
        self._lifeline = lifeline
        self._progress = progress
        self._log = log
        self._reader = FrameReader()
        self._outgoing = bytearray()

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its process group."""
        return self._process.pid

    @property
    def wants_to_write(self) -> bool:
        """Whether some of what was sent still waits for room in the channel."""
        return bool(self._outgoing)

    def send(self, message: Mapping[str, object]) -> None:
        """Queue a message and write what fits. A dead worker shows when it is read."""
        self._outgoing += encode_frame(message)
        self.write()

    def write(self) -> None:
        """Write what fits into the channel."""
        try:
            while self._outgoing:
                sent = self.channel.send(memoryview(self._outgoing)[:READ_BYTES])
                del self._outgoing[:sent]
        except BlockingIOError:
            return
        except OSError:
            self._outgoing.clear()

    def receive(self) -> Iterator[dict[str, Any]] | None:
        """The messages of one read; None when the worker's end is closed."""
        try:
            data = self.channel.recv(READ_BYTES)
        except BlockingIOError:
            return iter(())
        except OSError:
            data = b""
        return self._reader.feed(data) if data else None

    def position(self) -> Position:
        """Where the worker is, or was when it died."""
        return self._progress.read()

    def private_bytes(self) -> int | None:
        """Its resident memory without file pages; None where the system does not tell."""
        return private_bytes(self.pid)

    def has_ended(self) -> bool:
        """Whether the process is over and everything it sent has been read."""
        if self._process.poll() is None:
            return False
        return not select.select([self.channel], [], [], 0)[0]

    def log_tail(self) -> str:
        """The end of what it printed."""
        size = os.fstat(self._log.fileno()).st_size
        tail = os.pread(self._log.fileno(), _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        return tail.decode("utf-8", "replace").replace("\0", "").strip()

    def trim_log(self) -> None:
        """Empty an output file that has grown too large; the worker appends."""
        if os.fstat(self._log.fileno()).st_size > LOG_BYTES:
            os.ftruncate(self._log.fileno(), 0)

    def print_stack(self) -> None:
        """Have it print where it is into its log, wherever it hangs."""
        self._process.send_signal(STACK_SIGNAL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_PRINT_STACK)

    def kill(self) -> None:
        """SIGKILL to its whole process group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def end(self, grace_seconds: float = _SECONDS_TO_EXIT) -> int:
        """Wait for a worker whose channel is closed or that was killed; kill what is left.

        Returns the exit code, negative for a signal. Position and log can still be read.
        """
        self.channel.close()
        try:
            code = self._process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        self.kill()  # whatever the worker started and did not end
        return code

    def free(self) -> None:
        """Give everything back; after `end`."""
        os.close(self._lifeline)
        self._progress.close()
        self._log.close()


def start_worker(
    environment: Mapping[str, str], interpreter: Interpreter | None = None
) -> WorkerProcess:
    """Start a worker. Raises UnavailableError when the system starts no process."""
    try:
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            worker = _start(environment, interpreter, theirs, ours)
            ours.pop_all()  # the worker object owns them now
            return worker
    except OSError as error:
        raise UnavailableError(
            "a worker process cannot be started",
            where=interpreter.python if interpreter else sys.executable,
            stored=str(error),
            remedy="check the limits on processes, open files and memory",
        ) from error


def _start(
    environment: Mapping[str, str],
    interpreter: Interpreter | None,
    theirs: contextlib.ExitStack,
    ours: contextlib.ExitStack,
) -> WorkerProcess:
    """Every descriptor is registered for closing the moment it exists."""
    channel, channel_end = socket.socketpair()
    ours.callback(channel.close)
    theirs.callback(channel_end.close)
    lifeline_end, lifeline = os.pipe()
    ours.callback(os.close, lifeline)
    theirs.callback(os.close, lifeline_end)
    log = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - lives as long as the worker
    ours.callback(log.close)
    page = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed with `theirs`
    theirs.callback(page.close)
    page.truncate(PAGE_BYTES)
    progress = Progress(page.fileno())
    ours.callback(progress.close)
    channel.setblocking(False)
    inherited = (channel_end.fileno(), lifeline_end, page.fileno())
    process = _spawn(environment, interpreter, inherited, log)
    return WorkerProcess(process, channel, lifeline, progress, log)


def _spawn(
    environment: Mapping[str, str],
    interpreter: Interpreter | None,
    inherited: tuple[int, int, int],
    log: IO[bytes],
) -> subprocess.Popen[bytes]:
    # Both sides share the open file, hence its flags: appending, so that trimming it is safe.
    flags = fcntl.fcntl(log.fileno(), fcntl.F_GETFL)
    fcntl.fcntl(log.fileno(), fcntl.F_SETFL, flags | os.O_APPEND)
    # -P: only the import path in the environment counts; -u: a crash loses no output
    python = interpreter.python if interpreter else sys.executable
    command = [python, "-P", "-u", "-m", "platform_pipelines.worker", "--inherited"]
    return subprocess.Popen(
        [*command, *map(str, inherited)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=worker_environment(environment, interpreter),
        pass_fds=inherited,
        start_new_session=True,  # Ctrl-C does not reach it, and its whole group can be killed
    )
