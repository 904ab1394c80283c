"""Who asks the prompts, as declared: this run, Jobs of a cluster, or a provider's batches."""

import importlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from platform_pipelines.core.batch_inference.prompts import Prompt
from platform_pipelines.gateways.batch_provider import BedrockBatches, OpenAIBatches
from platform_pipelines.stages.batch_inference.asking import AskedBatch, Asker, kept_in
from platform_pipelines.stages.batch_inference.jobs import JobsAsker, Named
from platform_pipelines.stages.batch_inference.submissions import ProviderAsker
from platform_pipelines.stages.batch_inference.workspace import Workspace
from platform_pipelines.stages.road.connect import open_own_store
from platform_pipelines.stages.road.language_models import open_served_model


class PromptAsker(Protocol):
    """Asks batches of prompts; what has ended is stored by the caller, then forgotten here."""

    model: Any
    calls: int
    found: int

    def batches(self, batches: Sequence[Sequence[Prompt]]) -> Iterator[AskedBatch]:
        """Every batch, once each, as it ends."""
        ...

    def forget(self, keys: Sequence[str]) -> None:
        """These have their stored end."""
        ...


class _Elsewhere(Named):
    """The model is asked by tasks; nothing is opened here."""

    def close(self) -> None:
        """Nothing is open."""


def declared_model(workspace: Workspace) -> Any:
    """What asks: a `LanguageModel`, a `BatchProvider`, or only its name.

    Raises:
        ConfigurationError: the address or the staging is wrong.
    """
    spec = workspace.spec
    model, provider = spec.language_model, spec.provider
    if spec.through == "jobs":
        return _Elsewhere(model.model)
    if spec.through == "bedrock_batch":
        boto3: Any = importlib.import_module("boto3")
        region = workspace.settings.s3.region
        client = boto3.client("bedrock", region_name=region, endpoint_url=model.url)
        staging = open_own_store(workspace.settings, provider.staging or "")
        return BedrockBatches(client, staging, model=model.model, role=provider.role or "")
    served = open_served_model(
        workspace.settings, model.url, model.model,
        temperature=model.temperature, max_tokens=model.max_tokens,
        attempts=spec.attempts, connections=spec.concurrency,
    )  # fmt: skip
    return OpenAIBatches(served.client, model.model) if spec.through == "openai_batch" else served


def make_asker(held: Workspace, model: Any) -> PromptAsker:
    """Who asks, on a workspace that may write."""
    if held.spec.through == "jobs":
        return JobsAsker(Named(model.name), held)
    if held.spec.through in ("openai_batch", "bedrock_batch"):
        return ProviderAsker(model, held)
    recipe = held.spec.language_model.recipe
    return Asker(
        model, held.store, recipe, held.spec.concurrency, held.clock,
        check=lambda: held.deadline.check(f"asking the prompts of {held.name}"),
        kept=kept_in(held.store, recipe),
    )  # fmt: skip
