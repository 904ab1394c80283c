"""What the catalogue's objects are called, in one place: Services, pools, headers, ports."""

from platform_pipelines.core.model_catalogue.declaration import ModelCatalogueSpec

LITELLM_PORT = 4000
VLLM_PORT = 8000
PICKER_PORT = 9002
PICKER_METRICS_PORT = 9090
MODEL_HEADER = "x-model-id"
ROLE_LABEL = "llm-d.ai/role"
MODEL_LABEL = "platform-pipelines.io/model"


def proxy(spec: ModelCatalogueSpec) -> str:
    """Of LiteLLM's Deployment, Service, HPA …"""
    return f"{spec.slug}-litellm"


def server(spec: ModelCatalogueSpec, model: str) -> str:
    """Of a self-hosted model's Deployment, Service, pool …"""
    return f"{spec.slug}-{model.replace('.', '-')}"


def server_url(spec: ModelCatalogueSpec, model: str) -> str:
    """Where the gateway reaches a self-hosted model."""
    host = f"{server(spec, model)}.{spec.gateway.inference_namespace}.svc"
    return f"http://{host}:{VLLM_PORT}/v1"


def gateway(spec: ModelCatalogueSpec) -> str:
    """Of the Gateway."""
    return f"{spec.slug}-gateway"


def selector(spec: ModelCatalogueSpec, model: str) -> dict[str, str]:
    """Labels of the pods of a self-hosted model."""
    return {MODEL_LABEL: server(spec, model)}
