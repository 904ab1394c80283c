"""The rendered gateway configuration, tried: a real LiteLLM proxy, one request a model, its trace.

Nothing of a cluster is needed. Redis is replaced by the proxy's own memory, and, unless declared
otherwise, a small real model on this machine answers for every deployment; names, weights, prices,
fallbacks, retries, time-outs and callbacks are those that were rendered.
"""

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from platform_pipelines.compute import small_model
from platform_pipelines.compute.environments import ensure
from platform_pipelines.core.model_catalogue.declaration import ModelCatalogueSpec
from platform_pipelines.core.model_catalogue.litellm import (
    MASTER_KEY,
    deployment_id,
    keys_needed,
    price_of,
    proxy_config,
    rehearsal_config,
)
from platform_pipelines.core.model_catalogue.tiering import tier_files
from platform_pipelines.core.road.identity import digest_json
from platform_pipelines.core.road.pricing import TokenPrice, cost_of_tokens
from platform_pipelines.core.road.snapshot import Snapshot
from platform_pipelines.gateways.local_program import free_port, running
from platform_pipelines.gateways.trace_receiver import Span, TraceReceiver
from platform_pipelines.settings import Settings
from platform_pipelines.stages.road.outcome import StageOutcome
from platform_pipelines.stages.road.workspace import Workspace

REHEARSAL = "rehearsal"
START_SECONDS = 120.0  # of the proxy: its imports alone take a dozen
MODEL_SECONDS = 30.0
REQUEST_SECONDS = 60.0
TRACE_SECONDS = 20.0  # the exporter sends every 5 s


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One request through the gateway, as the caller, the catalogue and the trace saw it."""

    model: str
    status: int
    answered_by: str  # LiteLLM's id of the deployment
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Decimal | None  # tokens times the catalogue's price
    gateway_cost_usd: Decimal | None  # what LiteLLM says
    seconds: float
    trace_id: str
    trace_cost_usd: Decimal | None
    problem: str = ""

    @property
    def is_right(self) -> bool:
        """Answered, traced, and of one cost on all three."""
        costs = (self.cost_usd, self.gateway_cost_usd, self.trace_cost_usd)
        return not self.problem and None not in costs and len(set(costs)) == 1


class Gateway:
    """A running proxy, and where its traces arrive."""

    def __init__(self, url: str, key: str, receiver: TraceReceiver) -> None:
        self.url = url
        self.key = key
        self.receiver = receiver

    def ask(self, model: str, prompt: str, *, maximum_tokens: int, trace: str = "") -> Any:
        """The HTTP response of one chat completion."""
        import httpx

        body = {
            "model": model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": maximum_tokens,
            "metadata": {"trace_id": trace or secrets.token_hex(16)},
        }
        return httpx.post(
            f"{self.url}/v1/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=REQUEST_SECONDS,
            trust_env=False,
        )

    def trace(self, identity: str) -> Span:
        """The span of a request.

        Raises:
            UnavailableError: it does not arrive.
        """
        return self.receiver.wait_for(
            lambda span: identity in (
                span.attributes.get("langfuse.trace.id"), span.attributes.get("litellm.trace_id")
            ),
            seconds=TRACE_SECONDS,
        )[0]  # fmt: skip


def refresh_rehearsal(workspace: Workspace, spec: ModelCatalogueSpec) -> StageOutcome:
    """Start the proxy with the rendered configuration and ask each model once.

    Raises:
        UnavailableError: an environment cannot be made, or a program does not start.
    """
    config = proxy_config(spec)
    with gateway_of(workspace.settings, spec, config, progress=workspace.progress) as gateway:
        seen = [_rehearse(gateway, spec, model) for model in spec.models]
    head, version = workspace.head(REHEARSAL)
    snapshot = Snapshot(
        stage=REHEARSAL,
        settings=digest_json(config),
        shards=(),
        counts={"models": len(seen), "right": sum(one.is_right for one in seen)},
        details={"models": {one.model: one.problem or "answered" for one in seen}},
    )
    with workspace.writing(REHEARSAL, version) as held:
        held.move_head(snapshot, version)
    return StageOutcome.changed(snapshot, head, {"models": len(seen)}, {"requests": seen})


@contextmanager
def gateway_of(
    settings: Settings,
    spec: ModelCatalogueSpec,
    config: Mapping[str, Any],
    *,
    progress: Any,
    upstream: str | None = None,
) -> Iterator[Gateway]:
    """A LiteLLM proxy with this configuration, and a receiver of its traces.

    `upstream` is a server that answers for every deployment; without one it is as declared.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="rehearsal-")))
        url = upstream
        if url is None and spec.rehearsal.upstream == "small_model":
            progress("starting a small model")
            url = stack.enter_context(_small_model(settings, folder, progress))
        receiver = stack.enter_context(TraceReceiver())
        file = folder / "config.yaml"
        file.write_text(json.dumps(rehearsal_config(config, url=url)), encoding="utf-8")
        for name, text in tier_files(spec).items():
            (folder / name).write_text(text, encoding="utf-8")
        key, port = f"sk-{secrets.token_hex(12)}", free_port()
        python = ensure("litellm", settings.environments_home, progress)
        progress("starting LiteLLM's proxy with the rendered configuration")
        command = [str(python.parent / "litellm"), "--config", str(file), "--host", "127.0.0.1"]
        stack.enter_context(
            running(
                [*command, "--port", str(port)],
                environment=_environment(settings, spec, key, receiver.url, folder),
                log=folder / "proxy.log",
                ready_url=f"http://127.0.0.1:{port}/health/readiness",
                seconds=START_SECONDS,
            )
        )
        yield Gateway(f"http://127.0.0.1:{port}", key, receiver)


@contextmanager
def _small_model(settings: Settings, folder: Path, progress: Any) -> Iterator[str]:
    python, port = ensure("small_model", settings.environments_home, progress), free_port()
    with running(
        [str(python), str(small_model.__file__), str(port)],
        environment=settings.worker_environment,
        log=folder / "model.log",
        ready_url=f"http://127.0.0.1:{port}/health",
        seconds=MODEL_SECONDS,
    ):
        yield f"http://127.0.0.1:{port}/v1"


def _environment(
    settings: Settings, spec: ModelCatalogueSpec, key: str, traces: str, folder: Path
) -> dict[str, str]:
    """Stand-ins for the keys of the gateway's Secret: no real key is needed, and none is read."""
    stand_ins = dict.fromkeys(keys_needed(spec), "rehearsal")
    return {
        **{k: v for k, v in settings.worker_environment.items() if not k.startswith("AWS_")},
        **stand_ins,
        MASTER_KEY: key,
        "HOME": str(folder),
        "LANGFUSE_OTEL_HOST": traces,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches one at every start
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "PATH": os.defpath,
    }


def _rehearse(gateway: Gateway, spec: ModelCatalogueSpec, model: str) -> Rehearsed:
    trace = secrets.token_hex(16)
    rules = spec.rehearsal
    answer = gateway.ask(model, rules.prompt, maximum_tokens=rules.maximum_tokens, trace=trace)
    if answer.status_code != 200:
        problem = f"HTTP {answer.status_code}: {answer.text[:300]}"
        return Rehearsed(
            model, answer.status_code, "", 0, 0, None, None, answer.elapsed.total_seconds(),
            "", None, problem,
        )  # fmt: skip
    span = gateway.trace(trace)
    usage = answer.json()["usage"]
    by = str(answer.headers.get("x-litellm-model-id", ""))
    prompt, completion = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
    return Rehearsed(
        model=model,
        status=answer.status_code,
        answered_by=by,
        prompt_tokens=prompt,
        completion_tokens=completion,
        cost_usd=_cost(spec, by, prompt, completion),
        gateway_cost_usd=_dollars(answer.headers.get("x-litellm-response-cost")),
        seconds=answer.elapsed.total_seconds(),
        trace_id=span.trace_id,
        trace_cost_usd=_dollars(span.attributes.get("llm.cost.total")),
    )


def _cost(spec: ModelCatalogueSpec, by: str, prompt: int, completion: int) -> Decimal | None:
    """By the price of the deployment that answered, which a fallback may have been."""
    for name, model in spec.models.items():
        for number, one in enumerate(model.deployments):
            if deployment_id(name, number) == by:
                price = price_of(model, one)
                exact = TokenPrice(price.input_per_million, price.output_per_million)
                return _dollars(cost_of_tokens(exact, prompt=prompt, completion=completion))
    return None


def _dollars(value: object) -> Decimal | None:
    """To the billionth: LiteLLM counts in binary fractions."""
    return None if value is None else Decimal(str(value)).quantize(Decimal("1e-9"))
