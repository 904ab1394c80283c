"""A server program on this machine, for as long as a block lasts: started, awaited, ended."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from platform_pipelines.errors import UnavailableError

_OK = 200
_POLL_SECONDS = 0.2
_TAIL_CHARACTERS = 2000
_END_SECONDS = 10.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    ready_url: str,
    seconds: float,
) -> Generator[None]:
    """Run a program that answers `ready_url` with 200 within `seconds`; its output goes to `log`.

    It is ended with its children when the block ends, however that ends.

    Raises:
        UnavailableError: it ended, or did not answer in time; with the end of its output.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=dict(environment),
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    try:
        _wait(process, ready_url, seconds, command[0], log)
        yield
    finally:
        _end(process)


def _wait(
    process: "subprocess.Popen[bytes]", url: str, seconds: float, name: str, log: Path
) -> None:
    import httpx

    ends = time.monotonic() + seconds
    with httpx.Client(timeout=2.0, trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if client.get(url).status_code == _OK:
                    return
            if process.poll() is not None or time.monotonic() > ends:
                code, told = process.poll(), log.read_text(errors="replace")[-_TAIL_CHARACTERS:]
                raise UnavailableError(
                    f"{Path(name).name} {'ended' if code is not None else 'does not answer'}",
                    where=url,
                    stored=f"exit code {code}; {told}",
                    expected=f"200 within {seconds:g} s",
                )
            time.sleep(_POLL_SECONDS)


def _end(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        break
