"""The chart installed with Helm, and the shipped handbook refreshed through its web server."""

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_pipelines.compute.pod_specs import PodSettings, pod_spec
from platform_pipelines.core.road.compute_profiles import seed_profiles
from platform_pipelines.settings import Settings
from tests.platform_sample import connected, kubeconfig
from tests.servers.for_pods import (
    CONFIG,
    HOST,
    IMAGE,
    Space,
    restricted_namespace,
    s3_for_pods,
    settings_for_pods,
)
from tests.servers.milvus_server import wait_until
from tests.servers.postgres_server import Postgres, postgres

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
CHART = Path(__file__).parents[2] / "deploy" / "chart"
SPACE = "pp-cluster-chart"
# The machine is small, and one node of it carries the pools' labels.
PROFILES = {"cpu": {"cpu_request": "100m", "memory": "3Gi", "deadline_seconds": 600}}
LAUNCH = """
mutation Launch($repository: String!, $job: String!) {
  launchRun(executionParams: {mode: "default", runConfigData: {}, selector: {
    repositoryLocationName: "platform_pipelines", repositoryName: $repository, jobName: $job
  }}) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
REPOSITORIES = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"
RUN = """
query Run($id: ID!) {
  runOrError(runId: $id) { ... on Run { status } }
  logsForRun(runId: $id) {
    ... on EventConnection { events {
      ... on MessageEvent { message }
      ... on ExecutionStepFailureEvent { error { message stack causes { message } } }
    } }
  }
}
"""


@dataclass(frozen=True)
class Installed:
    """The chart, installed and ready."""

    space: Space
    settings: Settings
    web: str

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """A GraphQL query of the web server, through its Service."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"{self.web}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        assert "errors" not in found, found
        return found["data"]

    def _repositories(self) -> list[dict[str, Any]]:
        return self.ask(REPOSITORIES)["repositoriesOrError"]["nodes"]

    def finished(self, job: str, *, seconds: float) -> tuple[str, list[str]]:
        """Launch a job and wait for its end: status, and what the run's log says."""
        # The web server loads the code location some seconds after both are ready.
        wait_until(lambda: bool(self._repositories()), seconds=60)
        (repository,) = self._repositories()
        launched = self.ask(LAUNCH, repository=repository["name"], job=job)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run = launched["run"]["runId"]
        seen: dict[str, Any] = {}

        def ended() -> bool:
            seen.update(self.ask(RUN, id=run))
            return seen["runOrError"]["status"] in ("SUCCESS", "FAILURE", "CANCELED")

        wait_until(ended, seconds=seconds)
        return seen["runOrError"]["status"], [
            f"{event['message']} {event.get('error') or ''}".rstrip()
            for event in seen["logsForRun"]["events"]
            if "message" in event
        ]


def values(settings: Settings, database: Postgres) -> dict[str, Any]:
    """What this installation says."""
    return {
        "image": IMAGE,
        "postgres": {"host": database.host, "port": database.port},
        "platform": {
            "environment": {
                "PLATFORM_STORE_URL": settings.store_url,
                "PLATFORM_MILVUS_URI": settings.milvus_uri,
                "PLATFORM_S3_ENDPOINT": settings.s3.endpoint,
                "PLATFORM_S3_REGION": settings.s3.region,
            },
            "profiles": PROFILES,
        },
        "network": {"enabled": False},
    }


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    helm = shutil.which("helm")
    if helm is None:
        pytest.skip("helm is not installed")
    folder = tmp_path_factory.mktemp("chart")
    with (
        connected() as (connection, _),
        s3_for_pods(folder / "s3") as server,
        postgres(HOST) as database,
        restricted_namespace(connection, SPACE) as space,
    ):
        settings = settings_for_pods(folder / "home", server)
        space.give(settings)
        secret = {"kind": "Secret", "stringData": {"DAGSTER_PG_PASSWORD": database.password}}
        space.create("secrets", secret, "dagster-postgres")
        said = folder / "values.yaml"
        said.write_text(yaml.safe_dump(values(settings, database)), encoding="utf-8")
        done = subprocess.run(
            [helm, "install", "pp", str(CHART), "-n", SPACE, "-f", str(said), "--wait",
             "--timeout", "240s"],
            check=False, capture_output=True, text=True, timeout=280,
            env={**os.environ, "KUBECONFIG": str(kubeconfig())},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        service = connection.request("GET", f"{space.path}/services/pp-web")
        yield Installed(space, settings, f"http://{service['spec']['clusterIP']}")


def test_the_handbook_is_refreshed_through_the_web_server(installed: Installed) -> None:
    """Each run is a Job, each stage of tasks an Indexed Job; what is released is searched in a pod.

    A second refresh makes no Job of a stage.
    """
    status, log = installed.finished("handbook_refresh", seconds=400)
    assert status == "SUCCESS", "\n".join(log[-20:])
    stages = [job for job in installed.space.jobs() if _stage(job)]
    assert {_stage(job) for job in stages} == {"documents", "chunks", "vectors"}
    assert all(job["status"]["succeeded"] == job["spec"]["completions"] for job in stages)
    assert any("Job vectors-" in line for line in log), log

    profile = seed_profiles()["cpu"].model_copy(update=PROFILES["cpu"])
    spec = pod_spec(profile, PodSettings(SPACE, IMAGE, (CONFIG,), (CONFIG,)), arguments=[])
    question = "How do I connect a golden set to my knowledge base?"
    spec["containers"][0]["command"] = ["platform-pipelines", "search", "handbook", question]
    assert "revision " in installed.space.run(spec, seconds=180)

    status, _ = installed.finished("handbook_refresh", seconds=200)
    assert status == "SUCCESS"
    assert len([job for job in installed.space.jobs() if _stage(job)]) == len(stages)


def _stage(job: dict[str, Any]) -> str | None:
    return job["metadata"]["labels"].get("platform-pipelines/stage")
