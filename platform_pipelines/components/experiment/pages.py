"""What people read of an experiment: the gain day by day, the shares, the verdict."""

import math
from typing import Any

import dagster as dg

from platform_pipelines.components.shared.pages import (
    BLUE,
    GREY,
    ORANGE,
    Page,
    canvas,
    picture,
    table,
    what_happened,
)
from platform_pipelines.core.experiment.declaration import ExperimentSpec
from platform_pipelines.core.experiment.verdict import Conclusion, DayLook
from platform_pipelines.stages.experiment.verdict import Judgement
from platform_pipelines.stages.road.outcome import StageOutcome

_COLUMNS = ("day", "metric", "gain", "interval", "says", "keys", "misassigned")


def looks_page(spec: ExperimentSpec, outcome: StageOutcome) -> Page:
    """Every look, and the deciding metric as a picture."""
    conclusion: Conclusion = outcome.facts["conclusion"]
    page: Page = {
        "what_happened": dg.MetadataValue.md(what_happened(outcome)),
        "state": str(conclusion.state),
        "why": conclusion.why,
        "keys": outcome.snapshot.counts["keys"],
        "wrong_lines": outcome.snapshot.counts["wrong_lines"],
        "looks": table(
            [row for one in reversed(conclusion.looks) for row in _rows(spec, one)], _COLUMNS
        ),
    }
    told = [one for one in conclusion.looks if math.isfinite(one.looks[spec.decides].low)]
    if told:
        page["gain"] = _gain(spec, told)
    return page


def verdict_page(spec: ExperimentSpec, judged: Judgement) -> Page:
    """What the gate said and who is sent where."""
    reasons = [
        {"status": str(r.status), "reason": r.code, "what": r.message}
        for r in judged.verdict.reasons
    ]
    page: Page = {
        "state": str(judged.conclusion.state),
        "why": judged.conclusion.why,
        "verdict": str(judged.verdict.status),
        "release": judged.status,
        "live": f"{judged.live} ({spec.arms[judged.live].target})",
        "shares": table(
            [{"arm": a, "target": spec.arms[a].target, "%": n} for a, n in judged.shares.items()],
            ["arm", "target", "%"],
        ),
        "evidence": judged.evidence.digest,
    }
    if reasons:
        page["reasons"] = table(reasons, ["status", "reason", "what"])
    return page


def _rows(spec: ExperimentSpec, one: DayLook) -> list[dict[str, Any]]:
    return [
        {
            "day": one.day,
            "metric": f"**{name}**" if name == spec.decides else name,
            "gain": f"{seen.gain:+.4g} {spec.metrics[name].unit}".strip(),
            "interval": f"{seen.low:+.4g} to {seen.high:+.4g}",
            "says": str(seen.standing),
            "keys": ", ".join(f"{arm} {count:,}" for arm, count in one.keys.items()),
            "misassigned": one.misassigned,
        }
        for name, seen in one.looks.items()
    ]


def _gain(spec: ExperimentSpec, told: list[DayLook]) -> dg.MetadataValue:
    title = f"{spec.decides}: gain of {spec.candidate} on {spec.baseline}"
    figure, axes = canvas(title, "", spec.metrics[spec.decides].unit or "gain")
    days = [one.day[5:] for one in told]
    seen = [one.looks[spec.decides] for one in told]
    axes.fill_between(days, [s.low for s in seen], [s.high for s in seen], color=BLUE, alpha=0.2)
    axes.plot(days, [s.gain for s in seen], color=BLUE, marker="o", markersize=3)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.axhline(-spec.metrics[spec.decides].margin, color=ORANGE, linewidth=0.8, linestyle="--")
    axes.tick_params(axis="x", rotation=45)
    return picture(figure, title)
