"""`doctor`: look at everything a run needs, and name the remedy of what is wrong."""

import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from platform_pipelines.compute.limits import memory_is_bounded
from platform_pipelines.core.knowledge_base.embed_declaration import EmbedSpec
from platform_pipelines.core.knowledge_base.revision import EmbedRecipe, Revision, alias_name
from platform_pipelines.core.road.ownership import store_address
from platform_pipelines.core.road.releases import ReleaseEntry
from platform_pipelines.errors import ConflictError, IntegrityError, PlatformError, hide_user
from platform_pipelines.gateways.language_model import Message
from platform_pipelines.gateways.network import policy
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.settings import Settings
from platform_pipelines.stages.knowledge_base import connect
from platform_pipelines.stages.knowledge_base.live import live_entry, names
from platform_pipelines.stages.knowledge_base.revisions import read_revision
from platform_pipelines.stages.road import connect as road
from platform_pipelines.stages.road.ownership import known_identity

LOW_DISK_BYTES = 2 * 1024**3
_UNSET_LANGUAGE_MODEL = (
    "start it, or unset PLATFORM_LANGUAGE_MODEL_URL and PLATFORM_LANGUAGE_MODEL: "
    "answers are quoted then"
)
PACKAGES = ("dagster", "pymilvus", "milvus-lite", "obstore", "openvino", "pyarrow")


class Health(StrEnum):
    """How a part is."""

    OK = "ok"
    WARNING = "warning"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """One part: what was seen, and what to do about it."""

    part: str
    health: Health
    seen: str
    remedy: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Every part in turn; a broken one does not hide the others."""
    looks: list[tuple[str, Callable[[Settings], Iterator[Finding]]]] = [
        ("configuration", _configuration),
        ("network", _network),
        ("versions", _versions),
        ("disk", _disk),
        ("memory budgets", _memory),
        ("store", _store),
        ("store identity", _identity),
        ("model", _model),
        ("milvus", _milvus),
        ("language model", _language_model),
        ("knowledge bases", _knowledge_bases),
    ]
    for part, look in looks:
        try:
            yield from look(settings)
        except PlatformError as error:
            yield Finding(part, Health.BROKEN, _seen(error), error.remedy or str(error))


def _seen(error: PlatformError) -> str:
    return f"{error.what} ({error.where})" if error.where else error.what


def provision(settings: Settings, progress: connect.Progress) -> None:
    """Make the local model's files if they are not there or not whole.

    Raises:
        ModelFileError, StorageFullError: they cannot be made here.
    """
    connect.ensure_model(settings, EmbedSpec(), progress)


def _configuration(settings: Settings) -> Iterator[Finding]:
    """What is in force; a setting that is wrong has stopped the program before."""
    milvus = hide_user(settings.milvus_uri or "embedded")
    seen = (
        f"home {settings.home}, store {hide_user(settings.store_url)}, Milvus {milvus}, "
        f"{settings.workers} workers, actor {settings.actor}"
    )
    yield Finding("configuration", Health.OK, seen)


def _network(settings: Settings) -> Iterator[Finding]:
    """Whom connections trust, by which proxy they go, and where keys and readers may go."""
    hosts = ", ".join(settings.key_hosts) or "the hosts that are declared"
    sources = ", ".join(settings.sources) or "anywhere"
    yield Finding("network", Health.OK, f"{policy()}; API keys to {hosts}; sources {sources}")


def _versions(settings: Settings) -> Iterator[Finding]:
    del settings
    python = ".".join(map(str, sys.version_info[:3]))
    found = [f"python {python}"]
    missing: list[str] = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    health = Health.WARNING if missing else Health.OK
    remedy = f"install {', '.join(missing)} (requirements/runtime.txt)" if missing else ""
    yield Finding("versions", health, ", ".join(found), remedy)


def _disk(settings: Settings) -> Iterator[Finding]:
    home = _nearest(settings.home)
    yield _room("disk", home, "PLATFORM_HOME")
    url = urlsplit(settings.store_url)
    store = _nearest(Path(unquote(url.path))) if url.scheme == "file" else home
    if store.stat().st_dev != home.stat().st_dev:
        yield _room("disk of the store", store, "PLATFORM_STORE_URL")


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    while not folder.is_dir():
        folder = folder.parent
    return folder


def _room(part: str, folder: Path, variable: str) -> Finding:
    free = shutil.disk_usage(folder).free
    seen = f"{free / 1024**3:.1f} GiB free at {folder}"
    if not os.access(folder, os.W_OK | os.X_OK):
        remedy = f"set {variable} to a folder that this user may write"
        return Finding(part, Health.BROKEN, f"{seen}, which this user may not write", remedy)
    if free < LOW_DISK_BYTES:
        remedy = f"free some space, or set {variable} to another disk"
        return Finding(part, Health.WARNING, seen, remedy)
    return Finding(part, Health.OK, seen)


def _memory(settings: Settings) -> Iterator[Finding]:
    del settings
    if memory_is_bounded():
        yield Finding("memory budgets", Health.OK, "enforced: a worker that exceeds its is ended")
        return
    seen = "not enforced: this system does not tell how much memory a process uses"
    remedy = "refresh on Linux, or lower parse.max_document_mb; time budgets hold here too"
    yield Finding("memory budgets", Health.WARNING, seen, remedy)


def _store(settings: Settings) -> Iterator[Finding]:
    url = hide_user(settings.store_url)
    try:
        store = road.open_platform_store(settings)
        count = sum(len(batch) for batch in store.list_objects("knowledge"))
        _try_writing(store)
    except PlatformError as error:
        remedy = error.remedy or "give this user, or this key, the right to write and delete there"
        yield Finding("store", Health.BROKEN, f"{url}: {error.what}", remedy)
        return
    seen = f"{url}: {count:,} objects; readable, writable, compares and swaps"
    yield Finding("store", Health.OK, seen)


def _identity(settings: Settings) -> Iterator[Finding]:
    """Whose collections this store's runs may touch."""
    found = known_identity(settings)
    if found is None:
        yield Finding("store identity", Health.OK, "none yet: the first run makes it")
        return
    found.require_at(store_address(hide_user(settings.store_url)))
    copied = f", a copy of {found.copy_of}" if found.copy_of else ""
    yield Finding("store identity", Health.OK, f"owner {found.owner}{copied}, of {found.url}")


def _try_writing(store: ObjectStore) -> None:
    """Do what a lease, a head and the release log need, on an object of its own.

    Raises:
        IntegrityError: a write that had to be refused was not: two runs would overwrite each other.
    """
    key, first, second = f"doctor/{uuid.uuid4().hex}", b"first", b"second"
    try:
        version = store.put(key, first, if_absent=True)
        store.put(key, second, if_version=version)
        _must_conflict(store, key, if_absent=True)
        _must_conflict(store, key, if_version=version)
        if store.get(key)[0] != second:
            raise IntegrityError("the store does not give back what was written")
    finally:
        store.delete([key])


def _must_conflict(
    store: ObjectStore, key: str, *, if_absent: bool = False, if_version: str | None = None
) -> None:
    try:
        store.put(key, b"too late", if_absent=if_absent, if_version=if_version)
    except ConflictError:
        return
    raise IntegrityError(
        "the store does not compare and swap",
        where=store.url,
        remedy="use a store that honours If-Match and If-None-Match on writes",
    )


def _model(settings: Settings) -> Iterator[Finding]:
    from platform_pipelines.gateways.e5.model_files import load_model_files

    embed = EmbedSpec()
    try:
        load_model_files(settings.model_dir)
        counter = connect.counter_from_record(connect.model_record(settings, embed), embed)
        counter.count(["무엇을 검색합니까?"])
    except PlatformError as error:
        remedy = "run `platform-pipelines doctor --provision`; the first refresh does it, too"
        yield Finding("model", Health.WARNING, f"{error.what} ({settings.model_dir})", remedy)
        return
    seen = f"{embed.model} in {settings.model_dir}, all digests verified"
    yield Finding("model", Health.OK, seen)


def _milvus(settings: Settings) -> Iterator[Finding]:
    with connect.vectors_of(settings) as store:
        can = store.capabilities()
    uri = settings.milvus_uri
    where = hide_user(uri) if uri else f"embedded in {settings.milvus_dir}"
    seen = f"{can.product} {can.version} ({where}): {', '.join(can.index_kinds)}"
    if can.keyword_search:
        yield Finding("milvus", Health.OK, f"{seen}; BM25")
        return
    remedy = "nothing, or Milvus 2.5 or later for keywords beside the vectors"
    yield Finding("milvus", Health.WARNING, f"{seen}; no BM25", remedy)


def _language_model(settings: Settings) -> Iterator[Finding]:
    model = settings.language_model
    if model is None:
        yield Finding("language model", Health.OK, "none: answers are quoted from the documents")
        return
    seen = f"{model.model} at {hide_user(model.url)}"
    opened = connect.open_language_model(settings)
    assert opened is not None
    try:
        opened.complete([Message("user", "Reply with the word: ready")])
    except PlatformError as error:
        remedy = error.remedy or _UNSET_LANGUAGE_MODEL
        yield Finding("language model", Health.BROKEN, f"{seen}: {error.what}", remedy)
    else:
        yield Finding("language model", Health.OK, f"{seen}: it answers")
    finally:
        opened.close()


def _knowledge_bases(settings: Settings) -> Iterator[Finding]:
    found = names(settings)
    if not found:
        remedy = "run `make demo`, or `dg launch --job NAME_refresh`"
        yield Finding("knowledge bases", Health.WARNING, "nothing is released yet", remedy)
        return
    with connect.vectors_of(settings) as vectors:
        for name in found:
            try:
                store, entry = live_entry(settings, name)
                revision = read_revision(store, entry.revision)
                alias = alias_name(name, revision.recipe.prefix)
                yield _alias(name, vectors.alias(alias), entry, revision)
                yield from _embedding_server(name, settings, revision.recipe.embed)
            except PlatformError as error:
                yield Finding(name, Health.BROKEN, _seen(error), error.remedy or str(error))


def _embedding_server(name: str, settings: Settings, embed: EmbedRecipe) -> Iterator[Finding]:
    """Whether the server that embeds this knowledge base's questions answers."""
    if embed.provider != "openai":
        return
    embedder = connect.open_embedder(settings, embed, lambda _: None)
    try:
        vectors = embedder.embed_queries(["무엇을 검색합니까?"])
    finally:
        embedder.close()
    server = f"{embed.model} at {hide_user(embed.url or '')}"
    seen = f"its embedder {server} answers, {vectors.shape[1]} dimensions"
    yield Finding(name, Health.OK, seen)


def _alias(name: str, points_to: str | None, entry: ReleaseEntry, revision: Revision) -> Finding:
    if points_to != entry.target:
        return Finding(
            name,
            Health.BROKEN,
            f"the alias points to {points_to}, the log released {entry.target}",
            f"run `dg launch --job {name}_refresh`: it points the alias right, or builds it again",
        )
    seen = f"release {entry.sequence}, revision {entry.revision[:12]}, {revision.rows:,} chunks"
    return Finding(name, Health.OK, seen)
