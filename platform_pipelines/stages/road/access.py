"""What a task needs of the settings of the process that runs it: never part of a task itself.

A task names stores by their URL and nothing else. Whoever runs it, a pool here or one pod of a Job,
hands over what its own settings say: over the inherited channel, never on a command line.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platform_pipelines.errors import keep_secret
from platform_pipelines.gateways.network import sendable
from platform_pipelines.gateways.object_store import ObjectStore, StoreOptions
from platform_pipelines.gateways.obstore_store import open_store

if TYPE_CHECKING:
    from platform_pipelines.settings import Secret, Settings


def access_record(settings: "Settings") -> dict[str, Any]:
    """The access that tasks of this process have, as JSON. It holds secrets: do not log it."""
    return {
        "root": settings.store_url,
        "store": store_options(settings),
        "model_dir": str(settings.model_dir),
        "embedder_api_key": plain(settings.embedder_api_key),
        "language_model_api_key": plain(settings.language_model_api_key),
        "key_hosts": settings.key_hosts,
        "embedder_url": settings.embedder_url,
        "workers": settings.workers,  # processors that one task may keep busy
        "keeps_open": False,  # whether what a task opened stays open for the next one
        "milvus": {
            "uri": settings.milvus_uri,
            "token": plain(settings.milvus_token),
            "gpu": settings.milvus_gpu,
            "directory": str(settings.milvus_dir),
        },
        "parser_environment": settings.parser_environment,
        "home": str(settings.home),
        "environments_dir": str(settings.environments_dir) if settings.environments_dir else None,
        "language_model": _language_model(settings),
        "judge_api_key": plain(settings.judge_api_key),
    }


def settings_of(access: Mapping[str, Any]) -> "Settings":
    """The settings again, as far as they are in the access of a task: of stores, models and keys.

    For a task that answers as the platform does: it opens the same gateways by the same code.
    """
    from platform_pipelines.settings import LanguageModelSettings, S3Settings, Secret, Settings

    def secret(value: str | None) -> Secret | None:
        return Secret(value) if value else None

    s3, words, environments = access["store"], access["language_model"], access["environments_dir"]
    keys = {name: secret(s3[name]) for name in ("access_key", "secret_key", "session_token")}
    chosen = words["url"] and LanguageModelSettings(words["url"], words["model"])
    return Settings(
        home=Path(access["home"]),
        store_url=access["root"],
        model_dir=Path(access["model_dir"]),
        environments_dir=Path(environments) if environments else None,
        milvus_uri=access["milvus"]["uri"],
        milvus_token=secret(access["milvus"]["token"]),
        milvus_gpu=access["milvus"]["gpu"],
        s3=S3Settings(s3["endpoint"], s3["region"], s3["path_style"], **keys),
        embedder_api_key=secret(access["embedder_api_key"]),
        embedder_url=access["embedder_url"],
        language_model=chosen and replace(chosen, api_key=secret(words["api_key"])),
        language_model_api_key=secret(words["declared_api_key"]),
        language_model_seconds=words["seconds"],
        judge_api_key=secret(access["judge_api_key"]),
        key_hosts=tuple(access["key_hosts"]),
        workers=access["workers"],
    )


def _language_model(settings: "Settings") -> dict[str, Any]:
    words = settings.language_model
    return {
        "url": words.url if words else None,
        "model": words.model if words else None,
        "api_key": plain(words.api_key) if words else None,
        "declared_api_key": plain(settings.language_model_api_key),
        "seconds": settings.language_model_seconds,
    }


def open_named(access: Mapping[str, Any], url: str, *, create: bool = False) -> ObjectStore:
    """The store of that URL, by the access of this process.

    Raises:
        ConfigurationError: the URL is wrong.
    """
    options = StoreOptions(**access["store"])
    for secret in (options.access_key, options.secret_key, options.session_token):
        keep_secret(secret)
    return open_store(url, options=options, create=create)


def store_options(settings: "Settings") -> dict[str, Any]:
    """How `s3://` is reached, as JSON."""
    s3 = settings.s3
    return {
        "endpoint": s3.endpoint,
        "region": s3.region,
        "path_style": s3.path_style,
        "access_key": plain(s3.access_key),
        "secret_key": plain(s3.secret_key),
        "session_token": plain(s3.session_token),
    }


def key_for(settings: "Settings", url: str, secret: "Secret | None") -> str | None:
    """The key that is sent to that address.

    Raises:
        ConfigurationError: PLATFORM_API_KEY_HOSTS does not name its host.
    """
    return sendable(plain(secret), url, settings.key_hosts)


def plain(secret: "Secret | None") -> str | None:
    """The value of a secret."""
    return secret.value if secret else None
