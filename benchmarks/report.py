"""Figures as ratios with targets; one table for people, one JSON file for machines."""

import json
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

Progress = Callable[[str], None]

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("pymilvus", "milvus-lite", "langchain-core", "langchain-classic", "llama-index-core")


@dataclass(frozen=True, slots=True)
class Figure:
    """One ratio. Lower is better; without a target it is for information."""

    name: str
    value: float
    target: float | None
    detail: str
    record: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or nothing where there is no target."""
        if self.target is None:
            return ""
        return "met" if self.value <= self.target else "missed"


def say(message: str) -> None:
    """Progress goes to stderr, so that stdout holds the table alone."""
    print(f"  {message}", file=sys.stderr, flush=True)


def table(figures: Sequence[Figure]) -> str:
    """One line a figure."""
    width = max(len(figure.name) for figure in figures)
    lines = [f"{'figure':<{width}}  {'ratio':>8}  {'target':>8}  verdict  measured"]
    for one in figures:
        target = "" if one.target is None else f"<= {one.target:.4g}"
        lines.append(
            f"{one.name:<{width}}  {one.value:>8.3f}  {target:>8}  {one.verdict:<7}  {one.detail}"
        )
    return "\n".join(lines)


def write_json(path: Path | None, figures: Sequence[Figure]) -> Path:
    """Write all figures and what they were measured on; where that file is."""
    target = path or RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": {
            "python": platform.python_version(),
            "system": platform.platform(),
            "packages": {name: _version(name) for name in PACKAGES},
        },
        "figures": [
            {
                "name": one.name,
                "ratio": one.value,
                "target": one.target,
                "verdict": one.verdict,
                "detail": one.detail,
                "record": one.record,
            }
            for one in figures
        ],
    }
    target.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return target


def _version(name: str) -> str:
    try:
        return version(name)
    except ModuleNotFoundError:
        return ""
