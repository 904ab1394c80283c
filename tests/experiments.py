"""Experiments for tests: a declaration, and days of observations with a known effect."""

import json
import random
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from platform_pipelines.core.experiment.declaration import ExperimentSpec
from platform_pipelines.core.road.assignments import arm_of
from platform_pipelines.core.road.declarations import parse_spec

START = date(2024, 11, 1)
GIVEN: dict[str, Any] = {
    "name": "models_ab",
    "arms": {"big": {"share": 20, "target": "large"}, "small": {"share": 80, "target": "medium"}},
    "baseline": "small",
    "decides": "satisfaction",
    "metrics": {
        "satisfaction": {"margin": 0.05},
        "seconds": {"direction": "lower", "margin": 0.02, "over": 10, "unit": "share over 10 s"},
        "usd": {"direction": "lower", "margin": 0.002, "unit": "$"},
    },
    "start": START.isoformat(),
}


def declared(observations: str, **changes: Any) -> ExperimentSpec:
    """80 : 20 over 14 days, by satisfaction, guarded by p99 latency and cost."""
    given = {**GIVEN, "observations": observations, **changes}
    return parse_spec(ExperimentSpec, given, where="test", noun="an experiment")


def write_days(
    folder: Path,
    days: int,
    *,
    effect: float = 0.0,
    slower: float = 0.0,
    keys_a_day: int = 800,
    wrong_arm: float = 0.0,
    seed: int = 5,
    hashing: Any = "xxh64",
) -> None:
    """Observations of new and of returning keys. `effect` is the big arm's gain in satisfaction,
    `slower` its further share of slow answers, `wrong_arm` the share of keys sent elsewhere.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(seed)
    shares = {name: arm["share"] for name, arm in GIVEN["arms"].items()}
    for day in range(days):
        lines: list[str] = []
        for number in range(keys_a_day):
            back = day > 0 and number % 4 == 0
            key = f"user-{day - 1 if back else day}-{number}"
            arm = arm_of(GIVEN["name"], key, shares, hashing, "big")
            if arm == "big" and draw.random() < wrong_arm:
                arm = "small"
            for _ in range(1 + number % 2):
                big = arm == "big"
                values = {
                    "satisfaction": float(draw.random() < 0.5 + effect * big),
                    "seconds": 12.0 if draw.random() < 0.01 + slower * big else 2.0,
                    "usd": 0.003 + 0.0005 * big,
                }
                lines.append(json.dumps({"key": key, "arm": arm, "metrics": values}))
        (folder / f"{START + timedelta(days=day)}.jsonl").write_text("\n".join(lines))
