"""Drift: how what is live differs from what was applied, in the fields that were applied.

`expected` is the API server's own answer to applying the revision again without writing it (dry
run). The server has filled in its defaults and normalised quantities there as it has in the live
object, so that neither is drift; what remains is what somebody changed. Fields that others added
beside ours (an extra container, a label) are found by their manager in `metadata.managedFields`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from platform_pipelines.core.road.manifests import (
    MANAGER,
    REVISION,
    FieldChange,
    Manifest,
    ObjectKey,
    field_changes,
)

# Written by the server or by controllers at any time; never declared.
_SERVER_FIELDS = (
    "managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink",
    "deletionTimestamp", "deletionGracePeriodSeconds",
)  # fmt: skip
_SERVER_ANNOTATIONS = ("deployment.kubernetes.io/revision", REVISION)

# Managers whose writing beside ours is the cluster doing its work.
CONTROLLERS = frozenset(
    (
        "agentgateway",
        "argocd-application-controller",
        "argocd-controller",
        "envoy-gateway",
        "external-secrets",
        "kagent-controller",
        "karpenter",
        "keda",
        "keda-operator",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kueue",
        "lws",
        "prometheus-operator",
    )
)


class DriftKind(StrEnum):
    """How an object drifted."""

    MISSING = "missing"  # it was applied and is not there
    CHANGED = "changed"  # a field that was applied has another value
    ADDED = "added"  # somebody added a field beside those that were applied
    EXTRA = "extra"  # it carries our labels and is not of this revision
    FOREIGN = "foreign"  # another object of this name stands there


@dataclass(frozen=True, slots=True)
class ObjectDrift:
    """One object that is not as it was applied; `who` are the managers that wrote beside us."""

    key: ObjectKey
    kind: DriftKind
    fields: tuple[FieldChange, ...] = ()
    who: tuple[str, ...] = ()


def drift_of(
    key: ObjectKey, expected: Manifest, live: Manifest, *, manager: str = MANAGER
) -> ObjectDrift | None:
    """How a live object differs from what applying it again would give; None: it does not.

    `expected` and `live` are both whole objects of the API server.
    """
    changed = field_changes(comparable(expected), comparable(live))
    added = added_fields(live, manager=manager)
    if changed:
        return ObjectDrift(key, DriftKind.CHANGED, changed, tuple(sorted(_others(live, manager))))
    if added:
        who = tuple(sorted({name for name, _ in added}))
        fields = tuple(FieldChange(path, None, f"by {name}") for name, path in added)
        return ObjectDrift(key, DriftKind.ADDED, fields, who)
    return None


def comparable(manifest: Manifest) -> dict[str, Any]:
    """An object without what the server and its controllers write by themselves."""
    kept = {name: value for name, value in manifest.items() if name != "status"}
    metadata = dict(cast("Mapping[str, Any]", manifest.get("metadata") or {}))
    for name in _SERVER_FIELDS:
        metadata.pop(name, None)
    annotations = cast("Mapping[str, Any]", metadata.get("annotations") or {})
    metadata["annotations"] = {
        name: value for name, value in annotations.items() if name not in _SERVER_ANNOTATIONS
    }
    return {**kept, "metadata": metadata}


def added_fields(manifest: Manifest, *, manager: str = MANAGER) -> tuple[tuple[str, str], ...]:
    """(manager, path) of every field that a person or an unknown program wrote, and we did not."""
    ours: set[str] = set()
    theirs: dict[str, set[str]] = {}
    for entry in _entries(manifest):
        name = str(entry.get("manager", ""))
        paths = set(_paths(entry.get("fieldsV1") or {}))
        if name == manager:
            ours |= paths
        elif not entry.get("subresource") and name not in CONTROLLERS:
            theirs.setdefault(name, set()).update(paths)
    return tuple(
        (name, path)
        for name in sorted(theirs)
        for path in sorted(theirs[name])
        if path not in ours and not _is_servers(path)
    )


def is_managed(manifest: Manifest, *, manager: str = MANAGER) -> bool:
    """Whether this manager has applied the object: a copied label alone makes nobody an owner."""
    return any(
        entry.get("manager") == manager and entry.get("operation") == "Apply"
        for entry in _entries(manifest)
    )


def _others(manifest: Manifest, manager: str) -> set[str]:
    return {
        str(entry.get("manager", ""))
        for entry in _entries(manifest)
        if entry.get("manager") != manager and not entry.get("subresource")
    } - CONTROLLERS


def _entries(manifest: Manifest) -> list[Mapping[str, Any]]:
    metadata = cast("Mapping[str, Any]", manifest.get("metadata") or {})
    return list(cast("list[Mapping[str, Any]]", metadata.get("managedFields") or []))


def _paths(fields: Mapping[str, Any], path: str = "") -> list[str]:
    """Leaves of a fieldsV1 set as `spec.replicas` or `spec.containers[{"name":"a"}].image`."""
    found: list[str] = []
    for name, inner in fields.items():
        if name == ".":
            continue
        kind, _, rest = name.partition(":")
        step = f".{rest}" if kind == "f" else f"[{rest}]"
        here = f"{path}{step}".removeprefix(".")
        deeper = _paths(cast("Mapping[str, Any]", inner), here) if inner else []
        found += deeper or [here]
    return found


def _is_servers(path: str) -> bool:
    first = path.partition(".")[0]
    return first == "status" or any(
        path == f"metadata.annotations.{name}" for name in _SERVER_ANNOTATIONS
    )
