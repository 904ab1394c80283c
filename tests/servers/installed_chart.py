"""The chart, installed with Helm on the cluster under test, and asked through its web server."""

import json
import os
import secrets
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_pipelines.settings import Settings
from tests.platform_sample import connected, kubeconfig
from tests.servers.for_pods import (
    HOST,
    IMAGE,
    Space,
    restricted_namespace,
    s3_for_pods,
    settings_for_pods,
)
from tests.servers.milvus_server import wait_until
from tests.servers.postgres_server import Postgres, postgres

CHART = Path(__file__).parents[2] / "deploy" / "chart"
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
    serve: str
    token: str

    def found(self, knowledge_base: str, query: str) -> dict[str, Any]:
        """What the platform's `serve` finds, asked through its Service."""
        body = {"knowledge_base": knowledge_base, "query": query, "k": 3}
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(
            f"{self.serve}/v1/search", json.dumps(body).encode(), headers
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)

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
        return self.ended(self.launch(job), seconds=seconds)

    def launch(self, job: str) -> str:
        """The run's id."""
        # The web server loads the code location some seconds after both are ready.
        wait_until(lambda: bool(self._repositories()), seconds=60)
        (repository,) = self._repositories()
        launched = self.ask(LAUNCH, repository=repository["name"], job=job)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        return str(launched["run"]["runId"])

    def ended(self, run: str, *, seconds: float) -> tuple[str, list[str]]:
        """Wait for a run's end: status, and what its log says."""
        seen: dict[str, Any] = {}

        def has_ended() -> bool:
            seen.update(self.ask(RUN, id=run))
            return seen["runOrError"]["status"] in ("SUCCESS", "FAILURE", "CANCELED")

        wait_until(has_ended, seconds=seconds)
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
        "serve": {
            "enabled": True,
            "replicas": 1,
            "tokensSecret": "tenants",
            "resources": {"requests": {"cpu": "50m", "memory": "384Mi"}},
        },
    }


@contextmanager
def installed_chart(folder: Path, name: str) -> Iterator[Installed]:
    """The chart in a restricted namespace of this name, with S3, Milvus and Postgres of its own."""
    helm = shutil.which("helm")
    if helm is None:
        pytest.skip("helm is not installed")
    with (
        connected() as (connection, _),
        s3_for_pods(folder / "s3") as server,
        postgres(HOST) as database,
        restricted_namespace(connection, name) as space,
    ):
        settings = settings_for_pods(folder / "home", server)
        space.give(settings)
        secret = {"kind": "Secret", "stringData": {"DAGSTER_PG_PASSWORD": database.password}}
        space.create("secrets", secret, "dagster-postgres")
        token = secrets.token_hex(16)
        tenants = {"kind": "Secret", "stringData": {"tokens.json": json.dumps({"default": token})}}
        space.create("secrets", tenants, "tenants")
        said = folder / "values.yaml"
        said.write_text(yaml.safe_dump(values(settings, database)), encoding="utf-8")
        done = subprocess.run(
            [helm, "install", "pp", str(CHART), "-n", name, "-f", str(said), "--wait",
             "--timeout", "240s"],
            check=False, capture_output=True, text=True, timeout=280,
            env={**os.environ, "KUBECONFIG": str(kubeconfig())},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        services = [
            connection.request("GET", f"{space.path}/services/pp-{one}") for one in ("web", "serve")
        ]
        web, serve = (f"http://{one['spec']['clusterIP']}" for one in services)
        yield Installed(space, settings, web, serve, token)


def stage_of(job: dict[str, Any]) -> str | None:
    """Of a Job that does tasks; runs have none."""
    return job["metadata"]["labels"].get("platform-pipelines/stage")
