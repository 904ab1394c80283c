"""Faults of nodes and pods under the vectors of small knowledge bases: resumed, or a typed failure.

Each has its own knowledge base and its own profile.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.errors import (
    ConfigurationError,
    MemoryBudgetError,
    PlatformError,
    UnavailableError,
)
from platform_pipelines.settings import Settings
from platform_pipelines.stages.road.backends import open_jobs
from platform_pipelines.stages.road.sweeping import find_orphans, sweep_orphans
from tests.platform_sample import connected
from tests.servers.for_pods import Space, restricted_namespace, s3_for_pods
from tests.servers.in_pods import InPods, in_pods, settings_in_pods
from tests.servers.milvus_server import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(500)]
INDEX = "batch.kubernetes.io/job-completion-index"
ON_SPOT = {
    "node_selector": {"karpenter.sh/nodepool": "gpu-spot"},
    "tolerations": [{"key": "nvidia.com/gpu"}, {"key": "spot-instance"}],
}
ON_GPU = {
    "node_selector": {"karpenter.sh/nodepool": "gpu-inference"},
    "tolerations": [{"key": "nvidia.com/gpu"}],
}


@pytest.fixture(scope="module")
def space() -> Iterator[Space]:
    with connected() as (connection, _), restricted_namespace(connection, "pp-lost-pods") as made:
        yield made


@pytest.fixture(scope="module")
def settings(
    tmp_path_factory: pytest.TempPathFactory, space: Space, lite_uri: str
) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("lost")
    with (
        s3_for_pods(folder / "s3") as server,
        settings_in_pods(folder / "home", server, lite_uri) as made,
    ):
        space.give(made)
        yield made


def while_it_works(made: InPods, fault: Callable[[str], None]) -> list[PlatformError]:
    """Refresh, and do something to its first pod that works, by its name; how the refresh failed.

    A refresh that ended before any pod worked is told as what it ended with.
    """
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(made.refresh)
        wait_until(lambda: running.done() or bool(made.pods("Running")), seconds=120)
        if running.done():
            running.result()
        fault(made.pods("Running")[0]["metadata"]["name"])
        error = running.exception(300)
    assert error is None or isinstance(error, PlatformError)
    return [error] if error else []


def nothing_is_left(made: InPods) -> None:
    """No Job works on, and two sweeps find none."""
    jobs = open_jobs(made.pods_of.settings)
    wait_until(lambda: not made.unfinished(), seconds=30)  # a Job that is being deleted
    seen = find_orphans(jobs, set())
    assert (seen, sweep_orphans(jobs, seen, set())) == ((), ())


def whole(made: InPods) -> None:
    """Every document is released once, and a refresh finds nothing to do."""
    found = {made.here.found(f"quota of pool number {n}", k=12)[0] for n in range(6)}
    assert found <= {f"guide{n}.md" for n in range(6)}
    chunks = made.here.chunk_ids()
    assert len(chunks) == len(set(chunks)) == 6  # one of each document
    assert not made.pods_of.run("vectors").is_changed


def test_a_worker_killed_for_memory_is_tried_once(
    tmp_path: Path, settings: Settings, space: Space
) -> None:
    """It would be killed again at the same size, whatever the profile says of retries."""
    made = in_pods(tmp_path, settings, space, {"memory": "24Mi", "retries": 3})
    with pytest.raises(MemoryBudgetError):
        made.vectors()
    names = [pod["metadata"]["annotations"][INDEX] for pod in made.pods()]
    assert len(names) == len(set(names))
    nothing_is_left(made)


@pytest.mark.long
def test_an_evicted_pod_costs_no_try(tmp_path: Path, settings: Settings, space: Space) -> None:
    """The eviction API marks the pod as disrupted; the index is done by another."""
    made = in_pods(tmp_path, settings, space, {**ON_GPU, "retries": 0})

    def evict(pod: str) -> None:
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
        made.space.connection.request("POST", f"{space.path}/pods/{pod}/eviction", body=body)

    assert while_it_works(made, evict) == []
    (job,) = made.jobs()
    assert job["status"]["succeeded"] == job["spec"]["completions"]
    whole(made)
    nothing_is_left(made)


@pytest.mark.parametrize(
    ("profile", "error", "words"),
    [
        ({"gpu": 64, **ON_GPU, "start_seconds": 15}, UnavailableError, "Insufficient"),
        ({"image": "testcluster.local/absent:1"}, ConfigurationError, "cannot start"),
    ],
)
@pytest.mark.long
def test_what_cannot_start_ends_with_the_reason(
    profile: dict[str, Any],
    error: type[Exception],
    words: str,
    tmp_path: Path,
    settings: Settings,
    space: Space,
) -> None:
    """No node has 64 GPUs; no registry has the image: the words of Kubernetes, and no Job left."""
    made = in_pods(tmp_path, settings, space, profile)
    with pytest.raises(error, match=words):
        made.vectors()
    nothing_is_left(made)


@pytest.mark.long
def test_a_spot_node_that_dies_and_is_deleted_costs_no_try(
    tmp_path: Path, settings: Settings, space: Space
) -> None:
    """Every process of it dies at once; a node that comes later takes the index."""
    program = shutil.which("testcluster")
    if program is None:
        pytest.skip("nothing here can pull a node's plug")
    nodes = {"labelSelector": "karpenter.sh/nodepool=gpu-spot"}
    if not space.connection.request("GET", "/api/v1/nodes", query=nodes)["items"]:
        pytest.skip("the cluster has no node of the pool gpu-spot")
    made = in_pods(tmp_path, settings, space, {**ON_SPOT, "retries": 0})

    def pull_the_plug(pod: str) -> None:
        subprocess.run([program, "power", "off", "spot"], check=True, timeout=60)
        space.connection.request("DELETE", "/api/v1/nodes/spot")
        # The new node has the name of the lost one: whose pods must be gone with it before.
        wait_until(lambda: pod not in [p["metadata"]["name"] for p in space.pods()], seconds=150)
        subprocess.run([program, "power", "on", "spot"], check=True, timeout=90)

    assert while_it_works(made, pull_the_plug) == []
    (job,) = made.jobs()
    assert job["status"]["succeeded"] == job["spec"]["completions"]
    whole(made)
    nothing_is_left(made)


@pytest.mark.long
def test_an_api_server_that_is_away_is_waited_for(
    tmp_path: Path, settings: Settings, space: Space
) -> None:
    """Its packets are dropped for 30 s: the Job goes on, and is followed again."""
    program = shutil.which("iptables")
    if program is None:
        pytest.skip("nothing here drops packets")
    host = space.connection.server.removeprefix("https://").partition(":")[0]
    rule = ["OUTPUT", "-d", host, "-p", "tcp", "--dport", "6443", "-j", "DROP"]
    made = in_pods(tmp_path, settings, space, ON_GPU)

    def drop(_: str) -> None:
        subprocess.run([program, "-I", *rule], check=True, timeout=30)
        try:
            subprocess.run(["sleep", "30"], check=True, timeout=60)
        finally:
            subprocess.run([program, "-D", *rule], check=True, timeout=30)

    assert while_it_works(made, drop) == []
    whole(made)
    nothing_is_left(made)
