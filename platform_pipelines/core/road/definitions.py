"""Objects against the definitions in use: versions that are served, fields that exist, values.

A structural check by the OpenAPI schema of a CustomResourceDefinition. What only a server can say
(CEL rules, defaults, webhooks) the strict dry run says.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from platform_pipelines.core.road.manifests import Manifest

Schema: TypeAlias = Mapping[str, Any]
Found: TypeAlias = Iterator[tuple[str, str]]  # a field, and what is wrong with it
_OWN = ("apiVersion", "kind", "metadata")


@dataclass(frozen=True, slots=True)
class DefinedVersion:
    """One version of a kind. `warning` is what the definition says of a deprecated one."""

    name: str
    is_served: bool
    warning: str
    schema: Schema


@dataclass(frozen=True, slots=True)
class Definition:
    """A kind of a group, with all its versions."""

    group: str
    kind: str
    versions: tuple[DefinedVersion, ...]

    @property
    def newest(self) -> str:
        """A version that is served and not deprecated; the storage version stands last."""
        good = [one.name for one in self.versions if one.is_served and not one.warning]
        return good[-1] if good else "none"


def definition_of(manifest: Manifest) -> Definition | None:
    """Of a CustomResourceDefinition; None for anything else."""
    if manifest.get("kind") != "CustomResourceDefinition":
        return None
    spec = manifest["spec"]
    ordered = sorted(spec["versions"], key=lambda one: bool(one.get("storage")))
    versions = tuple(
        DefinedVersion(
            one["name"],
            bool(one.get("served")),
            one.get("deprecationWarning", "deprecated") if one.get("deprecated") else "",
            one.get("schema", {}).get("openAPIV3Schema", {}),
        )
        for one in ordered
    )
    return Definition(spec["group"], spec["names"]["kind"], versions)


def problems_by_definition(manifest: Manifest, definitions: Sequence[Definition]) -> Found:
    """What is wrong with an object; nothing of a kind that nobody defines here."""
    group, _, version = str(manifest.get("apiVersion", "")).rpartition("/")
    kind = manifest.get("kind")
    of_group = [one for one in definitions if one.group == group]
    if not of_group:
        return
    defined = next((one for one in of_group if one.kind == kind), None)
    if defined is None:
        kinds = ", ".join(sorted(one.kind for one in of_group))
        yield "kind", f"{group} has no {kind}: it has {kinds}"
        return
    found = next((one for one in defined.versions if one.name == version), None)
    if found is None or not found.is_served:
        yield "apiVersion", f"{group}/{version} is not served: use {group}/{defined.newest}"
        return
    if found.warning:
        yield "apiVersion", f"{found.warning}: use {group}/{defined.newest}"
    for name, value in manifest.items():
        if name not in _OWN:
            inner = found.schema.get("properties", {}).get(name)
            if inner is None:
                yield name, "no such field"
            else:
                yield from _problems(value, inner, name)


def _problems(value: Any, schema: Schema, path: str) -> Found:
    if schema.get("x-kubernetes-int-or-string"):
        if not isinstance(value, str | int) or isinstance(value, bool):
            yield path, f"{value!r} is no integer and no text"
        return
    kind = str(schema.get("type", ""))
    if value is None and schema.get("nullable"):
        return
    if kind in _TYPES and not _TYPES[kind](value):
        yield path, f"{value!r} is no {kind}"
        return
    yield from _values(value, schema, path)
    if kind == "object":
        yield from _object(cast("Mapping[str, Any]", value), schema, path)
    elif kind == "array":
        for place, item in enumerate(cast("list[Any]", value)):
            yield from _problems(item, schema.get("items", {}), f"{path}[{place}]")


def _object(value: Mapping[str, Any], schema: Schema, path: str) -> Found:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    more: Any = schema.get("additionalProperties")
    is_open = bool(schema.get("x-kubernetes-preserve-unknown-fields") or more is True)
    for name, inner in value.items():
        at = f"{path}.{name}"
        if name in properties:
            yield from _problems(inner, properties[name], at)
        elif isinstance(more, Mapping):
            yield from _problems(inner, cast("Schema", more), at)
        elif not is_open:
            yield at, f"no such field; it has {', '.join(sorted(properties)) or 'none'}"
    for name in schema.get("required", ()):
        if name not in value and "default" not in properties.get(name, {}):
            yield f"{path}.{name}", "is missing"


def _values(value: Any, schema: Schema, path: str) -> Found:
    allowed = schema.get("enum")
    if allowed is not None and value not in allowed:
        yield path, f"{value!r} is not allowed: {', '.join(map(str, allowed))}"
    pattern = schema.get("pattern")
    if pattern and isinstance(value, str) and not _matches(pattern, value):
        yield path, f"{value!r} does not match {pattern}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = schema.get("minimum"), schema.get("maximum")
        if (low is not None and value < low) or (high is not None and value > high):
            yield path, f"{value} is not between {low} and {high}"


def _matches(pattern: str, value: str) -> bool:
    """Go's patterns that Python does not read say nothing here; the server does."""
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return True


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": _is_number,
}
