"""What every asset is given: owner, group, pool, retries, time-out, code version."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

# Dagster exports neither, and its own `except` clauses go by both (see RunInterruptedError, which
# says when they can go).
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster_shared.error import DagsterError

from platform_pipelines.components.shared.resource import RESOURCES
from platform_pipelines.core.road.declarations import NamedSpec, TimedSpec
from platform_pipelines.errors import PlatformError

RETRIES = dg.RetryPolicy(
    max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)

TIMEOUT_TAG = "platform/timeout_seconds"
MAX_RUNTIME_TAG = "dagster/max_runtime"
ATTEMPT_TAG = "platform/attempt"


@dataclass(frozen=True, slots=True)
class AssetPolicy:
    """How one asset runs: every one is given all of it."""

    owner: str
    group: str
    pool: str
    code_version: str
    timeout_seconds: int
    retries: dg.RetryPolicy = RETRIES
    about: str = ""  # one sentence of the component's owners

    def step_arguments(self) -> dict[str, Any]:
        """Keyword arguments of `dg.asset_check`, and of every step."""
        return {
            "pool": self.pool,
            "retry_policy": self.retries,
            "op_tags": {TIMEOUT_TAG: str(self.timeout_seconds)},
            "required_resource_keys": set(RESOURCES),
        }

    def asset_arguments(self) -> dict[str, Any]:
        """Keyword arguments of `dg.asset`."""
        return {
            "owners": [self.owner],
            "group_name": self.group,
            "code_version": self.code_version,
            **self.step_arguments(),
        }

    def described(self, text: str) -> str:
        """What the asset is, under what its owners say of the component."""
        return "\n\n".join(filter(None, (self.about, text)))


def policy_of(component: str, spec: NamedSpec, *, code_version: str, seconds: int) -> AssetPolicy:
    """One slot a component: its runs never overlap."""
    return AssetPolicy(
        owner=spec.owner,
        group=spec.name,
        pool=f"{component}_{spec.name}",
        code_version=code_version,
        timeout_seconds=seconds,
        about=spec.description,
    )


def timed_policy(component: str, spec: TimedSpec, *, code_version: str) -> AssetPolicy:
    """Of a component whose runs have a declared time-out."""
    seconds = spec.timeout_minutes * 60
    return policy_of(component, spec, code_version=code_version, seconds=seconds)


def tags_of(component: str, spec: TimedSpec) -> dict[str, str]:
    """Of every job of the component."""
    return run_tags(component, spec.name, timeout_seconds=spec.timeout_minutes * 60)


class RunInterruptedError(DagsterError, DagsterExecutionInterruptedError):
    """Ctrl-C, or a run terminated in the web UI: the run ends as canceled, and at once.

    Dagster hands an interrupt to the step's retry policy, so that a terminated run goes on after a
    pause (`op_execution_error_boundary`, dagster 1.13). It passes a DagsterError through. Drop this
    class when interrupts no longer ask for a retry.
    """


def run_tags(component: str, name: str, *, timeout_seconds: int) -> dict[str, str]:
    """Tags of every job of a component: whose it is, and when Dagster ends it."""
    return {MAX_RUNTIME_TAG: str(timeout_seconds), f"platform/{component}": name}


def seconds_of(tags: Mapping[str, str]) -> float | None:
    """The time-out of a step, by its tags."""
    return float(tags[TIMEOUT_TAG]) if TIMEOUT_TAG in tags else None


def as_failure(error: PlatformError) -> Exception:
    """The error as Dagster should see it: a terminal one is not tried again."""
    if not error.terminal:
        return error
    return dg.Failure(
        description=f"{type(error).__name__}: {error}",
        metadata={"error": type(error).__name__, "what_to_do": error.remedy or "see the message"},
        allow_retries=False,
    )
