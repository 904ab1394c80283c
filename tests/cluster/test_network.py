"""The chart's NetworkPolicies with traffic: who gets an answer from whom."""

import urllib.parse
from collections.abc import Iterator

import pytest

from platform_pipelines.compute.pod_specs import MANAGED, OWNER
from tests.platform_sample import connected
from tests.servers.for_pods import Space, restricted_namespace
from tests.servers.installed_chart import LOGIN_IMAGE, Installed
from tests.servers.milvus_server import wait_until
from tests.servers.probing import light_pod, listening, probe

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not LOGIN_IMAGE, reason="PP_TEST_LOGIN_IMAGE names no image of a login"),
]
STAGE = {**MANAGED, OWNER: "somebody", "platform-pipelines/stage": "vectors"}
ENGINE = 8123


@pytest.fixture(scope="module")
def foreign() -> Iterator[Space]:
    """Another namespace, without any policy."""
    with connected() as (connection, _), restricted_namespace(connection, "pp-foreign") as made:
        yield made


@pytest.fixture(scope="module")
def processes(installed: Installed) -> dict[str, str]:
    """Where everything of the installation that listens does: Services, and pods behind them."""
    space = installed.space
    listen = {"web": 3000, "code": 4000, "proxy": 4180}
    found = {f"{name}'s pod": f"{space.ip_of(name)}:{port}" for name, port in listen.items()}
    for name in listen:
        found[name] = space.address(f"pp-{name}").removeprefix("http://")
    return found


@pytest.fixture(scope="module")
def parts(installed: Installed) -> dict[str, str]:
    """What the installation uses, outside of the cluster's pods."""
    settings, connection = installed.settings, installed.space.connection
    api = connection.request("GET", "/api/v1/namespaces/default/services/kubernetes")["spec"]
    return {
        "store": urllib.parse.urlsplit(str(settings.s3.endpoint)).netloc,
        "milvus": urllib.parse.urlsplit(str(settings.milvus_uri)).netloc,
        "postgres": f"{installed.database.host}:{installed.database.port}",
        "API server": f"{api['clusterIP']}:443",
        "API server's own address": connection.server.removeprefix("https://"),
    }


@pytest.fixture(scope="module")
def stage_pod(installed: Installed) -> Iterator[str]:
    """A pod like those of a stage with an engine: it listens."""
    space = installed.space
    command = ["python", "-m", "http.server", str(ENGINE), "--directory", "/tmp"]
    pod = {"kind": "Pod", "spec": light_pod(*command)}
    space.create("pods", pod, "stage", labels=STAGE)
    wait_until(lambda: space.pod("stage")["status"]["phase"] == "Running", seconds=60)
    yield f"{space.pod('stage')['status']['podIP']}:{ENGINE}"
    path = f"{space.path}/pods/stage"
    space.connection.request("DELETE", path, query={"gracePeriodSeconds": "0"})


def test_nothing_answers_to_another_namespace(
    foreign: Space, processes: dict[str, str], stage_pod: str
) -> None:
    """Not the web server, the code location or the login, nor an engine in a stage's pod."""
    with listening() as open_to_all:
        targets = {**processes, "stage": stage_pod, "anything else": open_to_all}
        assert probe(foreign, targets) == {"anything else"}


def test_the_pod_of_a_stage_reaches_the_store_and_milvus_alone(
    installed: Installed, processes: dict[str, str], parts: dict[str, str], stage_pod: str
) -> None:
    """Not Postgres, the API server, Dagster's processes, another stage's pod or anything else."""
    with listening() as elsewhere:
        targets = {**processes, **parts, "stage": stage_pod, "elsewhere": elsewhere}
        assert probe(installed.space, targets, **STAGE) == {"store", "milvus"}


def test_a_run_reaches_postgres_and_the_api_server_besides(
    installed: Installed, processes: dict[str, str], parts: dict[str, str], stage_pod: str
) -> None:
    """It makes Jobs and writes what happens; nobody else is asked."""
    labels = {"app.kubernetes.io/instance": "pp", "app.kubernetes.io/component": "run"}
    with listening() as elsewhere:
        targets = {**processes, **parts, "stage": stage_pod, "elsewhere": elsewhere}
        assert probe(installed.space, targets, **labels) == set(parts)
