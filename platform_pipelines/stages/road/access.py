"""What a task needs of the settings of the process that runs it: never part of a task itself.

A task names stores by their URL and nothing else. Whoever runs it, a pool here or one pod of a Job,
hands over what its own settings say: over the inherited channel, never on a command line.
"""

from collections.abc import Mapping
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
