"""The engine beside a stage's worker: a profile's `engine` -> a native sidecar, as JSON.

A native sidecar is an init container that restarts on its own: the worker starts when the start-up
probe has passed, and the pod ends with the worker. The engine has the pod's GPUs; its model files
are on a volume that outlives its restarts, or that pods share.
Source: Kubernetes, "Sidecar containers"; vLLM, `vllm serve --runner pooling`; Text Embeddings
Inference, `text-embeddings-router`; NVIDIA NIM for text embedding, "Configuring".
"""

from typing import Any

from platform_pipelines.core.road.compute_profiles import EngineProfile

Manifest = dict[str, Any]

ENGINE = "engine"
CACHE = "model-cache"
CACHE_AT = "/model-cache"
EMBEDDER_URL = "PLATFORM_EMBEDDER_URL"
PROBE_SECONDS = 5
_READY = {"vllm": "/health", "tei": "/health", "nim": "/v1/health/ready"}


def loopback_url(engine: EngineProfile) -> str:
    """Where the worker of the same pod finds it."""
    return f"http://127.0.0.1:{engine.port}/v1"


def engine_container(
    engine: EngineProfile, *, limits: dict[str, str], claims: list[Manifest], mounts: list[Manifest]
) -> Manifest:
    """The sidecar; `limits` and `claims` are the pod's devices, `mounts` its scratch volumes."""
    resources: Manifest = {
        "requests": {"cpu": engine.cpu_request, "memory": engine.memory},
        "limits": {"memory": engine.memory, **limits},
    }
    if claims:
        resources["claims"] = claims
    container: Manifest = {
        "name": ENGINE,
        "image": engine.image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "args": [*_arguments(engine), *engine.args],
        "env": _environment(engine),
        "resources": resources,
        "startupProbe": {
            "httpGet": {"path": _READY[engine.kind], "port": engine.port},
            "periodSeconds": PROBE_SECONDS,
            "timeoutSeconds": PROBE_SECONDS,
            # One more: the first probe may come at once, and the last one ends the engine.
            "failureThreshold": -(-engine.start_seconds // PROBE_SECONDS) + 1,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [*mounts, {"name": CACHE, "mountPath": CACHE_AT}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    command = list(engine.command) or _command(engine)
    return {**container, "command": command} if command else container


def cache_volume(engine: EngineProfile) -> Manifest:
    """Where model files are kept over restarts of the engine."""
    if engine.cache_claim:
        return {"name": CACHE, "persistentVolumeClaim": {"claimName": engine.cache_claim}}
    return {"name": CACHE, "emptyDir": {"sizeLimit": engine.cache}}


def _command(engine: EngineProfile) -> list[str]:
    """A NIM starts itself."""
    return {"vllm": ["vllm", "serve"], "tei": ["text-embeddings-router"], "nim": []}[engine.kind]


def _arguments(engine: EngineProfile) -> list[str]:
    """What a kind always gets. The kubelet's probe comes from outside of the pod."""
    host, port = "0.0.0.0", str(engine.port)  # noqa: S104 - a policy keeps others out
    if engine.kind == "vllm":
        served = engine.served_as or engine.model
        runner = ["--runner", "pooling"] if engine.serves == "vectors" else []
        return [
            engine.model, *runner, "--served-model-name", served, "--host", host, "--port", port,
        ]  # fmt: skip
    if engine.kind == "tei":
        return ["--model-id", engine.model, "--hostname", host, "--port", port]
    return []


def _environment(engine: EngineProfile) -> list[Manifest]:
    known = {
        "HOME": "/tmp",  # noqa: S108 - a volume of the pod's own
        "HF_HOME": CACHE_AT,
        "HUGGINGFACE_HUB_CACHE": CACHE_AT,
        "VLLM_NO_USAGE_STATS": "1",
    }
    if engine.kind == "nim":
        known = {**known, "NIM_CACHE_PATH": CACHE_AT, "NIM_HTTP_API_PORT": str(engine.port)}
    return [{"name": name, "value": value} for name, value in known.items()]
