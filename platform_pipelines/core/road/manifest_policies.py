"""What a rendered object may not be, checked before anything is sent to a cluster.

The rules are those that hold whatever the component: no image that moves, no container that can
take its node, no secret in a manifest, no API that has gone. What has gone is data
(`tables/api_replacements.yaml`), given by the caller.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from platform_pipelines.core.road.manifests import Manifest, ManifestRevision, ObjectKey, key_of
from platform_pipelines.core.road.promql import queries_of

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_NAME_CHARACTERS = 253
_TEMPLATES = ("Deployment", "StatefulSet", "DaemonSet", "Job")

Found: TypeAlias = Iterator[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Violation:
    """A field of an object that breaks a rule, and what to do about it."""

    key: ObjectKey
    field: str
    rule: str
    message: str


@dataclass(frozen=True, slots=True)
class Replacement:
    """An API version, a field or a value that has gone (or that a server ignores now)."""

    api_version: str  # of the old thing; empty: any
    kind: str  # empty: any
    path: tuple[str, ...]  # `*` for every item; empty: the whole kind has gone
    value: str  # the value that has gone, as a regular expression; empty: the field itself has
    instead: str
    since: str
    metric: str = ""  # a series that has gone, in whatever query; the fields above do not count
    text: str = ""  # a regular expression in any text of the object
    is_ignored: bool = False  # the definition still accepts it; the server does nothing with it

    @property
    def told(self) -> str:
        """What has become of it, and what stands in its place."""
        what = "is accepted and ignored" if self.is_ignored else "has gone"
        return f"{what} ({self.since}): use {self.instead}"

    def applies_to(self, manifest: Manifest) -> bool:
        """Whether it is about this kind of object."""
        return self.api_version in ("", manifest.get("apiVersion")) and self.kind in (
            "",
            manifest.get("kind"),
        )


def violations(
    revision: ManifestRevision, replacements: Sequence[Replacement] = ()
) -> tuple[Violation, ...]:
    """Everything in a revision that breaks a rule, in the order of its objects."""
    found: list[Violation] = []
    for manifest in revision.manifests:
        key = key_of(manifest)
        for rule, look in _RULES.items():
            found += [Violation(key, field, rule, message) for field, message in look(manifest)]
        found += [Violation(key, *rest) for rest in _outdated(manifest, replacements)]
    return tuple(found)


def pod_of(manifest: Manifest) -> tuple[str, Mapping[str, Any]] | None:
    """(path, pod spec) of what makes pods; None for anything else."""
    spec = _mapping(manifest.get("spec"))
    kind = manifest.get("kind")
    if kind == "Pod":
        return "spec", spec
    if kind in _TEMPLATES:
        return "spec.template.spec", _mapping(_mapping(spec.get("template")).get("spec"))
    if kind == "LeaderWorkerSet":
        template = _mapping(_mapping(spec.get("leaderWorkerTemplate")).get("workerTemplate"))
        return "spec.leaderWorkerTemplate.workerTemplate.spec", _mapping(template.get("spec"))
    return None


def _names(manifest: Manifest) -> Found:
    name = key_of(manifest).name
    rbac = str(manifest.get("apiVersion", "")).startswith("rbac.")  # allows `:`
    if not rbac and not (_NAME.fullmatch(name) and len(name) <= _NAME_CHARACTERS):
        yield "metadata.name", f"{name!r} is no DNS name of at most {_NAME_CHARACTERS} characters"


def _images(manifest: Manifest) -> Found:
    for path, container in _containers(manifest):
        image = str(container.get("image", ""))
        tag = image.rpartition("/")[2].partition(":")[2]
        if "@sha256:" not in image and (not tag or tag == "latest"):
            yield (
                f"{path}.image",
                f"{image!r} moves: name a version or a digest",
            )


def _containment(manifest: Manifest) -> Found:
    pod = pod_of(manifest)
    if pod is None:
        return
    path, spec = pod
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield f"{path}.{name}", "shares the node's namespace"
    for volume in _items(spec.get("volumes")):
        if volume.get("hostPath"):
            yield f"{path}.volumes[{volume.get('name')}].hostPath", "writes to the node's disk"
    for where, container in _containers(manifest):
        yield from _privileges(where, _mapping(container.get("securityContext")))


def _privileges(where: str, security: Mapping[str, Any]) -> Found:
    if security.get("privileged"):
        yield f"{where}.securityContext.privileged", "owns its node"
    if security.get("allowPrivilegeEscalation") is not False:
        yield f"{where}.securityContext.allowPrivilegeEscalation", "is not false"


def _budgets(manifest: Manifest) -> Found:
    for path, container in _containers(manifest):
        resources = _mapping(container.get("resources"))
        requests, limits = _mapping(resources.get("requests")), _mapping(resources.get("limits"))
        for name in ("cpu", "memory"):
            if name not in requests:
                yield f"{path}.resources.requests.{name}", "is missing: the scheduler guesses"
        if "memory" not in limits:
            yield (
                f"{path}.resources.limits.memory",
                "is missing: a leak takes the node",
            )


def _secrets(manifest: Manifest) -> Found:
    if manifest.get("kind") == "Secret" and (manifest.get("data") or manifest.get("stringData")):
        yield "data", "a secret in a manifest is in every copy of it: use an ExternalSecret"


def _rights(manifest: Manifest) -> Found:
    if manifest.get("kind") not in ("Role", "ClusterRole"):
        return
    for place, rule in enumerate(_items(manifest.get("rules"))):
        for name in ("apiGroups", "resources", "verbs"):
            if "*" in cast("list[str]", rule.get(name) or []):
                yield f"rules[{place}].{name}", "`*` grants what does not exist yet: name them"


_RULES: Mapping[str, Callable[[Manifest], Found]] = {
    "name": _names,
    "image": _images,
    "containment": _containment,
    "budget": _budgets,
    "secret": _secrets,
    "rights": _rights,
}


def _outdated(
    manifest: Manifest, replacements: Sequence[Replacement]
) -> Iterator[tuple[str, str, str]]:
    yield from _outdated_series(manifest, replacements)
    for one in replacements:
        if one.metric or not one.applies_to(manifest):
            continue
        if one.text:
            for path, value in _texts(manifest):
                if found := re.search(one.text, value):
                    yield path, "outdated", f"{found.group()[:80]!r} {one.told}"
        elif not one.path:
            told = f"{manifest['apiVersion']} {manifest['kind']} {one.told}"
            yield "apiVersion", "outdated", told
        else:
            yield from _outdated_field(manifest, one)


def _outdated_field(manifest: Manifest, one: Replacement) -> Iterator[tuple[str, str, str]]:
    for path, value in _at(manifest, one.path):
        if not one.value or re.fullmatch(one.value, str(value)):
            yield path, "outdated", f"{value!r} {one.told}" if one.value else one.told


def _outdated_series(
    manifest: Manifest, replacements: Sequence[Replacement]
) -> Iterator[tuple[str, str, str]]:
    """Series that nobody exports any more, in alerts, scalers and dashboards."""
    queries = queries_of([manifest])
    for one in replacements if queries else ():
        gone = re.compile(
            rf"(?<![\w:]){re.escape(one.metric)}(?:_bucket|_sum|_count|_total)?(?![\w:])"
        )
        for query in queries:
            if one.metric and gone.search(query.expression):
                told = f"{one.metric} has gone ({one.since}): use {one.instead}"
                yield query.where, "outdated", told


def _at(value: Any, steps: Sequence[str], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every place that a path with `*` leads to."""
    if not steps:
        yield path, value
        return
    step, rest = steps[0], steps[1:]
    if step == "*" and isinstance(value, list):
        for place, item in enumerate(cast("list[Any]", value)):
            yield from _at(item, rest, f"{path}[{place}]")
    elif isinstance(value, Mapping):
        inner = cast("Mapping[str, Any]", value)
        for name in list(inner) if step == "*" else [step] if step in inner else []:
            yield from _at(inner[name], rest, f"{path}.{name}".removeprefix("."))


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a value, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, inner in cast("Mapping[str, Any]", value).items():
            yield from _texts(inner, f"{path}.{name}".removeprefix("."))
    elif isinstance(value, list):
        for place, inner in enumerate(cast("list[Any]", value)):
            yield from _texts(inner, f"{path}[{place}]")


def _containers(manifest: Manifest) -> Iterator[tuple[str, Mapping[str, Any]]]:
    pod = pod_of(manifest)
    if pod is None:
        return
    path, spec = pod
    for group in ("initContainers", "containers"):
        for container in _items(spec.get(group)):
            yield f"{path}.{group}[{container.get('name')}]", container


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _items(value: Any) -> list[Mapping[str, Any]]:
    return [_mapping(one) for one in cast("list[Any]", value or [])]
