"""What an agent renders on Kagent, and what Kagent cannot say."""

from typing import Any

import pytest

from platform_pipelines.core.agent.render import render_agent
from platform_pipelines.errors import ConfigurationError
from tests.platform_sample import agent


def by_kind(**changes: Any) -> dict[str, Any]:
    return {m["kind"]: m["spec"] for m in render_agent(agent(**changes))}


def test_prompt_model_tools_and_approval_reach_kagent() -> None:
    """What is declared and not rendered is a lie on the page."""
    rendered = by_kind()
    said = rendered["Agent"]["declarative"]
    assert said["systemMessage"].startswith("You answer questions")
    assert said["modelConfig"] == "assistant"
    tickets = said["tools"][1]["mcpServer"]
    assert tickets["toolNames"] == ["open_ticket", "read_ticket"]
    assert tickets["requireApproval"] == ["open_ticket"]
    assert rendered["ModelConfig"]["apiKeySecret"] == "tenant-keys"
    assert rendered["ModelConfig"]["openAI"]["temperature"] == "0"


def test_it_scales_by_sessions_or_by_utilisation() -> None:
    """One scaler a Deployment: KEDA makes an HPA of its own, and two fight."""
    sessions = by_kind()
    assert "HorizontalPodAutoscaler" not in sessions
    trigger = sessions["ScaledObject"]["triggers"][0]["metadata"]
    assert trigger["threshold"] == "50"
    assert 'agent_active_sessions{namespace="acme-agents"' in trigger["query"]
    assert "ScaledObject" not in by_kind(scaling={"by": "utilisation"})


def test_an_image_of_ones_own_gets_memory_and_steps() -> None:
    """What Kagent cannot say, `type: BYO` can."""
    memory = {"redis": "redis:6379"}
    spec = by_kind(runtime="image", image="r/agent:1", memory=memory, maximum_steps=8)["Agent"]
    told = {e["name"]: e.get("value") for e in spec["byo"]["deployment"]["env"]}
    assert spec["type"] == "BYO"
    assert told["AGENT_MEMORY_TTL_SECONDS"] == "3600"
    assert told["AGENT_MEMORY_MESSAGES"] == "50"
    assert told["AGENT_MAXIMUM_STEPS"] == "8"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"memory": {"redis": "redis:6379"}}, "`memory`: Kagent v1alpha2 remembers by vectors"),
        ({"maximum_steps": 8}, "`maximum_steps`: Kagent v1alpha2 has no limit"),
        ({"image": "r/agent:1"}, "`image`: a declarative Kagent agent"),
        ({"runtime": "image"}, "needs `image`"),
        ({"tools": [{"kind": "mcp", "name": "a"}]}, "`url` goes with kinds"),
        (
            {"tools": [{"kind": "mcp", "name": "a", "url": "http://a", "approve": ["x"]}]},
            "`approve` names x",
        ),
        ({"namespace": "Acme_Agents"}, "namespace = 'Acme_Agents'"),
    ],
)
def test_what_kagent_cannot_say_is_refused_by_name(change: dict[str, Any], told: str) -> None:
    """A field that is dropped silently is believed to hold."""
    with pytest.raises(ConfigurationError, match=told):
        agent(**change)
