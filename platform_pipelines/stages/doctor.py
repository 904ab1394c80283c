"""`doctor`: look at everything a run needs, and name the remedy of what is wrong."""

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata

from platform_pipelines.core.declaration import EmbedSpec
from platform_pipelines.core.releases import ReleaseEntry
from platform_pipelines.core.revision import Revision, alias_name
from platform_pipelines.errors import PlatformError
from platform_pipelines.settings import Settings
from platform_pipelines.stages import connect
from platform_pipelines.stages.live import live_entry, names
from platform_pipelines.stages.revisions import read_revision

LOW_DISK_BYTES = 2 * 1024**3
PACKAGES = ("dagster", "pymilvus", "milvus-lite", "obstore", "openvino", "pyarrow", "ragas")


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
        ("versions", _versions),
        ("disk", _disk),
        ("store", _store),
        ("model", _model),
        ("milvus", _milvus),
        ("language model", _language_model),
        ("knowledge bases", _knowledge_bases),
    ]
    for part, look in looks:
        try:
            yield from look(settings)
        except PlatformError as error:
            yield Finding(part, Health.BROKEN, error.what, error.remedy or str(error))


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
    folder = settings.home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    low = free < LOW_DISK_BYTES
    yield Finding(
        "disk",
        Health.WARNING if low else Health.OK,
        f"{free / 1024**3:.1f} GiB free at {folder}",
        "free some space, or set PLATFORM_HOME to another disk" if low else "",
    )


def _store(settings: Settings) -> Iterator[Finding]:
    store = connect.open_platform_store(settings)
    count = sum(len(batch) for batch in store.list_objects("knowledge"))
    yield Finding("store", Health.OK, f"{settings.store_url}: {count:,} objects")


def _model(settings: Settings) -> Iterator[Finding]:
    embed = EmbedSpec()
    counter = connect.counter_from_record(connect.model_record(settings, embed), embed)
    try:
        tokens = counter.count(["무엇을 검색합니까?"])[0]
    except PlatformError as error:
        yield Finding("model", Health.WARNING, error.what, error.remedy)
        return
    yield Finding(
        "model", Health.OK, f"{embed.model} in {settings.model_dir}, digests verified ({tokens})"
    )


def _milvus(settings: Settings) -> Iterator[Finding]:
    with connect.vectors_of(settings) as store:
        can = store.capabilities()
    where = settings.milvus_uri or f"embedded in {settings.milvus_dir}"
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
    yield Finding("language model", Health.OK, f"{model.model} at {model.url}")


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
                yield _alias(name, vectors.alias(alias_name(name)), entry, revision)
            except PlatformError as error:
                yield Finding(name, Health.BROKEN, error.what, error.remedy or str(error))


def _alias(name: str, points_to: str | None, entry: ReleaseEntry, revision: Revision) -> Finding:
    if points_to != entry.collection:
        return Finding(
            name,
            Health.BROKEN,
            f"the alias points to {points_to}, the log released {entry.collection}",
            f"run `dg launch --job {name}_refresh`: it points the alias right, or builds it again",
        )
    seen = f"release {entry.sequence}, revision {entry.revision[:12]}, {revision.rows:,} chunks"
    return Finding(name, Health.OK, seen)
