"""The stage `queries`: every query that is rendered, asked of a real Prometheus.

A misspelt series is an alert that never fires, a scaler that never scales and an empty panel. An
empty result fails, unless the declaration says that a series may be absent.
"""

from collections.abc import Callable
from dataclasses import dataclass

from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.manifests import Manifest, revision_from_json
from platform_pipelines.core.road.promql import Query, queries_of
from platform_pipelines.core.road.snapshot import Snapshot
from platform_pipelines.core.watch.declaration import WatchSpec
from platform_pipelines.errors import EvidenceError
from platform_pipelines.gateways.prometheus import Prometheus, TimeSeries
from platform_pipelines.stages.road.applied import MANIFESTS, AppliedWorkspace, manifests_key
from platform_pipelines.stages.road.connect import open_component_store
from platform_pipelines.stages.road.outcome import StageOutcome
from platform_pipelines.stages.road.workspace import read_head

QUERIES = "queries"


@dataclass(frozen=True, slots=True)
class Asked:
    """A query and what it gave."""

    query: Query
    series: int
    problem: str  # empty: it has series, or may have none

    @property
    def is_right(self) -> bool:
        """Whether it may be applied."""
        return not self.problem


def refresh_queries(
    workspace: AppliedWorkspace,
    spec: WatchSpec,
    *,
    open_prometheus: Callable[[str], TimeSeries] = Prometheus,
) -> StageOutcome:
    """Ask every query of this component and of those that it names.

    Raises:
        UnavailableError: the Prometheus does not answer.
        EvidenceError: a component that it names has rendered nothing yet.
    """
    assert spec.prometheus is not None
    prometheus = open_prometheus(spec.prometheus)
    rendered = [*workspace.render(), *_of_others(workspace, spec)]
    asked = [_ask(prometheus, spec, one) for one in queries_of(rendered)]
    head, version = workspace.head(QUERIES)
    snapshot = Snapshot(
        stage=QUERIES,
        settings=digest_json([[one.query.where, one.query.expression] for one in asked]),
        shards=(),
        counts={"queries": len(asked), "right": sum(one.is_right for one in asked)},
        details={"wrong": {one.query.where: one.problem for one in asked if not one.is_right}},
    )
    facts = {"asked": asked}
    if head is not None and head.record_digest == snapshot.record_digest:
        return StageOutcome(head, is_changed=False, facts=facts)
    with workspace.writing(QUERIES, version) as held:
        held.move_head(snapshot, version)
    return StageOutcome.changed(snapshot, head, {"queries": len(asked)}, facts)


def _ask(prometheus: TimeSeries, spec: WatchSpec, query: Query) -> Asked:
    found = prometheus.ask(query.expression)
    problem = found.problem
    if not problem and not found.series:
        may_be_quiet = any(series in query.expression for series in spec.quiet)
        problem = "" if may_be_quiet else "no series: misspelt, or nobody exports it"
    return Asked(query, len(found.series), problem)


def _of_others(workspace: AppliedWorkspace, spec: WatchSpec) -> list[Manifest]:
    found: list[Manifest] = []
    for named in spec.components:
        kind, name = named.split("/")
        store = open_component_store(workspace.settings, kind, name)
        head = read_head(store, MANIFESTS)
        if head is None:
            raise EvidenceError(
                "a component has rendered nothing yet",
                where=f"components of {workspace.name}",
                stored=named,
                remedy=f"run the job {name}_apply, or correct the name",
            )
        key = manifests_key(head.details["revision"])
        revision = revision_from_json(store.get(key)[0], where=f"{store.url}/{key}")
        found += revision.manifests
    return found
