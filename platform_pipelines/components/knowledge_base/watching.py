"""The sensor of a knowledge base: asks for a refresh, and again when what it asked for failed."""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from platform_pipelines.components.knowledge_base.policy import (
    REFRESH_ATTEMPTS,
    REQUEST_TAG,
    job_tags,
    retry_seconds,
)
from platform_pipelines.components.knowledge_base.source import source_observation
from platform_pipelines.components.shared.policy import ATTEMPT_TAG
from platform_pipelines.components.shared.resource import PLATFORM, settings_of
from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec
from platform_pipelines.errors import PlatformError
from platform_pipelines.gateways.clock import Clock, SystemClock
from platform_pipelines.stages.knowledge_base.documents import source_fingerprint
from platform_pipelines.stages.knowledge_base.workspace import open_workspace

SENSOR_SECONDS = 60
_NEWEST = 50  # runs of the job that are looked at


@dataclass(frozen=True, slots=True)
class Request:
    """The run that the sensor asked for last; its text is the cursor and the run's key.

    A run key is used once for ever. The number lets a source come back to what it was, the attempt
    lets the same state be asked for again, and a tick that died before its cursor was kept asks for
    the same run again.
    """

    number: int
    source: str
    attempt: int = 1

    @classmethod
    def parse(cls, cursor: str | None) -> "Request":
        """The request that a cursor names; what cannot be read is none at all."""
        number, _, rest = (cursor or "").partition(":")
        source, _, attempt = rest.partition(":")
        return cls(
            int(number) if number.isdecimal() else 0,
            source,
            int(attempt) if attempt.isdecimal() else 1,
        )

    def __str__(self) -> str:
        text = f"{self.number}:{self.source}"
        return text if self.attempt == 1 else f"{text}:{self.attempt}"

    def of_source(self, source: str) -> "Request":
        """The first request for another state of the source."""
        return Request(self.number + 1, source)

    def again(self) -> "Request":
        """The next attempt at the same state."""
        return Request(self.number, self.source, self.attempt + 1)


def build_sensor(
    spec: KnowledgeBaseSpec, job: Any, *, clock: Clock | None = None
) -> dg.SensorDefinition:
    """`<name>_watch`: refresh when the source's listing changed; off until switched on."""
    time = clock or SystemClock()

    @dg.sensor(
        name=f"{spec.name}_watch",
        job=job,
        required_resource_keys={PLATFORM},
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=f"Refresh {spec.name} when a document is added, changed or removed; again, "
        f"up to {REFRESH_ATTEMPTS} times and later each time, when the refresh failed.",
    )
    def watch(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        try:
            seen = source_fingerprint(open_workspace(spec, settings_of(context)))
        except PlatformError as error:
            if error.terminal:
                raise
            return dg.SkipReason(f"the source does not answer now: {error.what}")
        last = Request.parse(context.cursor)
        if seen != last.source:
            return _ask(spec, last.of_source(seen))
        return _after(context, spec, last, now=time.now().timestamp())

    return watch


def _ask(spec: KnowledgeBaseSpec, request: Request) -> dg.SensorResult:
    tags = {**job_tags(spec), REQUEST_TAG: str(request), ATTEMPT_TAG: str(request.attempt)}
    seen = [] if request.attempt > 1 else [source_observation(spec, request.source)]
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=str(request), tags=tags)],
        cursor=str(request),
        asset_events=seen,
    )


def _after(
    context: dg.SensorEvaluationContext, spec: KnowledgeBaseSpec, last: Request, *, now: float
) -> dg.SensorResult | dg.SkipReason:
    """The source is as it was: ask again if the run of the last request failed."""
    failed = _failure(context, spec, last)
    if isinstance(failed, str):
        return dg.SkipReason(f"no document was added, changed or removed{failed}")
    run = failed.dagster_run.run_id
    if last.attempt >= REFRESH_ATTEMPTS:
        return dg.SkipReason(
            f"{last.attempt} refreshes of these documents failed, the last is run {run}: read its "
            f"error. The next change, or `dg launch --job {spec.name}_refresh`, tries again"
        )
    ended = failed.end_time or failed.update_timestamp.timestamp()
    wait = ended + retry_seconds(last.attempt) - now
    again = last.again()
    which = f"attempt {again.attempt} of {REFRESH_ATTEMPTS}"
    if wait > 0:
        return dg.SkipReason(f"the refresh failed (run {run}): {which} in {wait / 60:.0f} min")
    context.log.info("the refresh failed (run %s): asking again, %s", run, which)
    return _ask(spec, again)


def _failure(
    context: dg.SensorEvaluationContext, spec: KnowledgeBaseSpec, last: Request
) -> dg.RunRecord | str:
    """The failed run of the last request, or what to say when there is nothing to try again.

    Any later run of the job counts as well: one that goes on is waited for, and one that succeeded
    did what was asked.
    """
    runs = context.instance.get_run_records(
        dg.RunsFilter(
            job_name=f"{spec.name}_refresh",
            tags={"platform/knowledge_base": spec.name},
        ),
        limit=_NEWEST,
    )  # newest first
    for record in runs:
        run = record.dagster_run
        if not run.is_finished:
            return f"; run {run.run_id} goes on"
        if run.status is dg.DagsterRunStatus.SUCCESS:
            return ""
        if run.tags.get(REQUEST_TAG) == str(last):
            if run.status is dg.DagsterRunStatus.CANCELED:
                return f"; somebody ended run {run.run_id}: a canceled refresh is not asked again"
            return record
    return ""
