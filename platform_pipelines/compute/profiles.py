"""Named shapes of compute. On one machine every profile is a number of worker processes."""

from dataclasses import dataclass

from platform_pipelines.errors import ConfigurationError

GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeProfile:
    """What one worker of a stage asks for. `workers`: how many at most, None for one per core."""

    name: str
    cpu: float  # cores per worker
    memory_bytes: int  # per worker
    gpus: int = 0  # per worker
    workers: int | None = None


PROFILES = {
    profile.name: profile
    for profile in (
        ComputeProfile(name="cpu", cpu=1.0, memory_bytes=2 * GIB),
        # One process owns the device, or without one the model and all its threads.
        ComputeProfile(name="gpu-inference", cpu=4.0, memory_bytes=16 * GIB, gpus=1, workers=1),
        ComputeProfile(name="gpu-training", cpu=8.0, memory_bytes=64 * GIB, gpus=1, workers=1),
        ComputeProfile(name="gpu-spot", cpu=4.0, memory_bytes=16 * GIB, gpus=1, workers=1),
    )
}


def compute_profile(name: str) -> ComputeProfile:
    """The profile of that name. Raises ConfigurationError that lists the names there are."""
    if name not in PROFILES:
        raise ConfigurationError(
            "no such compute profile",
            where="profile",
            stored=name,
            expected=", ".join(PROFILES),
        )
    return PROFILES[name]


def local_workers(profile: ComputeProfile, cores: int) -> int:
    """How many worker processes the profile gets on a machine with so many cores; at least one."""
    return max(1, min(profile.workers or cores, cores))
