"""Models as files: published once under their digest, fetched and verified before they are served.

On the store, `FILES.json` (name -> SHA-256) is written last: a model without it is not there. On a
machine the same file says that a folder is whole.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from platform_pipelines.core.road.served_model import ModelRef, files_digest
from platform_pipelines.errors import IntegrityError
from platform_pipelines.gateways.base_weights import FILES, verified_files, write_files_list
from platform_pipelines.gateways.object_store import ObjectStore

_BLOCK_BYTES = 8 << 20


def publish_files(store: ObjectStore, prefix: str, folder: Path, files: Mapping[str, str]) -> None:
    """Put files below a prefix of the store, their list last; nothing when it is there."""
    if store.exists(f"{prefix}/{FILES}"):
        return
    for name in sorted(files):
        with (folder / name).open("rb") as source, store.open_writer(f"{prefix}/{name}") as target:
            shutil.copyfileobj(source, target, _BLOCK_BYTES)
    store.put(f"{prefix}/{FILES}", json.dumps(dict(files), sort_keys=True).encode())


def fetch_files(store: ObjectStore, prefix: str, folder: Path) -> dict[str, str]:
    """The files of a prefix in a folder of this machine, each verified; name -> SHA-256.

    Raises:
        SourceNotFoundError: there is no such prefix, or it is not whole.
        ModelFileError: a file is not what its list says.
    """
    if not (folder / FILES).exists():
        listed: dict[str, str] = json.loads(store.get(f"{prefix}/{FILES}")[0])
        unfinished = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for name in listed:
            target = unfinished / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with store.open_reader(f"{prefix}/{name}") as source, target.open("wb") as file:
                shutil.copyfileobj(source, file, _BLOCK_BYTES)
        write_files_list(unfinished, listed)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    return verified_files(folder)


def publish_model(store: ObjectStore, folder: Path, files: Mapping[str, str]) -> ModelRef:
    """A model on the store of models, under the digest of its files."""
    digest = files_digest(files)
    publish_files(store, digest, folder, files)
    return ModelRef(digest, f"{store.url}/{digest}")


def local_model(
    store: ObjectStore, cache: Path, model: ModelRef, progress: Callable[[str], None]
) -> Path:
    """The folder of a model's files on this machine, verified by its digest.

    Raises:
        IntegrityError: what the store holds under this digest is another model.
    """
    folder = cache / model.digest
    if not folder.exists():
        progress(f"fetching model {model.short}")
    files = fetch_files(store, model.digest, folder)
    if files_digest(files) != model.digest:
        raise IntegrityError(
            "a model's files are not those of its digest",
            where=f"{store.url}/{model.digest}",
            stored=files_digest(files),
            expected=model.digest,
            remedy="delete the folder and build the model again; nothing was served of it",
        )
    return folder
