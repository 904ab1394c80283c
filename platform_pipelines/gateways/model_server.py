"""The model server's role: one model behind one address, started, looked at, drained, ended."""

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from platform_pipelines.core.road.served_model import ModelRef, ServingSpec, vllm_arguments
from platform_pipelines.errors import ConflictError, UnavailableError
from platform_pipelines.gateways.clock import Clock, SystemClock
from platform_pipelines.gateways.local_http import local_get
from platform_pipelines.gateways.server_process import ServerProcess

HOST = "127.0.0.1"
PROGRAM = Path(__file__).parent / "programs" / "serve_vllm.py"
_KILL_SECONDS = 30.0  # beyond the drain, until SIGKILL
_POLL_SECONDS = 0.5

# What vLLM and its libraries read; nothing of this process' secrets is passed on.
QUIET = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_NUM_OF_RESERVED_CPU": "0",
}


class Arguments(Protocol):
    """What vLLM is started with."""

    def __call__(self, folder: str, spec: ServingSpec, *, host: str, port: int) -> list[str]:
        """Of a model's folder, on an address."""
        ...


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens."""

    host: str
    port: int


class ModelServer(Protocol):
    """Servers of models, one a model. Every method may be repeated.

    Raises (from every method): UnavailableError.
    """

    def start(self, model: ModelRef, spec: ServingSpec) -> Address:
        """Start it unless it runs; it is not ready yet. Verifies the weights first."""
        ...

    def address(self, model: ModelRef) -> Address | None:
        """Where it listens, None when it does not run."""
        ...

    def is_ready(self, model: ModelRef) -> bool:
        """Whether it answers."""
        ...

    def has_failed(self, model: ModelRef) -> bool:
        """Whether it is there and will not come up: it ends again and again."""
        ...

    def metrics(self, model: ModelRef) -> str | None:
        """Its metrics page, None when there is none."""
        ...

    def log_tail(self, model: ModelRef) -> str:
        """The end of its log."""
        ...

    def stop(self, model: ModelRef, spec: ServingSpec) -> str:
        """End it: SIGTERM, then SIGKILL. Route away and wait until it is idle before."""
        ...


class LocalVllm:
    """vLLM processes on this machine, each in a folder named by its model.

    `python` is of the environment `serving`; `files_of` gives the folder of a model's files,
    verified by their digests.
    """

    def __init__(
        self,
        folder: Path,
        *,
        python: Callable[[], Path],
        files_of: Callable[[ModelRef], Path],
        environment: Mapping[str, str],
        clock: Clock | None = None,
        arguments: Arguments = vllm_arguments,
    ) -> None:
        self._arguments = arguments
        self._folder = folder
        self._python = python
        self._files_of = files_of
        self._environment = environment
        self._clock = clock or SystemClock()

    def start(self, model: ModelRef, spec: ServingSpec, *, port: int | None = None) -> Address:
        """Start it unless it runs; on any port that is free, or on one that others know."""
        process = self._process(model)
        running = self.address(model)
        if running is not None:
            self._same(process, model, spec)
            return running
        files = self._files_of(model)
        port = port or free_port()
        arguments = self._arguments(str(files), spec, host=HOST, port=port)
        command = [str(self._python()), str(PROGRAM), *arguments]
        environment = {
            **self._environment,
            **QUIET,
            "VLLM_CPU_KVCACHE_SPACE": str(spec.kv_cache_gb),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": "1",
        }
        process.start(
            command,
            environment,
            {"port": port, "model": model.digest, "serving": spec.digest},
        )
        return Address(HOST, port)

    def address(self, model: ModelRef) -> Address | None:
        """Where it listens."""
        process = self._process(model)
        wanted = process.wanted()
        if wanted is None or not process.is_running():
            return None
        return Address(HOST, int(wanted["port"]))

    def is_ready(self, model: ModelRef) -> bool:
        """Whether it answers its health page."""
        return self._page(model, "/health") is not None

    def has_failed(self, model: ModelRef) -> bool:
        """A process of this machine that ended is not there."""
        del model
        return False

    def metrics(self, model: ModelRef) -> str | None:
        """Its metrics page."""
        return self._page(model, "/metrics")

    def log_tail(self, model: ModelRef) -> str:
        """The end of its log."""
        return self._process(model).log_tail()

    def stop(self, model: ModelRef, spec: ServingSpec) -> str:
        """End it; vLLM itself lets requests in flight finish for `drain_seconds`."""
        return self._process(model).stop(grace_seconds=spec.drain_seconds + _KILL_SECONDS)

    def _page(self, model: ModelRef, path: str) -> str | None:
        address = self.address(model)
        if address is None:
            return None
        try:
            status, text = local_get(address.host, address.port, path)
        except UnavailableError:
            return None
        return text if status == 200 else None

    def _process(self, model: ModelRef) -> ServerProcess:
        return ServerProcess(self._folder / model.short, self._clock)

    def _same(self, process: ServerProcess, model: ModelRef, spec: ServingSpec) -> None:
        wanted = process.wanted() or {}
        if wanted.get("serving") != spec.digest:
            raise ConflictError(
                "this model is served otherwise already",
                where=str(process.folder),
                stored=wanted.get("serving"),
                expected=spec.digest,
                remedy=f"stop the server of {model.short}, or declare `serving` as before",
            )


def wait_until_ready(
    server: ModelServer, model: ModelRef, spec: ServingSpec, clock: Clock | None = None
) -> float:
    """Wait until it answers; the seconds it took.

    Raises:
        UnavailableError: it ended, or is not ready in time; with the end of its log.
    """
    watch = clock or SystemClock()
    started = watch.monotonic()
    while not server.is_ready(model):
        waited = watch.monotonic() - started
        if server.address(model) is None or waited > spec.start_seconds:
            raise UnavailableError(
                f"the model's server is not ready after {waited:.0f} s",
                where=f"model {model.short}",
                stored=server.log_tail(model)[-600:],
                remedy="look at the end of its log above",
            )
        watch.sleep(_POLL_SECONDS)
    return watch.monotonic() - started


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])
