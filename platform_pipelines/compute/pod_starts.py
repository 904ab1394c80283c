"""Whether a stage's pods can start, and whether their engines hold: what ends a stage early.

A Job says nothing of either: a pod whose image is not there, that no node can take, or whose engine
is killed for memory again and again, is `active` until the deadline.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from platform_pipelines.core.road.compute_profiles import ComputeProfile, EngineProfile
from platform_pipelines.errors import (
    ConfigurationError,
    MemoryBudgetError,
    StageTimeoutError,
    UnavailableError,
    WorkerLostError,
)
from platform_pipelines.gateways.cluster.jobs import EngineSeen, PodEnd

# A pod that waits for these never starts: its name is wrong, or the node has no such image.
NEVER_STARTS = ("ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError")
NO_IMAGE = ("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable")
IMAGE_SECONDS = 120.0  # a registry may be away for a while
START_SLACK_SECONDS = 15.0  # the kubelet's probe may be later than its word
CLOCK_SECONDS = 1.0  # its times are whole seconds
END_SECONDS = 60.0  # from the last probe to the end of what was asked to end


@dataclass(slots=True)
class PodStarts:
    """What the follower of one Job has seen of its pods' starts; times are the clock's monotonic.

    Raises (from `look`):
        ConfigurationError: an image is missing. UnavailableError: no node takes a pod of it.
        MemoryBudgetError, StageTimeoutError, WorkerLostError: its engine is killed for memory, does
        not start in time, or ends again and again.
    """

    where: str
    profile: ComputeProfile
    image: str
    nothing_since: float | None = None  # that no pod has started
    no_image_since: float | None = None
    engines_since: dict[str, float] = field(default_factory=dict[str, float])  # not started, by pod
    engines_started: set[str] = field(default_factory=set[str])  # pods whose engine once had

    @property
    def patience(self) -> int:
        """Seconds in which a pod of the stage must have started, its engine included."""
        engine = self.profile.engine
        return self.profile.start_seconds + (engine.start_seconds if engine else 0)

    def look(self, ends: Iterable[PodEnd], *, done: int, now: float) -> None:
        """Judge what is seen now; `done` tasks have ended."""
        seen = list(ends)
        for end in seen:
            if end.engine is not None and self.profile.engine is not None:
                self._engine(self.profile.engine, end.engine, now)
        waits = sorted({end.waiting for end in seen if end.waiting})
        self._image(waits, now)
        is_stuck = not done and bool(waits) and all(end.waiting for end in seen)
        self.nothing_since = _since(self.nothing_since, now) if is_stuck else None
        if self.nothing_since is not None and now - self.nothing_since > self.patience:
            raise UnavailableError(
                f"no pod of the stage has started: {waits[0]}",
                where=self.where,
                stored=f"profile {self.profile.name}, {self.patience} s",
                remedy="look at its resources, labels and taints, and at the limits of its pool",
            )

    def _image(self, waits: list[str], now: float) -> None:
        never = next((w for w in waits if w.startswith(NEVER_STARTS)), None)
        missing = next((w for w in waits if w in NO_IMAGE), None)
        self.no_image_since = _since(self.no_image_since, now) if missing else None
        late = self.no_image_since is not None and now - self.no_image_since > IMAGE_SECONDS
        if never or late:
            raise ConfigurationError(
                f"pods of the stage cannot start: {never or missing}",
                where=self.where,
                stored=self.image,
                remedy="load the image, or correct its name in the settings or the profile",
            )

    def _engine(self, engine: EngineProfile, seen: EngineSeen, now: float) -> None:
        if seen.reason == "OOMKilled":
            raise MemoryBudgetError(
                "the engine beside the worker was killed for memory; the same again would be, too",
                where=f"{self.where}, pod {seen.pod}",
                stored=engine.memory,
                remedy=f"raise `engine.memory` of the profile {self.profile.name}",
            )
        is_late = self._was_ended_for_being_late(engine, seen)
        if seen.restarts > engine.restarts and not is_late:
            raise WorkerLostError(
                f"the engine beside the worker ended {seen.restarts} times, the last time "
                f"with {seen.exit_code}: {seen.message[-300:] or seen.reason}",
                where=f"{self.where}, pod {seen.pod}",
                expected=f"at most {engine.restarts} restarts",
                remedy="look at its log, its model and its arguments",
            )
        if seen.started:
            self.engines_since.pop(seen.pod, None)
            self.engines_started.add(seen.pod)
            return
        if not (seen.runs or seen.restarts):
            return  # its image is on the way
        since = self.engines_since.setdefault(seen.pod, now)
        waited = now - since
        if waited > engine.start_seconds + START_SLACK_SECONDS or is_late:
            raise StageTimeoutError(
                "the engine beside the worker has not started in time",
                where=f"{self.where}, pod {seen.pod}",
                stored=f"{engine.image}, {max(waited, seen.lived):.0f} s",
                expected=f"{engine.start_seconds} s",
                remedy="keep its model files on a shared cache, or raise `engine.start_seconds`",
            )

    def _was_ended_for_being_late(self, engine: EngineProfile, seen: EngineSeen) -> bool:
        """The kubelet ends an engine that is late, and starts it again: no end of its own."""
        if seen.started or not seen.restarts or seen.pod in self.engines_started:
            return False
        late = engine.start_seconds - CLOCK_SECONDS
        return late <= seen.lived <= engine.start_seconds + END_SECONDS


def _since(before: float | None, now: float) -> float:
    return now if before is None else before
