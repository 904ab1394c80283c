"""What every asset is given: owner, group, pool, retries, time-out, code version."""

from dataclasses import dataclass
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster_shared.error import DagsterError

from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec
from platform_pipelines.errors import PlatformError

# Raise a stage's version when equal input would give other output.
CODE_VERSIONS = {
    "documents": "1",
    "chunks": "1",
    "vectors": "1",
    "index": "1",
    "evidence": "1",
    "release": "1",
}

RETRIES = dg.RetryPolicy(
    max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)

# Share of a run's time-out that one stage may use: two slow stages still fit into a run.
STAGE_SHARE = 0.5

TIMEOUT_TAG = "platform/timeout_seconds"
MAX_RUNTIME_TAG = "dagster/max_runtime"
ATTEMPT_TAG = "platform/attempt"
REQUEST_TAG = "platform/request"

# How often the sensor asks for a refresh of one state of the source, and how long it waits after
# the first failure; twice as long after each further one: 5, 10, 20, 40 minutes.
REFRESH_ATTEMPTS = 5
FIRST_RETRY_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class StagePolicy:
    """How one stage of one knowledge base runs."""

    owner: str
    group: str
    pool: str
    code_version: str
    timeout_seconds: int
    retries: dg.RetryPolicy = RETRIES

    def asset_arguments(self) -> dict[str, Any]:
        """Keyword arguments of `dg.asset`."""
        return {
            "owners": [self.owner],
            "group_name": self.group,
            "pool": self.pool,
            "code_version": self.code_version,
            "retry_policy": self.retries,
            "op_tags": {TIMEOUT_TAG: str(self.timeout_seconds)},
        }


class RunInterruptedError(DagsterError, DagsterExecutionInterruptedError):
    """Ctrl-C, or a run terminated in the web UI: the run ends as canceled, and at once.

    Dagster hands an interrupt to the step's retry policy, so that a terminated run goes on after a
    pause (`op_execution_error_boundary`, dagster 1.13). It passes a DagsterError through. Drop this
    class when interrupts no longer ask for a retry.
    """


def stage_policy(spec: KnowledgeBaseSpec, stage: str) -> StagePolicy:
    """The policy of a stage. The pool holds one slot a knowledge base: its stages never overlap."""
    return StagePolicy(
        owner=spec.owner,
        group=spec.name,
        pool=pool_name(spec),
        code_version=CODE_VERSIONS[stage],
        timeout_seconds=int(spec.refresh.timeout_minutes * 60 * STAGE_SHARE),
    )


def pool_name(spec: KnowledgeBaseSpec) -> str:
    """The pool of everything that writes to a knowledge base."""
    return f"knowledge_base_{spec.name}"


def job_tags(spec: KnowledgeBaseSpec) -> dict[str, str]:
    """Tags of every job of a knowledge base."""
    return {
        MAX_RUNTIME_TAG: str(spec.refresh.timeout_minutes * 60),
        "platform/knowledge_base": spec.name,
    }


def retry_seconds(attempt: int) -> float:
    """How long to wait after the `attempt`-th refresh of one state of the source, which failed."""
    return FIRST_RETRY_SECONDS * 2.0 ** (attempt - 1)


def as_failure(error: PlatformError) -> Exception:
    """The error as Dagster should see it: a terminal one is not tried again."""
    if not error.terminal:
        return error
    return dg.Failure(
        description=f"{type(error).__name__}: {error}",
        metadata={"error": type(error).__name__, "what_to_do": error.remedy or "see the message"},
        allow_retries=False,
    )
