"""What NVIDIA's GPU Operator reads: its Helm values, MIG layouts, time-slicing.

Sources: NVIDIA, "GPU Operator with MIG" (`nvidia.com/mig.config` chooses a layout of a ConfigMap)
and "Time-Slicing GPUs in Kubernetes"; the values' names are those of ClusterPolicy `nvidia.com/v1`.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from platform_pipelines.core.compute_fleet.declaration import FleetSpec
from platform_pipelines.core.compute_fleet.nodes import TIME_SLICED
from platform_pipelines.core.road.compute_profiles import GPU, ComputeProfile
from platform_pipelines.core.road.manifests import Manifest
from platform_pipelines.core.road.rendering import kube

LAYOUTS_MAP = "mig-layouts"
PLUGIN_MAP = "device-plugin-configs"
VALUES_MAP = "gpu-operator-values"


def render_sharing(
    spec: FleetSpec, profiles: Sequence[ComputeProfile], labels: dict[str, str]
) -> Iterator[Manifest]:
    """ConfigMaps in the operator's namespace. JSON is YAML, and has one way to be written."""
    texts = {
        LAYOUTS_MAP: {"config.yaml": {"version": "v1", "mig-configs": _layouts(spec)}},
        PLUGIN_MAP: {"whole": _plugin(), TIME_SLICED: _time_sliced(spec)},
        VALUES_MAP: {"values.yaml": operator_values(spec, profiles)},
    }
    for name, files in texts.items():
        data = {file: json.dumps(text, indent=2) + "\n" for file, text in files.items()}
        yield kube(
            "v1", "ConfigMap", name, namespace=spec.operator_namespace, labels=labels, data=data
        )


def operator_values(spec: FleetSpec, profiles: Sequence[ComputeProfile]) -> dict[str, Any]:
    """Helm values of the operator's chart; its parts run on every pool of GPUs."""
    borne = [one for profile in profiles if profile.nodes for one in profile.tolerations]
    taints = {(one.key, one.value, one.effect): one.manifest() for one in borne}
    tolerations = [taints[key] for key in sorted(taints, key=str)]
    return {
        "driver": {"enabled": spec.sharing.driver},
        "toolkit": {"enabled": spec.sharing.toolkit},
        "mig": {"strategy": "mixed"},
        "migManager": {"enabled": True, "config": {"name": LAYOUTS_MAP, "default": "all-disabled"}},
        "devicePlugin": {"enabled": True, "config": {"name": PLUGIN_MAP, "default": "whole"}},
        "dcgmExporter": {
            "enabled": True,
            "serviceMonitor": {"enabled": True, "interval": "15s", "honorLabels": True},
        },
        "daemonsets": {"tolerations": tolerations},
    }


def _layouts(spec: FleetSpec) -> dict[str, Any]:
    layouts: dict[str, Any] = {"all-disabled": [{"devices": "all", "mig-enabled": False}]}
    for name, cut in spec.sharing.mig.items():
        layouts[name] = [{"devices": "all", "mig-enabled": True, "mig-devices": dict(cut)}]
    return layouts


def _plugin() -> dict[str, Any]:
    return {"version": "v1", "flags": {"migStrategy": "mixed"}}


def _time_sliced(spec: FleetSpec) -> dict[str, Any]:
    """Parts have a name of their own: a pod that wants a whole card never gets a part of one."""
    shared = {"name": GPU, "replicas": spec.sharing.time_slices}
    slicing = {
        "renameByDefault": True,
        "failRequestsGreaterThanOne": True,
        "resources": [shared],
    }
    return {**_plugin(), "sharing": {"timeSlicing": slicing}}
