"""`Watch`: alerts and dashboards, whose every query a real Prometheus has answered."""

from functools import partial

import dagster as dg

from platform_pipelines.components.shared.applied import Told, build_applied, checked_asset
from platform_pipelines.components.shared.declaring import declared, declaring
from platform_pipelines.components.shared.pages import Page, table
from platform_pipelines.components.watch.rolling_back import build_rollback_sensor
from platform_pipelines.core.watch.declaration import WatchSpec
from platform_pipelines.core.watch.render import render_watch
from platform_pipelines.stages.road.applied import MANIFESTS
from platform_pipelines.stages.road.clusters import Applied
from platform_pipelines.stages.road.outcome import StageOutcome
from platform_pipelines.stages.watch.queries import QUERIES, Asked, refresh_queries

HAVE_SERIES = "every_query_has_series"


class Watch(declaring(WatchSpec)):
    """A PrometheusRule with the platform's alerts, and Grafana dashboards of the same names.

    Gives the assets manifests -> queries (where `prometheus` is declared) -> applied, the checks
    rules_hold, every_query_has_series, admitted and no_drift, the jobs NAME_apply, NAME_drift and
    NAME_rollback, a schedule, and a sensor for each of `rollbacks` (off until switched on).
    """

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs and schedule.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        spec = declared(WatchSpec, self.given, context.path, noun="what is watched")
        applied = Applied("watch", spec, partial(render_watch, spec))
        between = [_queries(applied, spec)] if spec.prometheus else []
        sensors = [build_rollback_sensor(spec, rule) for rule in spec.rollbacks]
        return dg.Definitions.merge(
            build_applied(applied, between=between), dg.Definitions(sensors=sensors)
        )


def _queries(applied: Applied, spec: WatchSpec) -> dg.AssetsDefinition:

    def told(outcome: StageOutcome) -> Told:
        asked: list[Asked] = outcome.facts["asked"]
        wrong = [f"{one.query.where}: {one.problem}" for one in asked if not one.is_right]
        return Told(_page(outcome), "; ".join(wrong) or "every query has series", not wrong)

    return checked_asset(
        applied, QUERIES, partial(refresh_queries, spec=spec), told,
        check=HAVE_SERIES, question="Does Prometheus know the series of every query?",
        text="Every query of alerts, scalers and dashboards, asked of a real Prometheus before "
        "anything is applied: an empty result is a misspelt series.",
        kinds={"prometheus"},
        above=[dg.AssetKey([name, MANIFESTS]) for name in (spec.name, *_named(spec))],
        metadata={"prometheus": spec.prometheus or ""},
    )  # fmt: skip


def _named(spec: WatchSpec) -> list[str]:
    """The components whose queries are asked too, without their kinds."""
    return [one.partition("/")[2] for one in spec.components]


def _page(outcome: StageOutcome) -> Page:
    asked: list[Asked] = outcome.facts["asked"]
    rows = [
        {
            "where": one.query.where, "series": one.series, "problem": one.problem,
            "query": f"`{one.query.expression}`",
        }
        for one in sorted(asked, key=lambda one: one.is_right)
    ]  # fmt: skip
    return {
        "queries": outcome.snapshot.counts["queries"],
        "right": outcome.snapshot.counts["right"],
        "asked": table(rows, ["where", "series", "problem", "query"]),
    }
