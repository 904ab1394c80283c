"""`Watch`: alerts and dashboards, whose every query a real Prometheus has answered."""

from functools import partial
from typing import Any

import dagster as dg
from pydantic import Field

from platform_pipelines.components.shared.applied import TIMEOUT_SECONDS, build_applied, policy_of
from platform_pipelines.components.shared.declaring import Declaring, declared, described, nested
from platform_pipelines.components.shared.pages import Page, table
from platform_pipelines.components.shared.running import run_stage
from platform_pipelines.components.watch.rolling_back import build_rollback_sensor
from platform_pipelines.core.road.declarations import ApplySpec
from platform_pipelines.core.watch.dashboards import DASHBOARDS
from platform_pipelines.core.watch.declaration import RollbackSpec, WatchSpec
from platform_pipelines.core.watch.render import render_watch
from platform_pipelines.core.watch.rules import RULES
from platform_pipelines.stages.road.applied import MANIFESTS
from platform_pipelines.stages.road.clusters import Applied, open_applied
from platform_pipelines.stages.road.outcome import StageOutcome
from platform_pipelines.stages.watch.queries import QUERIES, Asked, refresh_queries

HAVE_SERIES = "every_query_has_series"


class Watch(Declaring):
    """A PrometheusRule with the platform's alerts, and Grafana dashboards of the same names.

    Gives the assets manifests -> queries (where `prometheus` is declared) -> applied, the checks
    rules_hold, every_query_has_series, admitted and no_drift, the jobs NAME_apply, NAME_drift and
    NAME_rollback, a schedule, and a sensor for each of `rollbacks` (off until switched on).
    """

    name: str = Field(description="lower-case letters, digits and single underscores")
    description: str = Field(default="", **described("one sentence for the asset pages"))
    owner: str = Field(default="team:platform", **described("`team:name` or an e-mail address"))
    namespace: str = Field(default="monitoring", **described("where they go"))
    thresholds: dict[str, float] = Field(
        default_factory=dict,
        **described("alert -> threshold that differs: " + ", ".join(one.name for one in RULES)),
    )
    dashboards: list[str] | None = Field(
        default=None, **described(f"which of {', '.join(DASHBOARDS)}; all by default")
    )
    selector: dict[str, str] | None = Field(
        default=None,
        **described(
            "labels by which the Prometheus operator picks rules; "
            "`release: kube-prometheus-stack` by default"
        ),
    )
    prometheus: str | None = Field(
        default=None,
        **described(
            "a server that is asked every query before anything is applied, e.g. "
            "`http://prometheus.monitoring.svc:9090`; none: nothing is asked"
        ),
    )
    components: list[str] = Field(
        default_factory=list,
        **described(
            "whose rendered queries are asked too (scalers, canaries): `kind/name`, e.g. "
            "`model_catalogue/models`"
        ),
    )
    quiet: list[str] = Field(
        default_factory=list,
        **described(
            "series that may be absent, e.g. `litellm_` where no LiteLLM runs; a query that names "
            "one may be empty"
        ),
    )
    rollbacks: list[dict[str, Any]] = Field(
        default_factory=list,
        **described(
            "alerts that roll a component back, each with " + ", ".join(RollbackSpec.model_fields)
        ),
    )
    apply: dict[str, Any] = Field(
        default_factory=dict, **nested(ApplySpec, "How it reaches the cluster.")
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Assets, checks, jobs and schedule.

        Raises:
            ConfigurationError: names the field, its value and what is allowed.
        """
        attributes = self.model_dump(exclude_unset=True, exclude_none=True)
        spec = declared(WatchSpec, attributes, context.path, noun="what is watched")
        applied = Applied("watch", spec, lambda: render_watch(spec))
        between = [_queries(applied, spec)] if spec.prometheus else []
        sensors = [build_rollback_sensor(spec, rule) for rule in spec.rollbacks]
        return dg.Definitions.merge(
            build_applied(applied, between=between), dg.Definitions(sensors=sensors)
        )


def _queries(applied: Applied, spec: WatchSpec) -> dg.AssetsDefinition:
    key = dg.AssetKey([spec.name, QUERIES])
    check = dg.AssetCheckSpec(
        HAVE_SERIES, asset=key, blocking=True,
        description="Does Prometheus know the series of every query?",
    )  # fmt: skip

    def queries(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        _, outcome = run_stage(
            context, partial(open_applied, applied), lambda w: refresh_queries(w, spec),
            name=spec.name, timeout_seconds=TIMEOUT_SECONDS,
        )  # fmt: skip
        wrong = [one for one in outcome.facts["asked"] if not one.is_right]
        told = "; ".join(f"{one.query.where}: {one.problem}" for one in wrong)
        return dg.MaterializeResult(
            metadata=_page(outcome),
            data_version=dg.DataVersion(outcome.snapshot.digest),
            check_results=[
                dg.AssetCheckResult(
                    check_name=check.name, passed=not wrong,
                    description=told or "every query has series",
                )
            ],
        )  # fmt: skip

    return dg.asset(
        key=key, deps=[dg.AssetKey([spec.name, MANIFESTS])], check_specs=[check],
        kinds={"prometheus"},
        description="Every query of alerts, scalers and dashboards, asked of a real Prometheus "
        "before anything is applied: an empty result is a misspelt series.",
        metadata={"component": applied.component, "prometheus": spec.prometheus or ""},
        **policy_of(applied).asset_arguments(),
    )(queries)  # fmt: skip


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
