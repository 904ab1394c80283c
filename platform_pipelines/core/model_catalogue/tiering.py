"""The catalogue's tiers in LiteLLM's proxy: its complexity router, with our rules or a small model.

Field names are those of LiteLLM 1.108 (`router_strategy/complexity_router/config.py`). Its own
keyword scorer knows four tiers and cannot be asked from elsewhere, so that rules are our code,
mounted as its classifier plugin; a small model is asked by its own classifier.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from platform_pipelines.core.model_catalogue.declaration import ModelCatalogueSpec
from platform_pipelines.core.road import tier_rules
from platform_pipelines.core.road.identity import canonical_json
from platform_pipelines.core.road.tiers import (
    CLASSIFICATION_TOKENS,
    POLICY_FILE,
    TIERS,
    TierPolicy,
    TiersSpec,
    tier_models,
)

PLUGIN = "platform_tiers"
ROUTER = "auto_router/complexity_router"
CLASSIFIER_MILLISECONDS = 3000
_MEANT = {
    "simple": "a greeting, a fact or a lookup",
    "moderate": "an explanation, a summary or a short piece of code",
    "complex": "a plan, a comparison of several things, a proof or a long piece of code",
}


def policy_of(spec: ModelCatalogueSpec) -> TierPolicy | None:
    """What decides; None where no tiers are declared."""
    tiers = spec.tiers
    if tiers is None:
        return None
    by_model = tiers.by == "model"
    return TierPolicy(
        name=tiers.name,
        by=tiers.by,
        rules=() if by_model else tiers.rules,
        classifier=tiers.classifier_name if by_model else "",
        prompt=tiers.prompt,
        otherwise=tiers.otherwise,
        models=tier_models(
            {name: model.tier for name, model in spec.models.items()},
            {name: model.price.output_per_million for name, model in spec.models.items()},
        ),
    )


def tier_files(spec: ModelCatalogueSpec) -> dict[str, str]:
    """What lies beside the proxy's configuration: the policy, and the code of its rules."""
    policy = policy_of(spec)
    if policy is None:
        return {}
    files = {POLICY_FILE: policy.to_json()}
    if policy.by == "rules":
        rules = [one.model_dump(mode="json") for one in policy.rules]
        given = canonical_json({"rules": rules, "otherwise": policy.otherwise})
        text = inspect.getsource(tier_rules).rstrip()
        files[f"{PLUGIN}.py"] = (
            f"{text}\n\n\nimport json  # noqa: E402\n\n"
            f"classifier = TierRules(**json.loads({given!r}))\n"
        )
    return files


def tier_deployments(
    spec: ModelCatalogueSpec, deployments: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Further entries of the model list: the tiers' name, and the classifier with ten tokens."""
    tiers, policy = spec.tiers, policy_of(spec)
    if tiers is None or policy is None:
        return []
    parameters = {
        "model": ROUTER,
        "complexity_router_config": _router(tiers, policy),
        "complexity_router_default_model": policy.models[tiers.otherwise],
    }
    found: list[dict[str, Any]] = [
        {"model_name": tiers.name, "litellm_params": parameters, "model_info": {"id": tiers.name}}
    ]
    if tiers.by == "model":
        found += [
            _classifier(tiers, one) for one in deployments if one["model_name"] == tiers.classifier
        ]
    return found


def _router(tiers: TiersSpec, policy: TierPolicy) -> dict[str, Any]:
    router: dict[str, Any] = {
        "tiers": {tier: policy.models[tier] for tier in TIERS},
        "tier_definitions": [{"name": tier, "description": _MEANT[tier]} for tier in TIERS],
        "fallback_tier": tiers.otherwise,
        "return_raw_model_name": True,
    }
    if tiers.by == "rules":
        return router | {
            "classifier_type": "custom",
            "classifier_plugin": f"{PLUGIN}.classifier",
        }
    return router | {
        "classifier_type": "llm",
        "classification_prompt": tiers.prompt,
        "classifier_llm_config": {
            "model": tiers.classifier_name,
            "timeout_ms": CLASSIFIER_MILLISECONDS,
        },
    }


def _classifier(tiers: TiersSpec, deployment: Mapping[str, Any]) -> dict[str, Any]:
    """The same place with a bound on its reply, which LiteLLM's router does not set itself."""
    bound = {"max_tokens": CLASSIFICATION_TOKENS, "temperature": 0}
    info = deployment["model_info"]
    return {
        "model_name": tiers.classifier_name,
        "litellm_params": {**deployment["litellm_params"], **bound},
        "model_info": {**info, "id": f"{tiers.name}-{info['id']}"},
    }
