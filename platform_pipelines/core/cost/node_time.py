"""The time of owned machines: as it is noted down, and as it is made of samples of a GPU.

A line of a day's file is one node, while it was held that day (or one GPU of `parts` GPUs):

    {"node": "n1", "instance_type": "g6.xlarge", "seconds": 86400, "stretches": [
      {"start": 0, "end": 300, "use": "warm-up", "model": "small"},
      {"start": 300, "end": 86400, "use": "busy", "tenant": "acme", "model": "small"}]}
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from platform_pipelines.core.cost.ledger import SHARED, NodeTime, Stretch, Use
from platform_pipelines.errors import IntegrityError


@dataclass(frozen=True, slots=True)
class GpuSample:
    """One reading, which holds until the next. `utilisation` in percent, None: no model answers."""

    second: int  # since the node is held
    utilisation: float | None
    tenant: str = SHARED
    model: str = ""


def parse_nodes(data: bytes, *, where: str) -> list[NodeTime]:
    """The nodes of a day's file.

    Raises:
        IntegrityError: a line is none.
    """
    found: list[NodeTime] = []
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), start=1):
        if line.strip():
            try:
                found.append(_node(json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise IntegrityError(
                    f"no node time: {error!r}",
                    where=f"{where}, line {number}",
                    expected="node, instance_type, seconds, stretches of start, end, use",
                ) from error
    return found


def stretches_of(
    samples: Sequence[GpuSample], seconds: int, *, idle_below: float = 1.0
) -> tuple[Stretch, ...]:
    """Whole stretches from readings in order of time; nothing is left out.

    Before a model answers, the node warms up; below `idle_below` percent it is idle, and nobody's.
    What is before the first reading is warming up too.
    """
    edges = [0, *(min(max(s.second, 0), seconds) for s in samples), seconds]
    states = [_state(GpuSample(0, None), idle_below), *(_state(s, idle_below) for s in samples)]
    found: list[Stretch] = []
    for start, end, (use, tenant, model) in zip(edges[:-1], edges[1:], states, strict=True):
        if end <= start:
            continue
        last = found[-1] if found else None
        if last is not None and (last.use, last.tenant, last.model) == (use, tenant, model):
            found[-1] = Stretch(last.start, end, use, tenant, model)
        else:
            found.append(Stretch(start, end, use, tenant, model))
    return tuple(found)


def seconds_by_use(nodes: Iterable[NodeTime]) -> dict[str, int]:
    """All seconds, by what they were; their sum is the time that the nodes were held."""
    found = {str(use): 0 for use in Use}
    for node in nodes:
        for one in node.stretches:
            found[str(one.use)] += one.end - one.start
    return found


def _state(sample: GpuSample, idle_below: float) -> tuple[Use, str, str]:
    if sample.utilisation is None:
        return Use.WARM_UP, SHARED, sample.model
    if sample.utilisation < idle_below:
        return Use.IDLE, SHARED, ""
    return Use.BUSY, sample.tenant, sample.model


def _node(raw: Mapping[str, Any]) -> NodeTime:
    stretches = tuple(
        Stretch(
            int(one["start"]), int(one["end"]), Use(one["use"]),
            str(one.get("tenant") or SHARED), str(one.get("model") or ""),
            str(one.get("run") or ""),
        )
        for one in raw["stretches"]
    )  # fmt: skip
    parts = int(raw.get("parts", 1))
    if parts < 1:
        raise ValueError("`parts` is below 1")
    return NodeTime(
        str(raw["node"]), str(raw["instance_type"]), int(raw["seconds"]), stretches, parts
    )
