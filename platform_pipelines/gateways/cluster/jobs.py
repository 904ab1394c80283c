"""Jobs of one namespace: created once, adopted by their content's digest, followed, deleted."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from platform_pipelines.errors import ConflictError, SourceNotFoundError
from platform_pipelines.gateways.cluster.connection import Connection

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class JobState:
    """What a Job's status says. Indexes are task numbers."""

    active: int
    succeeded: frozenset[int]
    failed: frozenset[int]
    suspended: bool
    ended: bool  # complete or failed
    reason: str = ""  # why it failed as a whole, e.g. DeadlineExceeded


@dataclass(frozen=True, slots=True)
class EngineSeen:
    """A pod's engine, while the pod lives: when that ends, nothing of this is left to read."""

    pod: str
    runs: bool  # its container does
    started: bool  # its start-up probe has passed
    restarts: int
    reason: str = ""  # how it ended the last time: OOMKilled, Error, …
    exit_code: int | None = None
    message: str = ""  # the end of its log then
    waiting: str = ""  # why it does not run: ImagePullBackOff, CrashLoopBackOff, …
    lived: float = 0.0  # seconds from its start to that end


@dataclass(frozen=True, slots=True)
class PodEnd:
    """How the last pod of an index ended."""

    index: int
    exit_code: int | None
    reason: str  # OOMKilled, Error, …
    message: str  # the end of its log
    waiting: str = ""  # why it does not start: ImagePullBackOff, Unschedulable …
    engine: EngineSeen | None = None  # of a pod that lives


@dataclass(frozen=True, slots=True)
class OpenJob:
    """A Job that has not ended."""

    name: str
    uid: str  # a Job made again under its name is another
    labels: Mapping[str, str]


class Jobs:
    """The Jobs of a namespace.

    Raises (from every method): UnavailableError (no answer), SourceForbiddenError (no right),
    ManifestRefusedError (what admission refuses), RateLimitedError.
    """

    def __init__(self, connection: Connection, namespace: str, *, digest_annotation: str) -> None:
        self._connection = connection
        self._base = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._annotation = digest_annotation
        self.namespace = namespace

    def create(self, manifest: Manifest) -> bool:
        """Create a Job, or adopt the one of this name and content; True when it was created.

        Raises:
            ConflictError: a Job of this name has another content.
        """
        try:
            self._connection.request(
                "POST", self._base, query={"fieldValidation": "Strict"}, body=manifest
            )
        except ConflictError:
            self._adopt(manifest)
            return False
        return True

    def state(self, name: str) -> JobState:
        """What the Job's status says. Raises SourceNotFoundError: it is gone."""
        return job_state(self._connection.request("GET", f"{self._base}/{name}"))

    def delete(self, name: str) -> None:
        """Delete a Job and its pods; absent is fine."""
        try:
            self._connection.request(
                "DELETE", f"{self._base}/{name}", query={"propagationPolicy": "Background"}
            )
        except SourceNotFoundError:
            return

    def unfinished(self, labels: Mapping[str, str]) -> list[OpenJob]:
        """The Jobs with these labels that have not ended, suspended ones too."""
        wanted = ",".join(f"{key}={value}" for key, value in labels.items())
        found = self._connection.request("GET", self._base, query={"labelSelector": wanted})
        return [
            OpenJob(
                name=str(job["metadata"]["name"]),
                uid=str(job["metadata"]["uid"]),
                labels=job["metadata"].get("labels") or {},
            )
            for job in found["items"]
            if not job_state(job).ended
        ]

    def exists(self, name: str) -> bool:
        """Whether there is a Job of this name, also one that is being deleted."""
        try:
            self._connection.request("GET", f"{self._base}/{name}")
        except SourceNotFoundError:
            return False
        return True

    def pod_ends(self, name: str) -> dict[int, PodEnd]:
        """The newest pod of each index, as far as it says anything."""
        query = {"labelSelector": f"batch.kubernetes.io/job-name={name}"}
        found = self._connection.request("GET", self._pods, query=query)
        pods = sorted(found["items"], key=lambda pod: pod["metadata"]["creationTimestamp"])
        ends = [end for pod in pods if (end := pod_end(pod)) is not None]
        return {end.index: end for end in ends}

    def _adopt(self, manifest: Manifest) -> None:
        name = manifest["metadata"]["name"]
        try:
            there = self._connection.request("GET", f"{self._base}/{name}")
        except SourceNotFoundError as error:
            raise ConflictError(
                "a Job of this name was just deleted", where=f"{self.namespace}/{name}"
            ) from error
        annotations: Mapping[str, str] = there["metadata"].get("annotations") or {}
        stored = annotations.get(self._annotation)
        expected = manifest["metadata"]["annotations"][self._annotation]
        if stored != expected:
            raise ConflictError(
                "a Job of this name has another content",
                where=f"{self.namespace}/{name}",
                stored=stored,
                expected=expected,
                remedy="delete that Job, or wait until it has ended and is collected",
            )


def job_state(job: Mapping[str, Any]) -> JobState:
    """The status of a Job as the API server shows it."""
    status: Mapping[str, Any] = job.get("status") or {}
    conditions: list[Mapping[str, Any]] = status.get("conditions") or []
    ended = [c for c in conditions if c["status"] == "True" and c["type"] in ("Complete", "Failed")]
    failed = next((c for c in ended if c["type"] == "Failed"), None)
    return JobState(
        active=int(status.get("active") or 0),
        succeeded=indexes(str(status.get("completedIndexes") or "")),
        failed=indexes(str(status.get("failedIndexes") or "")),
        suspended=bool(job["spec"].get("suspend")),
        ended=bool(ended),
        reason=str(failed.get("reason") or "") if failed else "",
    )


def indexes(text: str) -> frozenset[int]:
    """`0-2,5` as numbers."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first:
            found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def pod_end(pod: Mapping[str, Any]) -> PodEnd | None:
    """How a pod of an Indexed Job ended, or why it does not start; None for any other pod."""
    metadata = pod["metadata"]
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    index = annotations.get("batch.kubernetes.io/job-completion-index")
    if index is None:
        return None
    status: Mapping[str, Any] = pod.get("status") or {}
    containers: list[Mapping[str, Any]] = status.get("containerStatuses") or []
    state: Mapping[str, Any] = containers[0].get("state") or {} if containers else {}
    ended = cast("Mapping[str, Any]", state.get("terminated") or {})
    waits = cast("Mapping[str, Any]", state.get("waiting") or {})
    conditions: list[Mapping[str, Any]] = status.get("conditions") or []
    unscheduled = next(
        (c for c in conditions if c["type"] == "PodScheduled" and c["status"] == "False"), None
    )
    engine = _engine(metadata, status) if "finishedAt" not in ended else None
    waiting = engine.waiting if engine else ""
    if waiting in ("", "CrashLoopBackOff"):
        waiting = str(waits.get("reason") or "")
    if unscheduled is not None:
        waiting = f"Unschedulable: {unscheduled.get('message') or ''}"
    return PodEnd(
        index=int(index),
        exit_code=int(ended["exitCode"]) if "exitCode" in ended else None,
        reason=str(ended.get("reason") or status.get("reason") or ""),
        message=str(ended.get("message") or "")[-2000:],
        waiting=waiting,
        engine=engine,
    )


def _engine(metadata: Mapping[str, Any], status: Mapping[str, Any]) -> EngineSeen | None:
    """The native sidecar of a pod that lives; None where there is none, or not yet."""
    if status.get("phase") not in ("Pending", "Running") or "deletionTimestamp" in metadata:
        return None
    sidecars: list[Mapping[str, Any]] = status.get("initContainerStatuses") or []
    if not sidecars:
        return None
    (one,) = sidecars[:1]
    state: Mapping[str, Any] = one.get("state") or {}
    last: Mapping[str, Any] = one.get("lastState") or {}
    waits: Mapping[str, Any] = state.get("waiting") or {}
    ended: Mapping[str, Any] = state.get("terminated") or last.get("terminated") or {}
    return EngineSeen(
        pod=str(metadata.get("name") or ""),
        runs="running" in state,
        started=bool(one.get("started")),
        restarts=int(one.get("restartCount") or 0),
        reason=str(ended.get("reason") or ""),
        exit_code=int(ended["exitCode"]) if "exitCode" in ended else None,
        message=str(ended.get("message") or "")[-2000:],
        waiting=str(waits.get("reason") or ""),
        lived=_seconds(ended.get("startedAt"), ended.get("finishedAt")),
    )


def _seconds(start: str | None, end: str | None) -> float:
    """Between two times of the API server, which are whole seconds."""
    if not start or not end:
        return 0.0
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
