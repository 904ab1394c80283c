"""Building blocks of asset pages: what happened, tables, bars, plots as pictures inside Markdown.

The web UI shows Markdown without a file server; a picture travels in it as data.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from platform_pipelines.stages.road.outcome import StageOutcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#2563eb", "#ea580c", "#94a3b8"

Page = dict[str, Any]


def what_happened(outcome: StageOutcome) -> str:
    """One line for people."""
    if not outcome.is_changed:
        return "**Nothing changed**: nothing read, nothing written."
    changes = {k: v for k, v in outcome.changes.items() if k != "content_changed" and v}
    text = ", ".join(f"{v:,} {k.replace('_', ' ')}" for k, v in sorted(changes.items()))
    if not outcome.changes.get("content_changed", 1):
        return f"{text or 'Versions were noted'}; the **content is the same** as before."
    return text or "Made."


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> dg.MetadataValue:
    """A Markdown table; cells are made safe for it."""

    def cell(value: object) -> str:
        return str(value).replace("|", "\\|").replace("\n", " ")[:200]

    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(cell(row.get(c, '')) for c in columns)} |" for row in rows]
    return dg.MetadataValue.md("\n".join(lines))


def bars_table(counts: Mapping[str, int], *, width: int = 24) -> dg.MetadataValue:
    """Counts as a table with bars: short enough for the web UI to show it without a click."""
    most = max(counts.values(), default=0) or 1
    rows = [
        {"": name, "count": count, "share": "█" * round(width * count / most)}
        for name, count in counts.items()
    ]
    return table(rows, ["", "count", "share"])


def canvas(title: str, x: str, y: str) -> "tuple[Figure, Axes]":
    """An empty plot, sized for an asset's page."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 2.8), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def picture(figure: "Figure", title: str) -> dg.MetadataValue:
    """A plot as Markdown."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{data})")


def lines(
    series: Mapping[str, Sequence[tuple[float, float]]], *, title: str, x: str, y: str
) -> dg.MetadataValue:
    """Curves of (x, y) points, one colour a name: a loss, a latency on each side."""
    figure, axes = canvas(title, x, y)
    for (name, points), color in zip(series.items(), (BLUE, ORANGE, GREY), strict=False):
        axes.plot([p[0] for p in points], [p[1] for p in points], color=color, label=name)
    if len(series) > 1:
        axes.legend()
    return picture(figure, title)
