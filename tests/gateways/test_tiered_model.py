"""A question is answered by the model of its tier, where a live catalogue has such tiers."""

import pytest

from platform_pipelines.core.road.tiers import TierPolicy, TierRule
from platform_pipelines.errors import UnavailableError
from platform_pipelines.gateways.embedding_http import Endpoint, JsonClient
from platform_pipelines.gateways.language_model import HttpLanguageModel, Message
from platform_pipelines.gateways.tiered_model import POLICY_SECONDS, TieredModel
from tests.servers.chat_server import ChatServer, Json

MODELS = {"simple": "small", "moderate": "medium", "complex": "large"}
RULES = TierPolicy(
    name="auto", by="rules", models=MODELS, otherwise="simple",
    rules=(TierRule(tier="complex", any_of=("compare",)),),
)  # fmt: skip
BY_MODEL = TierPolicy(name="auto", by="model", classifier="auto-classifier", models=MODELS)


def says(body: Json) -> str:
    """The classifier says what the request asks for; everybody else its own name."""
    if body["model"] == "auto-classifier":
        return "complex" if "prove" in body["messages"][-1]["content"] else "dunno"
    return f"I am {body['model']}"


def opened(server: ChatServer) -> HttpLanguageModel:
    client = JsonClient(Endpoint(server.url, None, 5.0, 1, 1))
    return HttpLanguageModel(client, "auto")


def asked(question: str) -> list[Message]:
    """The passages hold the word of another tier."""
    return [
        Message("system", "compare everything"),
        Message("user", f"passages that compare\n{question}", asked=question),
    ]


def test_rules_choose_by_the_question_and_not_by_its_passages() -> None:
    """Each prompt holds five passages: by them every question were complex."""
    with ChatServer(says) as server:
        model = TieredModel(opened(server), lambda: RULES)
        simple, hard = model.complete(asked("hello")), model.complete(asked("compare A and B"))
        model.close()
    assert (simple.text, simple.tier) == ("I am small", "simple")
    assert (hard.text, hard.tier) == ("I am large", "complex")
    assert len(server.requests) == 2  # rules ask nobody


def test_a_small_model_chooses_with_ten_tokens_which_are_counted() -> None:
    """What the choice took is somebody's bill."""
    with ChatServer(says) as server:
        model = TieredModel(opened(server), lambda: BY_MODEL)
        hard, unknown = model.complete(asked("prove it")), model.complete(asked("hm"))
        model.close()
    classified = [r for r in server.requests if r["model"] == "auto-classifier"]
    assert [r["max_tokens"] for r in classified] == [10, 10]
    assert hard.text == "I am large"
    assert hard.input_tokens == 200  # 100 for the choice
    assert unknown.text == "I am medium"  # `otherwise`


def test_a_classifier_that_fails_costs_no_answer() -> None:
    """Half an outage is no reason for a whole one."""

    def failing(body: Json) -> str | tuple[int, Json]:
        return (503, {"error": "down"}) if body["model"] == "auto-classifier" else says(body)

    with ChatServer(failing) as server:
        model = TieredModel(opened(server), lambda: BY_MODEL)
        assert model.complete(asked("prove it")).text == "I am medium"
        model.close()


def test_another_release_is_noticed_and_a_store_that_fails_leaves_what_was_read() -> None:
    """A rollback of the catalogue reaches `serve` without a restart."""
    now, policies = [0.0], [RULES]

    def read() -> TierPolicy | None:
        if not policies:
            raise UnavailableError("the store is away")
        return policies[0]

    with ChatServer(says) as server:
        model = TieredModel(opened(server), read, monotonic=lambda: now[0])
        assert model.complete(asked("hello")).text == "I am small"
        policies[0] = RULES.model_copy(update={"models": {**MODELS, "simple": "tiny"}})
        assert model.complete(asked("hello")).text == "I am small"
        now[0] += POLICY_SECONDS
        assert model.complete(asked("hello")).text == "I am tiny"
        policies.clear()
        now[0] += POLICY_SECONDS
        assert model.complete(asked("hello")).text == "I am tiny"
        model.close()


def test_without_such_tiers_the_model_itself_is_asked() -> None:
    """Most knowledge bases name a model."""
    with ChatServer(says) as server:
        model = TieredModel(opened(server), lambda: None)
        assert model.complete(asked("hello")).text == "I am auto"
        model.close()


def test_a_store_that_never_answered_is_told() -> None:
    """Which model answers is not known then."""

    def read() -> TierPolicy | None:
        raise UnavailableError("the store is away")

    with ChatServer(says) as server, pytest.raises(UnavailableError):
        TieredModel(opened(server), read).complete(asked("hello"))
