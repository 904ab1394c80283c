"""A day of observations: each key counts once, on the first day that it is seen.

A person's requests resemble each other, and what he does later depends on what he was shown. One
value a key and metric, the mean of its first day, is independent of all others, which is what the
interval of `sequential` rests on; his later days are looked at by nobody.
"""

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from platform_pipelines.core.experiment.declaration import ExperimentSpec
from platform_pipelines.core.experiment.sequential import Tally, tally
from platform_pipelines.core.road.assignments import arm_of
from platform_pipelines.core.road.identity import digest_text


@dataclass(frozen=True, slots=True)
class DayTally:
    """What a day adds. All of it is additive over days."""

    day: str
    keys: Mapping[str, int]  # new keys by the arm that served them
    misassigned: int  # keys that were served another arm than theirs, or two
    wrong_lines: int
    tallies: Mapping[str, Mapping[str, Tally]]  # arm -> metric -> keys' means
    new: tuple[str, ...] = ()  # digests of the new keys


@dataclass
class _Seen:
    arms: set[str] = field(default_factory=set[str])
    values: dict[str, list[float]] = field(default_factory=dict[str, list[float]])


def day_tally(
    spec: ExperimentSpec, day: str, lines: Iterable[str], former: Collection[str]
) -> DayTally:
    """Tally a day. `former` are digests of the keys of earlier days.

    A key that was served another arm than its own is counted, and is in no metric.
    """
    seen: dict[str, _Seen] = {}
    wrong = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            key, arm, values = _observation(spec, line)
        except ValueError:
            wrong += 1
            continue
        one = seen.setdefault(key, _Seen())
        one.arms.add(arm)
        for name, value in values.items():
            one.values.setdefault(name, []).append(value)
    fresh = {k: one for k, one in sorted(seen.items()) if key_digest(k) not in former}
    return _tallied(spec, day, fresh, wrong)


def key_digest(key: str) -> str:
    """Who was seen, without saying who."""
    return digest_text(key)[:16]


def _tallied(spec: ExperimentSpec, day: str, fresh: Mapping[str, _Seen], wrong: int) -> DayTally:
    keys = dict.fromkeys(spec.arms, 0)
    means: dict[str, dict[str, list[float]]] = {
        arm: {name: [] for name in spec.metrics} for arm in spec.arms
    }
    misassigned = 0
    for key, one in fresh.items():
        for arm in one.arms:
            keys[arm] += 1
        if one.arms != {arm_of(spec.name, key, spec.shares, spec.hashing, spec.candidate)}:
            misassigned += 1
            continue
        (arm,) = one.arms
        for name, values in one.values.items():
            means[arm][name].append(math.fsum(values) / len(values))
    tallies = {arm: {n: tally(v) for n, v in by.items()} for arm, by in means.items()}
    return DayTally(day, keys, misassigned, wrong, tallies, tuple(map(key_digest, fresh)))


def _observation(spec: ExperimentSpec, line: str) -> tuple[str, str, dict[str, float]]:
    raw: Any = json.loads(line)
    if not isinstance(raw, dict):
        raise ValueError("no JSON object")
    fields = cast("Mapping[str, Any]", raw)
    key, arm, given = fields.get("key"), fields.get("arm"), fields.get("metrics")
    if not isinstance(key, str) or not key or arm not in spec.arms or not isinstance(given, dict):
        raise ValueError("`key`, `arm` and `metrics` are needed")
    values: dict[str, float] = {}
    for name, value in cast("Mapping[str, Any]", given).items():
        measure = spec.metrics.get(name)
        if measure is None:
            continue
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"{name} is no finite number")
        values[name] = float(value) if measure.over is None else float(value > measure.over)
    return key, str(arm), values
