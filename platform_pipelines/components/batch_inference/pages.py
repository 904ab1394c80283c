"""The page of a batch: what ran, what failed and why, what it cost, how long answers took."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import dagster as dg

from platform_pipelines.components.shared.pages import (
    BLUE,
    Page,
    bars_table,
    canvas,
    picture,
    table,
    what_happened,
)
from platform_pipelines.core.batch_inference.answers import State, Totals
from platform_pipelines.core.batch_inference.declaration import BatchInferenceSpec
from platform_pipelines.core.road.pricing import shown_cents
from platform_pipelines.stages.road.outcome import StageOutcome

_ROWS = 60
_STATES = ("answered", "cut", "refused", "rejected", "waiting", "wrong_lines")


def answers_page(spec: BatchInferenceSpec, outcome: StageOutcome) -> Page:
    """Of the run, and of all that stands."""
    counts, details = outcome.snapshot.counts, outcome.snapshot.details
    files: Mapping[str, Any] = details["files"]
    cents = shown_cents([Decimal(one["usd"]) for one in files.values()])
    page: Page = {
        "what_happened": dg.MetadataValue.md(what_happened(outcome)),
        "prompts": counts["prompts"],
        "answered": counts["answered"] + counts["cut"],
        "states": bars_table({name.replace("_", " "): counts[name] for name in _STATES}),
        "tokens": f"{counts['input_tokens']:,} read, {counts['output_tokens']:,} written",
        "cost_usd": float(sum(cents, Decimal())),
        "files": table(_file_rows(files, cents)[:_ROWS], _FILE_COLUMNS),
        "answers": details["url"],
        "recipe": outcome.snapshot.settings,
    }
    if details["failures"]:
        page["failures"] = table(details["failures"], ["file", "prompt", "state", "why"])
    run: Totals | None = outcome.facts.get("run")
    if run is not None:
        page["cost_of_this_run_usd"] = float(round(run.usd, 4))
        page["concurrency"] = spec.concurrency
    seconds: Sequence[float] = outcome.facts.get("seconds", ())
    if seconds:
        page["seconds_an_answer"] = _seconds(seconds)
    return page


_FILE_COLUMNS = ("file", "prompts", "answered", "failed", "waiting", "wrong lines", "cost $")


def _file_rows(files: Mapping[str, Any], cents: Sequence[Decimal]) -> list[dict[str, Any]]:
    return [
        {
            "file": key,
            "prompts": one["prompts"],
            "answered": sum(n for s, n in one["states"].items() if State(s).has_answer),
            "failed": sum(n for s, n in one["states"].items() if not State(s).has_answer),
            "waiting": one["waiting"],
            "wrong lines": one["wrong_lines"],
            "cost $": cost,
        }
        for (key, one), cost in zip(files.items(), cents, strict=True)
    ]


def _seconds(seconds: Sequence[float]) -> dg.MetadataValue:
    figure, axes = canvas("How long answers took", "seconds", "answers")
    axes.hist(list(seconds), bins=30, color=BLUE)
    return picture(figure, "seconds an answer")
