"""An agent as Kagent's `v1alpha2` objects: the one seam to Kagent (v1alpha3 is coming).

Kagent's controller makes a Deployment and a Service of the agent's name; scaling is ours, on that
Deployment.
"""

from collections.abc import Iterator
from typing import Any

from platform_pipelines.core.agent.behaviour import VARIABLE, behaviour_of
from platform_pipelines.core.agent.declaration import AgentSpec, ToolSpec
from platform_pipelines.core.agent.sandbox import TOKEN_FOLDER, sandbox_access, token_volume
from platform_pipelines.core.road import rendering
from platform_pipelines.core.road.manifests import Manifest
from platform_pipelines.core.road.rendering import kube

KAGENT = "kagent.dev/v1alpha2"
# What our agents tell Prometheus; rules, scalers and dashboards are rendered from these names.
SESSIONS = "agent_active_sessions"
AGENT_LABEL = "platform-pipelines.io/agent"  # of its pods


def render_agent(spec: AgentSpec) -> tuple[Manifest, ...]:
    """What a cluster should hold of this agent."""
    labels = rendering.labels("agent", "agent", spec.slug)
    found = [_model_config(spec, labels), *_servers(spec, labels), _agent(spec, labels)]
    pods = {AGENT_LABEL: spec.slug}
    if spec.sandbox is not None:
        found.extend(sandbox_access(spec, labels))
    found.append(_scaler(spec, labels))
    found.append(rendering.disruption_budget(spec.slug, spec.namespace, pods, labels=labels))
    return tuple(found)


def _agent(spec: AgentSpec, labels: dict[str, str]) -> Manifest:
    body: dict[str, Any] = {"description": spec.description or spec.name}
    if spec.runtime == "kagent":
        body |= {"type": "Declarative", "declarative": _declarative(spec)}
    else:
        body |= {"type": "BYO", "byo": {"deployment": _image(spec)}}
    return kube(KAGENT, "Agent", spec.slug, namespace=spec.namespace, labels=labels, spec=body)


def _declarative(spec: AgentSpec) -> dict[str, Any]:
    return {
        "systemMessage": spec.prompt,
        "modelConfig": spec.slug,
        "stream": True,
        "tools": [_tool(one) for one in spec.tools],
        "deployment": {
            "labels": {AGENT_LABEL: spec.slug},
            "resources": rendering.resources(spec.cpu, spec.memory_request),
        },
    }


def _tool(tool: ToolSpec) -> dict[str, Any]:
    if tool.kind == "agent":
        return {
            "type": "Agent",
            "agent": {"apiGroup": "kagent.dev", "kind": "Agent", "name": tool.name},
        }
    server: dict[str, Any] = {
        "apiGroup": "kagent.dev",
        "kind": "RemoteMCPServer",
        "name": tool.name,
    }
    if tool.tools:
        server["toolNames"] = list(tool.tools)
    if tool.approve:
        server["requireApproval"] = list(tool.approve)
    return {"type": "McpServer", "mcpServer": server}


def _model_config(spec: AgentSpec, labels: dict[str, str]) -> Manifest:
    model = spec.language_model
    server: dict[str, Any] = {"baseUrl": model.url}
    if model.temperature is not None:
        server["temperature"] = f"{model.temperature:g}"
    if model.maximum_tokens is not None:
        server["maxTokens"] = model.maximum_tokens
    return kube(
        KAGENT, "ModelConfig", spec.slug, namespace=spec.namespace, labels=labels,
        spec={
            "provider": "OpenAI",  # the gateway speaks it for every provider
            "model": model.name,
            "apiKeySecret": model.secret,
            "apiKeySecretKey": model.key,
            "openAI": server,
        },
    )  # fmt: skip


def _servers(spec: AgentSpec, labels: dict[str, str]) -> Iterator[Manifest]:
    for tool in spec.tools:
        if tool.url is None:
            continue
        yield kube(
            KAGENT, "RemoteMCPServer", tool.name, namespace=spec.namespace, labels=labels,
            spec={
                "description": f"Tools of {tool.name}, for {spec.name}.",
                "protocol": "STREAMABLE_HTTP",
                "url": tool.url,
                "timeout": f"{tool.seconds}s",
            },
        )  # fmt: skip


def _image(spec: AgentSpec) -> dict[str, Any]:
    model = spec.language_model
    reference = {"name": model.secret, "key": model.key}
    environment: dict[str, str] = {
        "AGENT_NAME": spec.name,
        "AGENT_PROMPT": spec.prompt,
        "OPENAI_BASE_URL": model.url,
        "OPENAI_MODEL": model.name,
    }
    if spec.memory is not None:
        environment |= {
            "AGENT_REDIS": spec.memory.redis,
            "AGENT_MEMORY_TTL_SECONDS": str(spec.memory.ttl_seconds),
            "AGENT_MEMORY_MESSAGES": str(spec.memory.messages),
        }
    if spec.maximum_steps is not None:
        environment["AGENT_MAXIMUM_STEPS"] = str(spec.maximum_steps)
    for tool in spec.tools:
        if tool.url is not None:
            environment[f"AGENT_TOOL_{tool.name.upper().replace('-', '_')}"] = tool.url
    environment[VARIABLE] = behaviour_of(spec).to_json()  # what our own program reads
    found: dict[str, Any] = {
        "image": spec.image,
        "labels": {AGENT_LABEL: spec.slug},
        "env": [
            *({"name": name, "value": value} for name, value in environment.items()),
            {"name": "OPENAI_API_KEY", "valueFrom": {"secretKeyRef": reference}},
        ],
        "resources": rendering.resources(spec.cpu, spec.memory_request),
        "securityContext": rendering.locked_container(),
        "podSecurityContext": rendering.locked_pod(),
    }
    if spec.sandbox is not None:
        found["serviceAccountName"] = spec.slug
        found["volumes"] = [token_volume()]
        found["volumeMounts"] = [{"name": "api-token", "mountPath": TOKEN_FOLDER, "readOnly": True}]
    return found


def _scaler(spec: AgentSpec, labels: dict[str, str]) -> Manifest:
    scaling = spec.scaling
    if scaling.by == "utilisation":
        return rendering.utilisation_scaler(
            spec.slug, spec.namespace, spec.slug, labels=labels,
            replicas=(scaling.minimum, scaling.maximum),
            percents={"cpu": scaling.cpu_percent, "memory": scaling.memory_percent},
        )  # fmt: skip
    query = f'sum({SESSIONS}{{namespace="{spec.namespace}",agent="{spec.name}"}})'
    trigger = {
        "type": "prometheus",
        "name": "sessions",
        "metricType": "AverageValue",
        "metadata": {
            "serverAddress": scaling.prometheus,
            "query": query,
            "threshold": str(scaling.sessions),
            "ignoreNullValues": "false",
        },
    }
    return kube(
        "keda.sh/v1alpha1", "ScaledObject", spec.slug, namespace=spec.namespace, labels=labels,
        spec={
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": spec.slug},
            "pollingInterval": scaling.poll_seconds,
            "cooldownPeriod": scaling.cooldown_seconds,
            "minReplicaCount": scaling.minimum,
            "maxReplicaCount": scaling.maximum,
            "fallback": {"failureThreshold": 3, "replicas": scaling.minimum},
            "triggers": [trigger],
        },
    )  # fmt: skip
