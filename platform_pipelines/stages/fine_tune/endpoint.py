"""`endpoint`: the registered embedder, served by vLLM where knowledge bases can ask it.

An embedder has no canary: vectors of two are never compared. A knowledge base that declares another
one builds another revision beside the live one, and its own gate decides.
"""

from platform_pipelines.core.road.served_model import ModelRef
from platform_pipelines.core.road.snapshot import ShardRecord, Snapshot
from platform_pipelines.errors import CapabilityError
from platform_pipelines.gateways.model_server import HOST, wait_until_ready
from platform_pipelines.stages.fine_tune.exams import encoder_facts, servers_of
from platform_pipelines.stages.fine_tune.model import made_model
from platform_pipelines.stages.fine_tune.registration import STAGE as REGISTRATION
from platform_pipelines.stages.fine_tune.workspace import Workspace
from platform_pipelines.stages.road.outcome import StageOutcome

STAGE = "endpoint"
_FOLDER = "endpoint"


def refresh_endpoint(workspace: Workspace) -> StageOutcome:
    """Serve the registered embedder; the one that was served before is ended first.

    Raises:
        UnavailableError: it does not come up; with the end of its log.
    """
    previous, version = workspace.head(STAGE)
    registered = workspace.require_head(REGISTRATION)
    model, port = made_model(workspace), _port(workspace)
    servers, spec = servers_of(workspace, _FOLDER), workspace.spec.serving
    declared = embed_declaration(workspace, model, port)
    with workspace.writing(STAGE, version) as writing:
        for digest in _served_before(previous, model):
            servers.stop(ModelRef(digest, ""), spec)
        is_new = servers.address(model) is None
        servers.start(model, spec, port=port)
        seconds = wait_until_ready(servers, model, spec)
        writing.progress(f"{model.short} answers on port {port} after {seconds:.0f} s")
        snapshot = Snapshot(
            stage=STAGE,
            settings=registered.settings,
            shards=(ShardRecord(0, registered.digest, model.digest, model.url, 1),),
            details={"embed": declared, "model": model.record()},
        )
        if previous and previous.record_digest == snapshot.record_digest and not is_new:
            return StageOutcome.unchanged(previous)
        if previous is None or previous.record_digest != snapshot.record_digest:
            writing.move_head(snapshot, version)
    return StageOutcome.changed(snapshot, previous, {"served": 1})


def stop_endpoint(workspace: Workspace) -> str | None:
    """End what is served; the digest of its model, or None."""
    head, _ = workspace.head(STAGE)
    if head is None:
        return None
    digest = str(head.details["model"]["digest"])
    return servers_of(workspace, _FOLDER).stop(ModelRef(digest, ""), workspace.spec.serving)


def embed_declaration(workspace: Workspace, model: ModelRef, port: int) -> dict[str, object]:
    """What a knowledge base declares as `embed` to use this very embedder, and no other one."""
    dimension, window = encoder_facts(workspace, model)
    contrast = workspace.spec.recipe.contrast
    return {
        "provider": "openai",
        "url": f"http://{HOST}:{port}/v1",
        "model": model.short,
        "revision": model.digest,
        "dimension": dimension,
        "window_tokens": window,
        "query_prefix": f"{contrast.query_prefix} ",
        "passage_prefix": f"{contrast.passage_prefix} ",
    }


def _port(workspace: Workspace) -> int:
    port = workspace.spec.endpoint_port
    if port is None:
        raise CapabilityError(
            "no port is declared for this embedder", where=f"{workspace.name}, endpoint_port",
            expected="a free port of this machine", remedy="declare endpoint_port",
        )  # fmt: skip
    return port


def _served_before(previous: Snapshot | None, model: ModelRef) -> list[str]:
    digest = str(previous.details["model"]["digest"]) if previous else model.digest
    return [] if digest == model.digest else [digest]
