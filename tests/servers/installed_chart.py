"""The chart, installed with Helm on the cluster under test, and asked through its web server."""

import base64
import json
import os
import secrets
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_pipelines.gateways.cluster.connection import Connection
from platform_pipelines.settings import Settings
from tests.knowledge import Knowledge
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
from tests.servers.policy_replies import let_answers_through
from tests.servers.postgres_server import Postgres, postgres

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "chart"
LOGIN = DEPLOY / "login" / "nginx.yaml"
LOGIN_IMAGE = os.environ.get("PP_TEST_LOGIN_IMAGE", "")
STAGE = "platform-pipelines/stage"
SAMPLE_DOCUMENTS = 34
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
    database: Postgres
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

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
            f"{self.web}/graphql", body, {"Content-Type": "application/json", **self.headers}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            found = json.load(answer)
        assert "errors" not in found, found
        return found["data"]

    def answers(self) -> bool:
        """Whether the web server answers a question about runs now."""
        try:
            self.ask("{ runsOrError(limit: 1) { __typename } }")
        except (OSError, AssertionError):
            return False
        return True

    def stored(self) -> dict[str, str]:
        """Every object of the knowledge base `handbook` but leases, with its version."""
        here = Knowledge(self.settings.home, {"name": "handbook"}, self.settings)
        return {key: version for key, version in here.stored().items() if "lease" not in key}

    def runs(self) -> list[str]:
        """The ids of all runs, the newest first."""
        found = self.ask("{ runsOrError { ... on Runs { results { runId } } } }")
        return [str(run["runId"]) for run in found["runsOrError"]["results"]]

    def running(self, **labels: str) -> list[dict[str, Any]]:
        """Pods that work, with these labels."""
        return [
            pod
            for pod in self.space.pods()
            if pod["status"]["phase"] == "Running"
            and "deletionTimestamp" not in pod["metadata"]
            and labels.items() <= pod["metadata"]["labels"].items()
        ]

    def documents(self, knowledge_base: str) -> set[str]:
        """The keys of all documents whose chunks are released."""
        here = Knowledge(self.settings.home, {"name": knowledge_base}, self.settings)
        with here.behind() as client:
            rows: list[dict[str, str]] = client.query(
                here.log()[-1].target, "chunk_id != ''", output_fields=["document_key"], limit=9999
            )
        return {row["document_key"] for row in rows}

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
            try:
                seen.update(self.ask(RUN, id=run))
            except (OSError, AssertionError):  # a pod of it, or its database, may be starting again
                return False
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
def installed_chart(folder: Path, name: str, *, guarded: bool = False) -> Iterator[Installed]:
    """The chart in a restricted namespace of this name, with S3, Milvus and Postgres of its own.

    Guarded: nothing comes in or goes out but what must, and the web server is behind a login.
    """
    if shutil.which("helm") is None:
        pytest.skip("helm is not installed")
    if guarded and not LOGIN_IMAGE:
        pytest.skip("no image of the login is named (PP_TEST_LOGIN_IMAGE)")
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
        told, headers, files = values(settings, database), {}, []
        if guarded:
            let_answers_through()
            told |= holes(connection, settings, database)
            headers, files = {"Authorization": new_user(space)}, ["-f", str(LOGIN)]
        said = folder / "values.yaml"
        said.write_text(yaml.safe_dump(told), encoding="utf-8")
        done = helm("install", "pp", str(CHART), "-n", name, *files, "-f", str(said), "--wait",
                    "--timeout", "240s")  # fmt: skip
        assert done.returncode == 0, done.stderr
        # A Service hides who asks: who is let in by address asks the pod.
        web = f"http://{space.ip_of('proxy')}:4180" if guarded else space.address("pp-web")
        serve = space.address("pp-serve") if told["serve"]["enabled"] else ""
        yield Installed(space, settings, web, serve, token, database, headers)


def helm(*words: str) -> subprocess.CompletedProcess[str]:
    """Helm on the cluster under test."""
    return subprocess.run(
        ["helm", *words], check=False, capture_output=True, text=True, timeout=280,
        env={**os.environ, "KUBECONFIG": str(kubeconfig())},
    )  # fmt: skip


def holes(connection: Connection, settings: Settings, database: Postgres) -> dict[str, Any]:
    """Values: nothing comes in and goes out but where this cluster's parts are, and a login."""
    found = connection.request("GET", "/api/v1/namespaces/default/endpoints/kubernetes")
    (subset,) = found["subsets"]
    control = {"to": [_block(one["ip"]) for one in subset["addresses"]]}
    ports = [urllib.parse.urlsplit(str(url)).port for url in (settings.s3.endpoint,
                                                              settings.milvus_uri)]  # fmt: skip
    system = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    return {
        "network": {
            "dns": [system, *control["to"]],  # the test cluster's DNS is no pod
            "egress": [{"to": [_block(HOST)], "ports": [{"port": port} for port in ports]}],
            "controlEgress": [
                {**control, "ports": [{"port": one["port"]} for one in subset["ports"]]},
                {"to": [_block(database.host)], "ports": [{"port": database.port}]},
            ],
        },
        "proxy": {"image": LOGIN_IMAGE, "replicas": 1, "from": [_block(HOST)]},
        "serve": {"enabled": False},
    }


def _block(address: str) -> dict[str, Any]:
    return {"ipBlock": {"cidr": f"{address}/32"}}


def new_user(space: Space) -> str:
    """A user of the login, in the Secret that it reads; the header that says who it is."""
    word = secrets.token_hex(12)
    made = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"],
        input=word, check=True, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    secret = {"kind": "Secret", "stringData": {"htpasswd": f"somebody:{made.stdout}"}}
    space.create("secrets", secret, "login")
    return f"Basic {base64.b64encode(f'somebody:{word}'.encode()).decode()}"


def stage_of(job: dict[str, Any]) -> str | None:
    """Of a Job that does tasks; runs have none."""
    return job["metadata"]["labels"].get("platform-pipelines/stage")
