"""Node time from series: OpenCost says which nodes are held, DCGM what their GPUs did for whom.

A node of several GPUs is so many parts, each with its own stretches; a part costs its share of the
node. A GPU that is cut or shared counts as its busiest pod's.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from platform_pipelines.core.cost.ledger import SHARED, NodeTime
from platform_pipelines.core.cost.node_time import GpuSample, stretches_of

# OpenCost, https://opencost.io/docs/integrations/metrics; NVIDIA's dcgm-exporter; vLLM.
# Not quite a minute (Prometheus 2 counts both ends): a plain name would be there for five minutes
# more than the node is.
HELD = "max by (node, instance_type) (last_over_time(node_total_hourly_cost[59s]))"
GPUS = "max by (node) (last_over_time(node_gpu_count[59s]))"
BUSY = (
    "max by (Hostname, gpu, namespace, pod, exported_namespace, exported_pod) "
    "(last_over_time(DCGM_FI_DEV_GPU_UTIL[59s]))"
)
ANSWERING = "max by (namespace, pod, model_name) (last_over_time(vllm:num_requests_running[59s]))"
QUERIES = (HELD, GPUS, BUSY, ANSWERING)
STEP_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Curve:
    """One series over a day: its labels, and (second of the day, value)."""

    labels: Mapping[str, str]
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class _Reading:
    value: float
    namespace: str
    pod: str


def nodes_of(
    curves: Mapping[str, Sequence[Curve]],
    *,
    tenants: Mapping[str, str],
    idle_below: float = 1.0,
) -> list[NodeTime]:
    """The GPU nodes of a day. `curves` by query; `tenants` names those of namespaces.

    Every second between a node's first reading and its last is accounted for. A namespace that is
    nobody's is its own tenant.
    """
    counts = {c.labels.get("node", ""): max(v for _, v in c.points) for c in curves[GPUS]}
    read, models = _readings(curves[BUSY]), _models(curves[ANSWERING])
    found: list[NodeTime] = []
    for curve in sorted(curves[HELD], key=lambda one: one.labels.get("node", "")):
        node, gpus = curve.labels.get("node", ""), int(counts.get(curve.labels.get("node", ""), 0))
        seconds = [second for second, _ in curve.points]
        for gpu in range(gpus):
            samples = _samples(read.get((node, str(gpu)), {}), models, tenants, seconds[0])
            length = seconds[-1] - seconds[0] + STEP_SECONDS
            stretches = stretches_of(list(samples), length, idle_below=idle_below)
            part = node if gpus == 1 else f"{node}/gpu{gpu}"
            kind = curve.labels.get("instance_type", "")
            found.append(NodeTime(part, kind, length, stretches, gpus))
    return found


def to_lines(nodes: Sequence[NodeTime]) -> bytes:
    """As a day's file, which `node_time.parse_nodes` reads."""
    return "".join(f"{json.dumps(_record(one), ensure_ascii=False)}\n" for one in nodes).encode()


def _record(node: NodeTime) -> dict[str, Any]:
    return {
        "node": node.node,
        "instance_type": node.instance_type,
        "seconds": node.seconds,
        "parts": node.parts,
        "stretches": [
            {"start": s.start, "end": s.end, "use": str(s.use), "tenant": s.tenant,
             "model": s.model}
            for s in node.stretches
        ],
    }  # fmt: skip


def _readings(curves: Sequence[Curve]) -> dict[tuple[str, str], dict[int, _Reading]]:
    """(node, GPU) -> second -> the busiest reading. `exported_` is what a scrape renamed."""
    found: dict[tuple[str, str], dict[int, _Reading]] = {}
    for curve in curves:
        labels = curve.labels
        namespace = labels.get("exported_namespace") or labels.get("namespace", "")
        pod = labels.get("exported_pod") or labels.get("pod", "")
        mine = found.setdefault((labels.get("Hostname", ""), labels.get("gpu", "")), {})
        for second, value in curve.points:
            before = mine.get(second)
            if before is None or value > before.value:
                mine[second] = _Reading(value, namespace, pod)
    return found


def _models(curves: Sequence[Curve]) -> dict[tuple[str, str], tuple[str, int]]:
    """(namespace, pod) -> its model, and when it first answered."""
    return {
        (c.labels.get("namespace", ""), c.labels.get("pod", "")): (
            c.labels.get("model_name", ""), c.points[0][0],
        )
        for c in curves
    }  # fmt: skip


def _samples(
    read: Mapping[int, _Reading],
    models: Mapping[tuple[str, str], tuple[str, int]],
    tenants: Mapping[str, str],
    start: int,
) -> Iterator[GpuSample]:
    for second in sorted(read):
        one = read[second]
        tenant = tenants.get(one.namespace, one.namespace) or SHARED
        model, answers_at = models.get((one.namespace, one.pod), ("", second))
        utilisation = None if second < answers_at else one.value
        yield GpuSample(second - start, utilisation, tenant, model)
