"""What a person sees on each asset's page of a fine-tuned model."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from platform_pipelines.components.shared.pages import BLUE, ORANGE, canvas, picture, table
from platform_pipelines.core.fine_tune.retrieval import RECIPROCAL_RANK
from platform_pipelines.core.road.evidence import Evidence
from platform_pipelines.core.road.model_questions import ANSWER_F1
from platform_pipelines.stages.fine_tune.workspace import Workspace
from platform_pipelines.stages.road.evidence import read_evidence
from platform_pipelines.stages.road.outcome import StageOutcome

Page = dict[str, Any]


def metadata(workspace: Workspace, stage: str, outcome: StageOutcome) -> Page:
    """The metadata of one materialisation."""
    happened = "**Nothing changed**: nothing was made." if not outcome.is_changed else "Made."
    page: Page = {
        "what_happened": dg.MetadataValue.md(happened),
        "digest": outcome.snapshot.digest,
    }
    return page | _PAGES[stage](workspace, outcome)


def step_observation(event: Mapping[str, Any]) -> Page:
    """One training step, as numbers that the web UI plots while the training runs."""
    measured = {n: float(event[n]) for n in ("tokens_per_second",) if n in event}
    return {
        "step": int(event["step"]) + 1,
        "loss": float(event["loss"]),
        "learning_rate": float(event["learning_rate"]),
        **measured,
        "memory_mib": int(event["rss_mb"]),
    }


def _training_set(workspace: Workspace, outcome: StageOutcome) -> Page:
    del workspace
    counts, details = outcome.snapshot.counts, outcome.snapshot.details
    shares = [
        {"of": kind, "value": value, "rows": rows}
        for kind in ("languages", "licences", "tenants")
        for value, rows in details[kind].items()
    ]
    page: Page = {
        "dagster/row_count": outcome.snapshot.rows,
        **{name: counts[name] for name in ("train", "validation", "duplicates")},
        "kept_from_golden_questions": counts["leaks"],
        "tokens_estimated": counts["tokens_estimated"],
        "rows_by": table(shares, ["of", "value", "rows"]),
    }
    if details["leaks"]:
        page["leaks"] = table(
            details["leaks"], ["place", "golden question", "contained", "similarity", "text"]
        )
    if details["refused"]:
        page["refused"] = table(details["refused"], ["place", "reason"])
    return page


def _adapter(workspace: Workspace, outcome: StageOutcome) -> Page:
    details = outcome.snapshot.details
    recipe = details.get("recipe") or workspace.spec.recipe.model_dump(mode="json")
    trials: dict[str, float] = details.get("trials", {})
    tried: Page = {}
    if trials:
        ordered = sorted(trials.items(), key=lambda one: one[1])
        rows = [{"trial": name, "validation loss": loss} for name, loss in ordered]
        tried = {"trial": details["trial"], "trials": table(rows, ["trial", "validation loss"])}
    return {
        **tried,
        "first_loss": float(details["first_loss"] or 0),
        "last_loss": float(details["last_loss"] or 0),
        "steps": outcome.snapshot.counts["steps"],
        "peak_memory_mib": outcome.snapshot.counts["peak_rss_mb"],
        "resumed_at": str(details["resumed_at"] or "never"),
        "curves": _curves(details["steps"], details["validations"]),
        "recipe": table([{"field": k, "value": v} for k, v in recipe.items()], ["field", "value"]),
    }


def _curves(steps: list[Mapping[str, Any]], validations: list[Mapping[str, Any]]) -> Any:
    title = "Loss"
    figure, axes = canvas(title, "step", "loss")
    axes.plot([s["step"] + 1 for s in steps], [s["loss"] for s in steps], color=BLUE, label="train")
    places = [v["step"] + 1 for v in validations]
    axes.plot(places, [v["loss"] for v in validations], "o", color=ORANGE, label="validation")
    axes.legend()
    return picture(figure, title)


def _model(workspace: Workspace, outcome: StageOutcome) -> Page:
    details = outcome.snapshot.details
    card = [
        f"- base: `{workspace.spec.base}` `{details['base']['digest']}`",
        f"- adapter: `{details['adapter']}`",
        f"- files: {len(details['files'])}, {outcome.snapshot.counts['bytes'] / 2**20:.0f} MiB",
        f"- smoke test: {details['smoke_question']} → **{details['smoke_answer'].strip()}**",
    ]
    return {
        "model": details["model"]["digest"],
        "where": dg.MetadataValue.url(details["model"]["url"]),
        "card": dg.MetadataValue.md("\n".join(card)),
    }


def _evidence(workspace: Workspace, outcome: StageOutcome) -> Page:
    details = outcome.snapshot.details
    evidence = read_evidence(workspace.store, details["evidence"])
    lines = [f"**{details['verdict']}**", *(f"- {reason}" for reason in details["reasons"])]
    page: Page = {"verdict": dg.MetadataValue.md("\n".join(lines)), "evidence": details["evidence"]}
    return page if evidence is None else page | _scores(evidence)


def _scores(evidence: Evidence) -> Page:
    means, before = evidence.means, evidence.baseline_means
    rows = [
        {
            "metric": f"{metric.name} {metric.unit}",
            "candidate": _shown(means[metric.name].mean),
            "champion": _shown(before[metric.name].mean),
            "better is": metric.direction,
        }
        for metric in evidence.metrics
    ]
    answers = [
        {
            "question": row.sample_id,
            "candidate": row.candidate.details.get("answer", ""),
            "champion": row.baseline.details.get("answer", "") if row.baseline else "",
        }
        for row in evidence.rows
    ]
    return {
        "scores": table(rows, ["metric", "candidate", "champion", "better is"]),
        "answers": table(answers, ["question", "candidate", "champion"]),
        **{
            name: float(means[name].mean or 0)
            for name in (ANSWER_F1.name, RECIPROCAL_RANK.name)
            if name in means
        },
    }


def _endpoint(workspace: Workspace, outcome: StageOutcome) -> Page:
    embed: dict[str, Any] = outcome.snapshot.details["embed"]
    lines = [f"  {name}: {json.dumps(value)}" for name, value in embed.items()]
    text = "\n".join(["```yaml", "embed:", *lines, "```"])
    return {
        "embed": dg.MetadataValue.md(text),
        "address": dg.MetadataValue.url(str(embed["url"])),
        "stop": f"the job {workspace.name}_stop",
    }


def _registration(workspace: Workspace, outcome: StageOutcome) -> Page:
    details = outcome.snapshot.details
    aliases = [{"alias": k, "version": v} for k, v in sorted(details["aliases"].items())]
    return {
        "version": outcome.snapshot.counts["version"],
        "registered_model": workspace.name,
        "aliases": table(aliases, ["alias", "version"]),
        "evidence": details["evidence"],
    }


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


_PAGES: dict[str, Callable[[Workspace, StageOutcome], Page]] = {
    "training_set": _training_set,
    "adapter": _adapter,
    "trials": _adapter,
    "model": _model,
    "evidence": _evidence,
    "registration": _registration,
    "endpoint": _endpoint,
}
