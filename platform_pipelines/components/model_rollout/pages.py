"""What a person sees of a rollout: its steps, both sides' curves, and why."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from platform_pipelines.components.shared.pages import BLUE, GREY, ORANGE, canvas, picture, table
from platform_pipelines.core.model_rollout.declaration import ModelRolloutSpec
from platform_pipelines.core.model_rollout.machine import Phase, Rollout

Page = dict[str, Any]
_CURVES = ("time to first token p95", "whole request p95")


def metadata(rollout: Rollout, spec: ModelRolloutSpec) -> Page:
    """The metadata of one rollout."""
    last = rollout.history[-1]
    why = [f"- {reason}" for reason in _why(rollout)]
    return {
        "outcome": dg.MetadataValue.md("\n".join([f"**{rollout.phase}**", *why])),
        "candidate": f"version {rollout.candidate.version}, {rollout.candidate.digest}",
        "champion_before": f"version {rollout.champion.version}, {rollout.champion.digest}",
        "seconds": round(last.at - rollout.history[0].at, 1),
        "steps": table(
            _steps(rollout, spec),
            ["at", "entered", "share", "candidate", "champion", "answer_f1", "why"],
        ),
        "curves": _curves(rollout),
        "evidence": rollout.evidence or "none",
    }


def _why(rollout: Rollout) -> list[str]:
    entered = [e for e in rollout.history if e.phase in {Phase.ROLLING_BACK, Phase.PROMOTING}]
    return list(entered[-1].reasons) if entered else []


def _steps(rollout: Rollout, spec: ModelRolloutSpec) -> list[dict[str, Any]]:
    """What was seen of a step stands with what was entered because of it."""
    rows: list[dict[str, Any]] = []
    for entered in rollout.history:
        is_step = entered.phase is Phase.STEPPING
        rows.append(
            {
                "at": datetime.fromtimestamp(entered.at, UTC).strftime("%H:%M:%S"),
                "entered": str(entered.phase).replace("_", " "),
                "share": f"{spec.steps[entered.step].percent} %" if is_step else "",
                "candidate": _requests(entered.facts.get("candidate")),
                "champion": _requests(entered.facts.get("champion")),
                "answer_f1": _f1(entered.facts.get("answer_f1")),
                "why": "; ".join(entered.reasons),
            }
        )
    return rows


def _requests(window: dict[str, Any] | None) -> str:
    if window is None:
        return ""
    return f"{window['requests']:.0f} requests, {window['failed']:.0f} failed"


def _f1(means: dict[str, float | None] | None) -> str:
    return " / ".join(f"{v:.3f}" for v in means.values() if v is not None) if means else ""


def _curves(rollout: Rollout) -> dg.MetadataValue:
    title = "p95 seconds, step by step"
    figure, axes = canvas(title, "judged step", "seconds")
    judged = [e.facts for e in rollout.history if e.facts.get("candidate")]
    styles = dict(zip(_CURVES, ("-", "--"), strict=True))
    for side, color in (("candidate", ORANGE), ("champion", BLUE)):
        for name, style in styles.items():
            values = [(facts.get(side) or {}).get(name) for facts in judged]
            axes.plot(
                range(1, len(values) + 1),
                [float("nan") if v is None else v for v in values],
                style,
                marker="o",
                color=color,
                label=f"{side}, {name}",
            )
    axes.legend(fontsize=7, labelcolor=GREY)
    return picture(figure, title)
