"""Opening gateways from settings and declarations: the one place that knows which adapter is which.

Records are the same as JSON, for worker processes: they travel over an inherited pipe, never on a
command line, and are not logged.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_pipelines.core.road.identity import digest_parts
from platform_pipelines.errors import keep_secret
from platform_pipelines.gateways.network import sendable
from platform_pipelines.gateways.object_store import ObjectStore
from platform_pipelines.stages.road import connect as road
from platform_pipelines.stages.road.access import key_for, plain
from platform_pipelines.stages.road.connect import Progress

if TYPE_CHECKING:  # imported where they are opened: a worker that parses needs none of them
    from platform_pipelines.core.knowledge_base.embed_declaration import EmbedSpec
    from platform_pipelines.core.knowledge_base.revision import AnswerRecipe, EmbedRecipe
    from platform_pipelines.gateways.embedder import Embedder, TokenCounter
    from platform_pipelines.gateways.language_model import LanguageModel
    from platform_pipelines.gateways.vector_store import VectorStore
    from platform_pipelines.settings import Secret, Settings

    Embed = EmbedSpec | EmbedRecipe

MILVUS_SECONDS = 60.0
LOCAL_MILVUS_IDLE_SECONDS = 60.0
EMBEDDER_SECONDS = 120.0
EMBEDDER_ATTEMPTS = 6
LANGUAGE_MODEL_ATTEMPTS = 4
LANGUAGE_MODEL_CONNECTIONS = 16

FOLDER = "knowledge"  # of the platform's store


def open_source(settings: "Settings", url: str) -> ObjectStore:
    """A source of documents: a missing folder is an error, not an empty corpus."""
    return road.open_source(settings, url)


def open_knowledge_store(settings: "Settings", name: str) -> ObjectStore:
    """Where a knowledge base keeps what it made."""
    return road.open_component_store(settings, FOLDER, name)


@contextmanager
def vectors_of(settings: "Settings") -> "Iterator[VectorStore]":
    """The vector store: the server of the settings, or the embedded one, started when needed."""
    if settings.gateways.vector_store is not None:
        yield settings.gateways.vector_store
        return
    from platform_pipelines.gateways.milvus.local_server import LocalMilvus
    from platform_pipelines.gateways.milvus.store import MilvusStore

    local = LocalMilvus(
        settings.milvus_dir,
        idle_seconds=LOCAL_MILVUS_IDLE_SECONDS,
        environment=settings.parser_environment,
    )
    embedded = settings.milvus_uri is None
    store = MilvusStore(
        uri=local.uri if settings.milvus_uri is None else settings.milvus_uri,
        token=plain(settings.milvus_token),
        timeout_seconds=MILVUS_SECONDS,
        gpu=settings.milvus_gpu,
        on_close=local.close if embedded else None,
    )
    try:
        yield store
    finally:
        store.close()


def task_model(access: Mapping[str, Any], embed: "Embed") -> Mapping[str, Any]:
    """As `model_record`, by the access of a task; all its processors are the embedder's."""
    url, key = access.get("embedder_url"), None
    if embed.provider == "openai":
        key = sendable(access["embedder_api_key"], url or embed.url or "", access["key_hosts"])
    return {
        "model_dir": access["model_dir"],
        "api_key": key,
        "threads": access["workers"],
        "url": url,
    }


def model_record(settings: "Settings", embed: "Embed") -> Mapping[str, object]:
    """What a worker needs beside the declaration to count tokens and to embed."""
    key = None
    if embed.provider == "openai":
        key = key_for(settings, embed.url or "", settings.embedder_api_key)
    return {"model_dir": str(settings.model_dir), "api_key": key, "threads": 1}


def open_embedder(settings: "Settings", embed: "Embed", progress: Progress) -> "Embedder":
    """The declared embedder, its files made when they are not there yet.

    Raises:
        ModelFileError, StorageFullError: the model's files cannot be made.
        ConfigurationError: the server refuses the key or does not know the model.
    """
    ensure_model(settings, embed, progress)
    record = {**model_record(settings, embed), "threads": settings.workers}
    return embedder_from_record(record, embed)


def ensure_model(settings: "Settings", embed: "Embed", progress: Progress) -> None:
    """Make the local model's files once; a verified set is left as it is."""
    if embed.provider == "local":
        make_model(settings.model_dir, progress)


def make_model(model_dir: Path, progress: Progress) -> None:
    """As `ensure_model`, in a task: its machine may be another one than the stage's."""
    from platform_pipelines.gateways.e5.provisioning import provision

    provision(model_dir, progress=progress)


def embedder_from_record(record: Mapping[str, Any], embed: "Embed") -> "Embedder":
    """The declared embedder in a worker; its model files are there already."""
    keep_secret(record.get("api_key"))
    if embed.provider == "local":
        from platform_pipelines.gateways.e5.embedder import E5Embedder

        return E5Embedder(Path(record["model_dir"]), threads=record["threads"], batch=2)
    if embed.provider == "hash":
        from platform_pipelines.gateways.hash_embedder import HashEmbedder

        return HashEmbedder(dimension=embed.dimension or 384)
    return _http_embedder(record, embed)


def counter_from_record(record: Mapping[str, Any], embed: "Embed") -> "TokenCounter":
    """The declared embedder's token counter, without the model where that is possible."""
    if embed.provider == "local":
        from platform_pipelines.gateways.e5.tokenizer import E5TokenCounter

        return E5TokenCounter(Path(record["model_dir"]))
    return embedder_from_record(record, embed).token_counter()


def embedder_identity(settings: "Settings", embed: "Embed") -> str:
    """Digest of everything that decides the vectors; the model is not loaded for it."""
    return embedder_from_record(model_record(settings, embed), embed).digest


def embedder_facts(settings: "Settings", embed: "Embed") -> tuple[int, str]:
    """The embedder's dimension and name; the model is not loaded for it."""
    embedder = embedder_from_record(model_record(settings, embed), embed)
    return embedder.dimension, embedder.name


def tokenizer_identity(settings: "Settings", embed: "Embed") -> str:
    """Digest of everything that decides how tokens are counted."""
    embedder = embedder_from_record(model_record(settings, embed), embed)
    return digest_parts(embedder.digest, str(embedder.window_tokens), embed.tokenizer)


def open_language_model(
    settings: "Settings", recipe: "AnswerRecipe | None" = None
) -> "LanguageModel | None":
    """Who words answers, or None: they are quoted then.

    A declared chain says itself; where none is declared it is the settings' model.
    """
    if settings.gateways.language_model is not None:
        return settings.gateways.language_model
    from platform_pipelines.gateways.language_model import FallbackModels

    if recipe is not None:
        key = settings.language_model_api_key
        models = [_language_model(settings, m.url, m.model, key, recipe) for m in recipe.models]
        return FallbackModels(models) if models else None
    configured = settings.language_model
    if configured is None:
        return None
    return _language_model(settings, configured.url, configured.model, configured.api_key, None)


def _language_model(
    settings: "Settings", url: str, name: str, key: "Secret | None", recipe: "AnswerRecipe | None"
) -> "LanguageModel":
    from platform_pipelines.gateways.embedding_http import Endpoint, JsonClient
    from platform_pipelines.gateways.language_model import HttpLanguageModel
    from platform_pipelines.gateways.tiered_model import TieredModel
    from platform_pipelines.stages.road.tiers import live_choice

    endpoint = Endpoint(
        url=url,
        api_key=key_for(settings, url, key),
        timeout_seconds=settings.language_model_seconds,
        max_attempts=LANGUAGE_MODEL_ATTEMPTS,
        connections=LANGUAGE_MODEL_CONNECTIONS,
    )
    client = JsonClient(endpoint)
    model = HttpLanguageModel(client, name)
    if recipe is not None:
        model = HttpLanguageModel(client, name, recipe.temperature, recipe.max_tokens)
    return TieredModel(model, partial(live_choice, settings, name))


def _http_embedder(record: Mapping[str, Any], embed: "Embed") -> "Embedder":
    from platform_pipelines.gateways.http_embedder import HttpEmbedder

    assert embed.url is not None
    assert embed.dimension is not None
    assert embed.window_tokens is not None
    return HttpEmbedder(
        url=record.get("url") or embed.url,
        model=embed.model,
        dimension=embed.dimension,
        window_tokens=embed.window_tokens,
        api_key=record["api_key"],
        batch=embed.batch,
        concurrency=embed.concurrency,
        timeout_seconds=EMBEDDER_SECONDS,
        max_attempts=EMBEDDER_ATTEMPTS,
        query_prefix=embed.query_prefix,
        passage_prefix=embed.passage_prefix,
        tokenizer="server" if embed.tokenizer == "server" else Path(embed.tokenizer),
        revision=embed.revision,
    )
