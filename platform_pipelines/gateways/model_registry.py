"""The model registry's role: versions of models, and aliases that people and tools read.

It is a projection of our release log, never the truth: MLflow moves aliases without any
compare-and-swap and drops one silently with its version. What is served is verified by the digest
of its files.
"""

import json
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, cast

from platform_pipelines.errors import IntegrityError, UnavailableError

PROGRAM = Path(__file__).parent / "programs" / "registry.py"
CANDIDATE, CHAMPION, BASE = "candidate", "champion", "base"
_SECONDS_TO_END = 10.0
_TAIL_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version. `digest` is of its files, as it was registered; `tags` anybody may change."""

    version: int
    source: str
    digest: str
    tags: Mapping[str, str]


class ModelRegistry(AbstractContextManager["ModelRegistry"], Protocol):
    """Raises (from every method): UnavailableError, IntegrityError for a refused request."""

    def open_run(self, experiment: str, key: str, name: str, params: Mapping[str, str]) -> str:
        """The run of this key, made if there is none; its id."""
        ...

    def log_metrics(self, run_id: str, metrics: Sequence[tuple[str, float, int, int]]) -> None:
        """(name, value, milliseconds since 1970, step) each; twice shows each twice."""
        ...

    def close_run(self, run_id: str, status: str) -> None:
        """FINISHED, FAILED or KILLED."""
        ...

    def ensure_version(
        self, name: str, digest: str, source: str, run_id: str | None, tags: Mapping[str, str]
    ) -> int:
        """The version of these files, made if there is none; its number."""
        ...

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions, oldest first; none where there is no such model."""
        ...

    def aliases(self, name: str) -> dict[str, int]:
        """Alias -> version."""
        ...

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias; idempotent."""
        ...

    def delete_alias(self, name: str, alias: str) -> None:
        """Take an alias away; none is fine."""
        ...


class MlflowRegistry:
    """MLflow in a process of the environment `registry`, over a pipe; started at the first use."""

    def __init__(
        self,
        *,
        python: Callable[[], Path],
        tracking_uri: str,
        artifacts_uri: str,
        environment: Mapping[str, str],
        log: Path,
    ) -> None:
        self._python = python
        self._uris = (tracking_uri, artifacts_uri)
        self._environment = {
            **environment,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
        }
        self._log = log
        self._child: subprocess.Popen[str] | None = None
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> "MlflowRegistry":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def open_run(self, experiment: str, key: str, name: str, params: Mapping[str, str]) -> str:
        """The run of this key, made if there is none; its id."""
        asked = {"experiment": experiment, "key": key, "name": name, "params": dict(params)}
        return str(self._ask("open_run", **asked))

    def log_metrics(self, run_id: str, metrics: Sequence[tuple[str, float, int, int]]) -> None:
        """(name, value, milliseconds since 1970, step) each."""
        self._ask("log_metrics", run_id=run_id, metrics=[list(one) for one in metrics])

    def close_run(self, run_id: str, status: str) -> None:
        """FINISHED, FAILED or KILLED."""
        self._ask("close_run", run_id=run_id, status=status)

    def ensure_version(
        self, name: str, digest: str, source: str, run_id: str | None, tags: Mapping[str, str]
    ) -> int:
        """The version of these files, made if there is none."""
        asked = {"name": name, "digest": digest, "source": source, "run_id": run_id}
        return int(self._ask("ensure_version", **asked, tags=dict(tags)))

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions, oldest first."""
        return [ModelVersion(**one) for one in self._ask("versions", name=name)]

    def aliases(self, name: str) -> dict[str, int]:
        """Alias -> version."""
        return {str(k): int(v) for k, v in self._ask("aliases", name=name).items()}

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias."""
        self._ask("set_alias", name=name, alias=alias, version=version)

    def delete_alias(self, name: str, alias: str) -> None:
        """Take an alias away."""
        self._ask("delete_alias", name=name, alias=alias)

    def close(self) -> None:
        """End the process; safe to call twice."""
        child, self._child = self._child, None
        if child is None:
            return
        with suppress(BrokenPipeError), child:  # one that was killed took half a request along
            assert child.stdin is not None
            with suppress(BrokenPipeError):
                child.stdin.close()
            try:
                child.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                child.kill()

    def _ask(self, operation: str, **asked: Any) -> Any:
        with self._one_at_a_time:
            child = self._child or self._start()
            assert child.stdin is not None
            assert child.stdout is not None
            try:
                child.stdin.write(json.dumps({"operation": operation, **asked}) + "\n")
                child.stdin.flush()
                line = child.stdout.readline()
            except (OSError, ValueError) as error:
                raise self._lost(operation) from error
        if not line:
            raise self._lost(operation)
        answer = cast("dict[str, Any]", json.loads(line))
        if "error" in answer:
            raise IntegrityError(
                f"the registry refuses `{operation}`: {answer['error']}",
                where=self._uris[0],
                stored=answer["kind"],
                remedy="look at the model's page in MLflow",
            )
        return answer["ok"]

    def _start(self) -> subprocess.Popen[str]:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                [str(self._python()), str(PROGRAM), *self._uris],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._environment,
            )
        return self._child

    def _lost(self, operation: str) -> UnavailableError:
        self.close()
        tail = self._log.read_text(encoding="utf-8", errors="replace")[-_TAIL_CHARACTERS:]
        return UnavailableError(
            f"the registry's process ended during `{operation}`",
            where=self._uris[0],
            stored=tail,
            remedy="run again; look at its log",
        )
