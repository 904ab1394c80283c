"""The doctor for drift of APIs: rendered objects against what is in use, with what to use instead.

What is in use lies in one folder (`PLATFORM_DEFINITIONS`): definitions as YAML, anywhere below;
`flags/IMAGE.txt`, the help of a program whose image has that name; `series/*.txt`, metrics pages.
What is known to have gone is a table; both are data, so that a new release needs no new code.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from platform_pipelines.core.road.definitions import (
    Definition,
    definition_of,
    problems_by_definition,
)
from platform_pipelines.core.road.manifest_policies import Violation, violations
from platform_pipelines.core.road.manifests import (
    ManifestRevision,
    key_of,
    revision_from_json,
)
from platform_pipelines.core.road.programs import (
    flags_in,
    series_on,
    unknown_flags,
    unknown_series,
)
from platform_pipelines.errors import ConfigurationError, EvidenceError
from platform_pipelines.settings import Settings
from platform_pipelines.stages.road.api_replacements import known_replacements
from platform_pipelines.stages.road.connect import open_component_store
from platform_pipelines.stages.road.workspace import read_head

DEFINED, FLAG, SERIES = "definition", "flag", "series"
_HEAD = "manifests"


@dataclass(frozen=True, slots=True)
class InUse:
    """What is in use here: definitions, the flags of programs by image, the series of servers."""

    definitions: tuple[Definition, ...] = ()
    flags: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    series: frozenset[str] = frozenset()


def api_drift(revision: ManifestRevision, in_use: InUse) -> tuple[Violation, ...]:
    """Everything in a revision that breaks a rule or is not what is in use."""
    found = list(violations(revision, known_replacements()))
    found.extend(_drift(revision, in_use))
    return tuple(found)


@cache
def read_in_use(folder: Path) -> InUse:
    """What a folder says is in use.

    Raises:
        ConfigurationError: there is no such folder, or a file in it is no YAML.
    """
    if not folder.is_dir():
        raise ConfigurationError(
            "there is no such folder of definitions",
            where="PLATFORM_DEFINITIONS",
            stored=str(folder),
            remedy="put there what `kubectl get crds -o yaml` says, or unset it",
        )
    found = [one for path in sorted(folder.rglob("*.yaml")) for one in _definitions(path)]
    flags = {p.stem: flags_in(p.read_text("utf-8")) for p in sorted(folder.glob("flags/*.txt"))}
    pages = [series_on(p.read_text("utf-8")) for p in sorted(folder.glob("series/*.txt"))]
    return InUse(tuple(found), flags, frozenset[str]().union(*pages))


def _definitions(path: Path) -> Iterator[Definition]:
    import yaml

    kind: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it is
    loader = type("Loader", (kind,), {})
    # An enumeration of operators has a bare `=`, which YAML 1.1 has a type for.
    loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: node.value)
    try:
        for one in yaml.load_all(path.read_text("utf-8"), Loader=loader):
            items = one.get("items", [one]) if isinstance(one, dict) else []
            yield from (found for found in map(definition_of, items) if found is not None)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"no YAML: {error}", where=str(path)) from error


def in_use_here(settings: Settings) -> InUse:
    """What the settings name; nothing where they name nothing."""
    return read_in_use(settings.definitions) if settings.definitions else InUse()


def rendered_revision(settings: Settings, named: str) -> ManifestRevision:
    """What a component rendered last; `named` is KIND/NAME, e.g. `model_catalogue/models`.

    Raises:
        EvidenceError: it has rendered nothing yet.
    """
    kind, _, name = named.partition("/")
    store = open_component_store(settings, kind, name)
    head = read_head(store, _HEAD)
    if head is None:
        raise EvidenceError(
            "a component has rendered nothing yet",
            where=named,
            remedy=f"run the job {name}_apply, or correct the name",
        )
    key = f"{_HEAD}/{head.details['revision']}.json"
    return revision_from_json(store.get(key)[0], where=f"{store.url}/{key}")


def _drift(revision: ManifestRevision, in_use: InUse) -> Iterator[Violation]:
    for manifest in revision.manifests:
        key = key_of(manifest)
        for path, told in problems_by_definition(manifest, in_use.definitions):
            yield Violation(key, path, DEFINED, told)
        for image, known in in_use.flags.items():
            for path, told in unknown_flags(manifest, image, known):
                yield Violation(key, path, FLAG, told)
        for path, told in unknown_series([manifest], in_use.series):
            yield Violation(key, path, SERIES, told)
