"""A language model that is several: each question has one, by its tier or by whose it is."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from platform_pipelines.core.road.assignments import Assignment
from platform_pipelines.core.road.tiers import (
    CLASSIFICATION_TOKENS,
    Tier,
    TierPolicy,
    classification_messages,
    tier_in,
)
from platform_pipelines.errors import ConfigurationError, TransientError
from platform_pipelines.gateways.embedding_http import JsonClient
from platform_pipelines.gateways.language_model import HttpLanguageModel, Message, ModelReply

POLICY_SECONDS = 30.0  # how long another release of the catalogue may go unnoticed


@dataclass(frozen=True, slots=True)
class Chosen:
    """A question's tier, and what the choice took; no tokens where rules chose."""

    tier: Tier
    input_tokens: int = 0
    output_tokens: int = 0
    note: str = ""


def choose(policy: TierPolicy, question: str, client: JsonClient) -> Chosen:
    """The tier of a question; a classifier that says none, or does not answer, gives `otherwise`.

    Raises:
        ConfigurationError: a rule's tier is none.
    """
    if policy.by == "rules":
        tier = tier_in(policy.by_rules().tier_of(question))
        if tier is None:
            raise ConfigurationError("a rule has no tier", where=f"tiers {policy.name}")
        return Chosen(tier)
    classifier = HttpLanguageModel(client, policy.classifier, 0.0, CLASSIFICATION_TOKENS)
    asked = [Message(m["role"], m["content"]) for m in classification_messages(policy, question)]
    try:
        reply = classifier.complete(asked)
    except (TransientError, ConfigurationError) as error:
        return Chosen(policy.otherwise, note=f"the classifier does not answer: {error.what}")
    tier = tier_in(reply.text)
    note = "" if tier else f"the classifier said {reply.text[:40]!r}"
    return Chosen(tier or policy.otherwise, reply.input_tokens, reply.output_tokens, note)


class TieredModel:
    """`model` itself where neither tiers nor an experiment have its name."""

    def __init__(
        self,
        model: HttpLanguageModel,
        policy: Callable[[], TierPolicy | Assignment | None],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._read = policy
        self._monotonic = monotonic
        self._policy: TierPolicy | Assignment | None = None
        self._looked_at = float("-inf")
        self.name = model.name

    def complete(self, messages: Sequence[Message]) -> ModelReply:
        """The reply of the question's model; tokens of the choice are counted with it."""
        policy = self._live()
        if policy is None:
            return self._model.complete(messages)
        turn = next((m for m in reversed(messages) if m.role == "user"), Message("user", ""))
        if isinstance(policy, Assignment):
            arm = policy.arm(turn.key)
            reply = replace(self._model, name=policy.targets[arm]).complete(messages)
            return replace(reply, tier=arm)
        question = turn.asked or turn.content
        chosen = choose(policy, question, self._model.client)
        model = replace(self._model, name=policy.models[chosen.tier])
        reply = model.complete(messages)
        return replace(
            reply,
            input_tokens=reply.input_tokens + chosen.input_tokens,
            output_tokens=reply.output_tokens + chosen.output_tokens,
            tier=chosen.tier,
        )

    def close(self) -> None:
        """Close the connections."""
        self._model.close()

    def _live(self) -> TierPolicy | Assignment | None:
        now = self._monotonic()
        if now - self._looked_at >= POLICY_SECONDS:
            try:
                self._policy = self._read()
            except TransientError:
                if self._looked_at == float("-inf"):
                    raise  # a store that fails later leaves what was read
            self._looked_at = now
        return self._policy
