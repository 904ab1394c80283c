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
from platform_pipelines.components.shared.resource import RESOURCES, settings_of
from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec
from platform_pipelines.errors import PlatformError
from platform_pipelines.gateways.clock import Clock, SystemClock
from platform_pipelines.stages.knowledge_base.bucket_watch import Heard, hear
from platform_pipelines.stages.knowledge_base.documents import source_fingerprint
from platform_pipelines.stages.knowledge_base.workspace import open_workspace

SENSOR_SECONDS = 60
LISTED = "@"  # in a cursor, before the second at which the source was listed last
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
        required_resource_keys=set(RESOURCES),
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=f"Refresh {spec.name} when a document is added, changed or removed; again, "
        f"up to {REFRESH_ATTEMPTS} times and later each time, when the refresh failed.",
    )
    def watch(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        now = time.now().timestamp()
        text, _, listed = (context.cursor or "").partition(LISTED)
        last = Request.parse(text)
        try:
            workspace = open_workspace(spec, settings_of(context))
            heard = hear(workspace)
            if heard is not None and not _is_time(spec, heard, listed, now):
                heard.acted()
                return _after(context, spec, last, now=now, mark=f"{LISTED}{listed}")
            seen = source_fingerprint(workspace)
        except PlatformError as error:
            if error.terminal:
                raise
            return dg.SkipReason(f"the source does not answer now: {error.what}")
        mark = "" if heard is None else f"{LISTED}{int(now)}"
        if seen != last.source:
            result: dg.SensorResult | dg.SkipReason = _ask(spec, last.of_source(seen), mark)
        else:
            result = _after(context, spec, last, now=now, mark=mark)
            if mark and isinstance(result, dg.SkipReason):
                context.update_cursor(f"{last}{mark}")
        if heard is not None:
            _tell(context, heard)
            heard.acted()
        return result

    return watch


def _is_time(spec: KnowledgeBaseSpec, heard: Heard, listed: str, now: float) -> bool:
    """A document of the source was touched, or the last listing is old: messages get lost."""
    events = spec.source.events
    due = events is not None and now - float(listed or 0) >= events.listing_minutes * 60
    return bool(heard.keys) or due


def _tell(context: dg.SensorEvaluationContext, heard: Heard) -> None:
    for problem in heard.problems:
        context.log.warning("a message of the queue was left out: %s", problem)
    if heard.keys:
        context.log.info("events of %d documents, %s first", len(heard.keys), heard.keys[0])


def _ask(spec: KnowledgeBaseSpec, request: Request, mark: str = "") -> dg.SensorResult:
    tags = {**job_tags(spec), REQUEST_TAG: str(request), ATTEMPT_TAG: str(request.attempt)}
    seen = [] if request.attempt > 1 else [source_observation(spec, request.source)]
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=str(request), tags=tags)],
        cursor=f"{request}{mark}",
        asset_events=seen,
    )


def _after(
    context: dg.SensorEvaluationContext,
    spec: KnowledgeBaseSpec,
    last: Request,
    *,
    now: float,
    mark: str,
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
    return _ask(spec, again, mark)


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
