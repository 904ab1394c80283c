"""The stage `machines`: each day's node time, read from Prometheus once the day is over.

A day for which Prometheus has no node at all stays unknown, and is asked again: it may be down, or
have forgotten. A day that is known is never asked again: its series will be gone one day.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from platform_pipelines.core.cost.ledger import NodeTime
from platform_pipelines.core.cost.node_time import parse_nodes, seconds_by_use
from platform_pipelines.core.cost.readings import (
    HELD,
    QUERIES,
    STEP_SECONDS,
    Curve,
    nodes_of,
    to_lines,
)
from platform_pipelines.core.road.snapshot import ShardRecord, Snapshot
from platform_pipelines.errors import EvidenceError
from platform_pipelines.gateways.prometheus import Prometheus, TimeSeries
from platform_pipelines.stages.cost.days import days_up_to_yesterday
from platform_pipelines.stages.cost.workspace import Workspace
from platform_pipelines.stages.road.outcome import StageOutcome

MACHINES = "machines"


def refresh_machines(workspace: Workspace, *, prometheus: TimeSeries | None = None) -> StageOutcome:
    """Write down the node time of the days of the month that are not known yet.

    Raises:
        UnavailableError: Prometheus does not answer. EvidenceError: it refuses a query.
    """
    source = prometheus or Prometheus(workspace.spec.prometheus or "")
    store = workspace.nodes
    assert store is not None
    days = days_up_to_yesterday(workspace)
    head, version = workspace.head(MACHINES)
    missing = [day for day in days if not store.exists(_key(day))]
    unknown: list[str] = []
    for day in missing:
        workspace.deadline.check(f"reading the machines of {day}")
        curves = {query: _curves(source, query, day, workspace) for query in QUERIES}
        if not curves[HELD]:
            unknown.append(day.isoformat())
            continue
        nodes = nodes_of(
            curves, tenants=workspace.spec.namespaces, idle_below=workspace.spec.idle_below
        )
        store.put(_key(day), to_lines(nodes))
        workspace.progress(f"{day}: {len(nodes)} GPUs")
    known = {day: _read(workspace, day) for day in days if day.isoformat() not in unknown}
    facts = {"days": known, "unknown": unknown}
    snapshot = _snapshot(workspace, known, unknown)
    if head is not None and head.record_digest == snapshot.record_digest:
        return StageOutcome(head, is_changed=False, facts=facts)
    with workspace.writing(MACHINES, version) as held:
        held.move_head(snapshot, version)
    return StageOutcome.changed(snapshot, head, {"days_read": len(missing) - len(unknown)}, facts)


def _curves(source: TimeSeries, query: str, day: date, workspace: Workspace) -> list[Curve]:
    """The day by the declared time zone, its seconds counted from its start."""
    zone = ZoneInfo(workspace.spec.timezone)
    start = datetime.combine(day, time(), zone).astimezone(UTC)
    end = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
    last = end - timedelta(seconds=STEP_SECONDS)
    found = source.ask_range(query, start.timestamp(), last.timestamp(), STEP_SECONDS)
    if found.problem:
        raise EvidenceError(f"Prometheus refuses the query: {found.problem}", where=query)
    return [
        Curve(one.labels, tuple((round(at - start.timestamp()), v) for at, v in one.points))
        for one in found.curves
        if one.points
    ]


def _read(workspace: Workspace, day: date) -> list[NodeTime]:
    store = workspace.nodes
    assert store is not None
    return parse_nodes(store.get(_key(day))[0], where=_key(day))


def _key(day: date) -> str:
    return f"{day.isoformat()}.jsonl"


def _snapshot(
    workspace: Workspace, known: Mapping[date, list[NodeTime]], unknown: list[str]
) -> Snapshot:
    shards = tuple(
        ShardRecord(day.day, day.isoformat(), day.isoformat(), _key(day), len(nodes))
        for day, nodes in known.items()
    )
    seconds = seconds_by_use(node for nodes in known.values() for node in nodes)
    return Snapshot(
        stage=MACHINES,
        settings=workspace.spec.digest,
        shards=shards,
        counts={"days": len(known), "unknown_days": len(unknown), **seconds},
        details={"unknown": unknown},
    )
