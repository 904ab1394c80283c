"""An assignment applied by routes and by `serve`: each key where the analysis says it belongs."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.core.experiment.gateway import render_routes
from platform_pipelines.core.experiment.verdict import State
from platform_pipelines.core.knowledge_base.answer_declaration import AnswerSpec
from platform_pipelines.core.knowledge_base.revision import answer_recipe
from platform_pipelines.core.road.assignments import arm_of, assignment_from_json, cohort_of
from platform_pipelines.core.road.cohort_filter import cohort_of as numbered
from platform_pipelines.core.road.manifests import Manifest
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.gateways.language_model import Message
from platform_pipelines.settings import Gateways
from platform_pipelines.stages.experiment.looks import refresh_looks
from platform_pipelines.stages.experiment.verdict import refresh_verdict
from platform_pipelines.stages.knowledge_base.connect import open_language_model
from tests.experiments import GIVEN, declared, write_days
from tests.fakes import Admitting
from tests.servers.chat_server import ChatServer
from tests.stages.experiment.test_experiment_road import Lab

KEYS = [f"user-{number}" for number in range(400)]
ROUTES = {
    "namespace": "gateway", "gateway": "models-gateway",
    "backends": {"big": "models-large:8000", "small": "models-medium:8000"},
}  # fmt: skip
SHARES = {"big": 20, "small": 80}


class Keeping(Admitting):
    """A cluster that keeps what was applied, and counts what was only asked."""

    def __init__(self) -> None:
        super().__init__()
        self.applied: list[Manifest] = []
        self.dry = 0

    def apply(self, manifest: Manifest, *, dry_run: bool = False, force: bool = False) -> Manifest:
        self.dry += dry_run
        if not dry_run:
            self.applied.append(manifest)
        return manifest


def sent_by(route: Manifest, experiment: str, key: str) -> str:
    """The backend that the route sends a key to, once the filter has made its number."""
    number = numbered(cohort_of(experiment, key))
    for rule in route["spec"]["rules"]:
        matches = [h for m in rule.get("matches", ()) for h in m["headers"]]
        if all(re.fullmatch(h["value"], number) for h in matches):
            return str(rule["backendRefs"][0]["name"])
    raise AssertionError("no rule")


def test_routes_send_each_key_where_the_analysis_says() -> None:
    """Both by the same number of the key; the experiment's name is in it."""
    spec = declared("file:///o", routes=ROUTES)
    policy, route = render_routes(spec, spec.shares, "small")
    backend = {"big": "models-large", "small": "models-medium"}
    wanted = {k: backend[arm_of("models_ab", k, SHARES, "numbers", "big")] for k in KEYS}
    assert {key: sent_by(route, "models_ab", key) for key in KEYS} == wanted
    share = sum(one == "models-large" for one in wanted.values()) / len(KEYS)
    assert 0.12 < share < 0.28
    (lua,) = policy["spec"]["lua"]
    assert 'key = "models_ab:" .. key' in lua["inline"]
    assert route["spec"]["rules"][0]["matches"][0]["headers"][0]["name"] == "x-cohort-models-ab"


@pytest.mark.parametrize(("shares", "live"), [({"big": 0, "small": 100}, "small"),
                                              ({"big": 100, "small": 0}, "big")])  # fmt: skip
def test_when_it_is_over_everybody_goes_to_the_arm_that_serves(
    shares: dict[str, int], live: str
) -> None:
    """Not even a cohort that was made before."""
    spec = declared("file:///o", routes=ROUTES)
    _, route = render_routes(spec, shares, live)
    assert {sent_by(route, "models_ab", key) for key in KEYS} == {
        {"big": "models-large", "small": "models-medium"}[live]
    }


@pytest.mark.parametrize("environment", ["production", "development"])
def test_the_verdict_applies_the_routes_itself_and_takes_the_candidate_back(
    tmp_path: Path, environment: str
) -> None:
    """Outside production the server is only asked whether it admits them."""
    lab, cluster = Lab(tmp_path), Keeping()
    write_days(lab.observations, 14, slower=0.3, keys_a_day=400, hashing="numbers")

    def look(day: int) -> Any:
        opened = lab.workspace(day, routes=ROUTES, minimum=200)
        settings = dataclasses.replace(
            opened.settings, environment=environment, gateways=Gateways(cluster=cluster)
        )
        workspace = dataclasses.replace(opened, settings=settings)
        refresh_looks(workspace)
        return refresh_verdict(workspace)

    look(1)
    assert look(14).conclusion.state is State.HARM
    if environment == "development":
        assert (cluster.applied, cluster.dry > 0) == ([], True)
        return
    routes = [one for one in cluster.applied if one["kind"] == "HTTPRoute"]
    assert {sent_by(routes[0], "models_ab", key) for key in KEYS} > {"models-large"}
    assert {sent_by(routes[-1], "models_ab", key) for key in KEYS} == {"models-medium"}


def test_serve_asks_the_model_of_the_callers_arm(tmp_path: Path) -> None:
    """`answer.model` is the experiment's name; a caller without a key gets the live arm."""
    lab = Lab(tmp_path)
    write_days(lab.observations, 1)
    day = lab.workspace(1, minimum=10_000)
    refresh_looks(day)
    refresh_verdict(day)
    stored = assignment_from_json(day.store.get("assignment.json")[0], where="store")
    targets = {name: arm["target"] for name, arm in GIVEN["arms"].items()}
    with ChatServer(lambda body: str(body["model"])) as server:
        recipe = answer_recipe(AnswerSpec(model="models_ab", url=server.url), "prompt")
        model = open_language_model(day.settings, recipe)
        assert model is not None
        said = {
            key: model.complete([Message("user", "hello", key=key)]).text
            for key in ["", *KEYS[:40]]
        }
        model.close()
    assert said.pop("") == targets["small"]
    assert said == {key: targets[stored.arm(key)] for key in KEYS[:40]}
    assert set(said.values()) == {"large", "medium"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"backends": {"big": "a:1"}}, "one of each of big, small"),
        ({"backends": {"big": "a:1", "small": "b"}}, "service:port"),
    ],
)
def test_an_arm_without_a_backend_is_refused(change: dict[str, Any], told: str) -> None:
    """Its share would be lost on its way."""
    with pytest.raises(ConfigurationError, match=told):
        declared("file:///o", routes={**ROUTES, **change})
