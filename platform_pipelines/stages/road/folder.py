"""A revision as a folder of YAML files, one an object, for Argo CD or Flux to apply."""

from pathlib import Path

from platform_pipelines.core.road.manifests import ManifestRevision, key_of
from platform_pipelines.errors import ConfigurationError

MARK = ".platform-pipelines"


def write_folder(folder: str, name: str, revision: ManifestRevision) -> Path:
    """Write the files of a component below `folder/name`; files of an earlier revision go.

    Each file is replaced whole. A folder with files that are not ours is refused.

    Raises:
        ConfigurationError: there is no folder declared, or it holds what we did not write.
    """
    import yaml

    if not folder:
        raise ConfigurationError(
            "mode `folder` needs a folder", where=f"apply.folder of {name}", expected="a path"
        )
    place = Path(folder).expanduser() / name
    place.mkdir(parents=True, exist_ok=True)
    mark = place / MARK
    if not mark.exists() and any(place.iterdir()):
        raise ConfigurationError(
            "the folder holds files that we did not write",
            where=str(place),
            expected=f"an empty folder, or one with {MARK}",
            remedy="declare another folder",
        )
    mark.write_text(revision.digest + "\n", encoding="utf-8")
    written: set[str] = set()
    for number, manifest in enumerate(revision.stamped):
        key = key_of(manifest)
        file = f"{number:03d}-{key.kind.lower()}-{key.namespace or 'cluster'}-{key.name}.yaml"
        fresh = place / f"{file}.new"
        fresh.write_text(yaml.safe_dump(dict(manifest), sort_keys=False), encoding="utf-8")
        fresh.replace(place / file)
        written.add(file)
    for old in place.glob("*.yaml*"):
        if old.name not in written:
            old.unlink()
    return place
