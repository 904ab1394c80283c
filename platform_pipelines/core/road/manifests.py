"""Applied configuration: what objects a cluster should hold, as one immutable revision.

A component renders plain manifests; `revision_of` puts its labels on them and names the whole by
its digest. The digest covers what was rendered, not the annotation that repeats it on each object.
Source of the merge semantics: server-side apply, Kubernetes 1.35.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias, cast

from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.errors import ConfigurationError, IntegrityError

Manifest: TypeAlias = Mapping[str, Any]

PREFIX = "platform-pipelines.io"
MANAGER = "platform-pipelines"  # the field manager of server-side apply
OWNER = f"{PREFIX}/owner"
INSTALLATION = f"{PREFIX}/installation"
REVISION = f"{PREFIX}/revision"
MANAGED_BY = "app.kubernetes.io/managed-by"
FORMAT = 1

# What others stand in or read comes first; objects are deleted in the opposite order.
_ORDER = (
    "Namespace", "PriorityClass", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
    "ResourceQuota", "LimitRange", "NetworkPolicy", "ServiceAccount", "Role", "ClusterRole",
    "RoleBinding", "ClusterRoleBinding", "ExternalSecret", "ConfigMap", "PersistentVolumeClaim",
    "Service", "Gateway", "InferencePool", "Deployment",
)  # fmt: skip


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """Names one object of a cluster; `namespace` is empty for a cluster-wide kind."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {place}"


@dataclass(frozen=True, slots=True)
class ManifestRevision:
    """The objects of one component, in the order in which they are applied."""

    owner: str
    installation: str  # which store of this project owns them: two may share a cluster
    manifests: tuple[Manifest, ...]

    @property
    def digest(self) -> str:
        """Names the content."""
        return digest_json([FORMAT, self.owner, self.installation, list(self.manifests)])

    @property
    def keys(self) -> tuple[ObjectKey, ...]:
        """Of its objects, in their order."""
        return tuple(key_of(one) for one in self.manifests)

    @property
    def stamped(self) -> tuple[Manifest, ...]:
        """What is sent: each object says of which revision it is."""
        digest = self.digest
        return tuple(_with_annotation(one, REVISION, digest) for one in self.manifests)

    def to_json(self) -> str:
        """One JSON text that carries its own digest."""
        record = {
            "format": FORMAT,
            "digest": self.digest,
            "owner": self.owner,
            "installation": self.installation,
            "manifests": list(self.manifests),
        }
        return json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False)


class Difference(StrEnum):
    """What becomes of an object between two revisions."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field, by its path; None stands for absent."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """One object that differs; `fields` only when it is changed."""

    key: ObjectKey
    difference: Difference
    fields: tuple[FieldChange, ...] = ()


def key_of(manifest: Manifest) -> ObjectKey:
    """The object that a manifest is about.

    Raises:
        ConfigurationError: apiVersion, kind or metadata.name is missing.
    """
    metadata = cast("Mapping[str, Any]", manifest.get("metadata") or {})
    version, kind, name = manifest.get("apiVersion"), manifest.get("kind"), metadata.get("name")
    if not (version and kind and name):
        raise ConfigurationError(
            "not the manifest of an object",
            stored=f"apiVersion {version!r}, kind {kind!r}, metadata.name {name!r}",
            expected="all three",
        )
    return ObjectKey(str(version), str(kind), str(metadata.get("namespace") or ""), str(name))


def revision_of(owner: str, installation: str, manifests: Iterable[Manifest]) -> ManifestRevision:
    """The manifests of a component, labelled as its own and ordered.

    Raises:
        ConfigurationError: two manifests are about one object, or one is about none.
    """
    labels = {MANAGED_BY: MANAGER, OWNER: owner, INSTALLATION: installation}
    labelled = [_with_labels(one, labels) for one in manifests]
    seen: dict[ObjectKey, Manifest] = {}
    for one in labelled:
        key = key_of(one)
        if key in seen:
            raise ConfigurationError(
                f"{key} is rendered twice", where=owner, expected="one manifest an object"
            )
        seen[key] = one
    ordered = sorted(seen, key=lambda key: (_rank(key.kind), key))
    return ManifestRevision(owner, installation, tuple(seen[key] for key in ordered))


def revision_from_json(text: str | bytes, *, where: str) -> ManifestRevision:
    """The inverse of `ManifestRevision.to_json`.

    Raises:
        IntegrityError: not such a record, or its content is not what its digest says.
    """
    try:
        record: Any = json.loads(text)
        found = ManifestRevision(
            record["owner"], record["installation"], tuple(record["manifests"])
        )
        stored, number, computed = record["digest"], record["format"], found.digest
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"not a revision of manifests: {error}", where=where) from error
    if number != FORMAT or stored != computed:
        raise IntegrityError(
            "the manifests are not what their digest says",
            where=where,
            stored=f"{stored}, format {number}",
            expected=f"{computed}, format {FORMAT}",
            remedy="delete this file and render again",
        )
    return found


def changes_between(
    before: ManifestRevision | None, after: ManifestRevision
) -> tuple[ObjectChange, ...]:
    """What applying `after` over `before` adds, changes and removes, in the order of applying."""
    old = {key_of(one): one for one in before.manifests} if before else {}
    new = {key_of(one): one for one in after.manifests}
    changes: list[ObjectChange] = []
    for key, manifest in new.items():
        if key not in old:
            changes.append(ObjectChange(key, Difference.ADDED))
        elif fields := field_changes(old[key], manifest):
            changes.append(ObjectChange(key, Difference.CHANGED, fields))
    gone = [key for key in reversed(old) if key not in new]
    return (*changes, *(ObjectChange(key, Difference.REMOVED) for key in gone))


def field_changes(before: Any, after: Any, path: str = "") -> tuple[FieldChange, ...]:
    """Every leaf that differs. Lists of named things are compared by name, others by place."""
    if before == after:
        return ()
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return _mapping_changes(
            cast("Mapping[str, Any]", before), cast("Mapping[str, Any]", after), path
        )
    if isinstance(before, list) and isinstance(after, list):
        old, new = _named(cast("list[Any]", before)), _named(cast("list[Any]", after))
        if old is not None and new is not None:
            return _mapping_changes(old, new, path, item=True)
    return (FieldChange(path or "(whole object)", before, after),)


def _mapping_changes(
    before: Mapping[str, Any], after: Mapping[str, Any], path: str, *, item: bool = False
) -> tuple[FieldChange, ...]:
    found: list[FieldChange] = []
    for name in dict.fromkeys((*before, *after)):
        inner = f"{path}[{name}]" if item else f"{path}.{name}" if path else str(name)
        found += field_changes(before.get(name), after.get(name), inner)
    return tuple(found)


def _named(items: Sequence[Any]) -> dict[str, Any] | None:
    """By `name` where every item has one of its own, else by place when all are objects."""
    if not all(isinstance(one, Mapping) for one in items):
        return None
    names = [cast("Mapping[str, Any]", one).get("name") for one in items]
    if all(names) and len(set(names)) == len(names):
        return {str(name): one for name, one in zip(names, items, strict=True)}
    return {str(place): one for place, one in enumerate(items)}


def _rank(kind: str) -> int:
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)


def _with_labels(manifest: Manifest, labels: Mapping[str, str]) -> Manifest:
    metadata = dict(cast("Mapping[str, Any]", manifest.get("metadata") or {}))
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
    return {**manifest, "metadata": metadata}


def _with_annotation(manifest: Manifest, name: str, value: str) -> Manifest:
    metadata = dict(cast("Mapping[str, Any]", manifest.get("metadata") or {}))
    metadata["annotations"] = {**(metadata.get("annotations") or {}), name: value}
    return {**manifest, "metadata": metadata}
