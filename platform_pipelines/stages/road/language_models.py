"""Opening a declared language model: any OpenAI-compatible server, or the gateway."""

from typing import TYPE_CHECKING

from platform_pipelines.stages.road.access import key_for

if TYPE_CHECKING:
    from platform_pipelines.gateways.language_model import HttpLanguageModel
    from platform_pipelines.settings import Settings


def open_served_model(
    settings: "Settings",
    url: str,
    model: str,
    *,
    temperature: float,
    max_tokens: int,
    attempts: int,
    connections: int,
) -> "HttpLanguageModel":
    """The client of a model, with the key that the settings have for declared models."""
    from platform_pipelines.gateways.embedding_http import Endpoint, JsonClient
    from platform_pipelines.gateways.language_model import HttpLanguageModel

    endpoint = Endpoint(
        url=url,
        api_key=key_for(settings, url, settings.language_model_api_key),
        timeout_seconds=settings.language_model_seconds,
        max_attempts=attempts,
        connections=connections,
    )
    return HttpLanguageModel(JsonClient(endpoint), model, temperature, max_tokens)
