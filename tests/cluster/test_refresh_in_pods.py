"""The shipped handbook, refreshed by Dagster here with its stages as Jobs on the GPU's node."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from platform_pipelines.compute.pod_specs import PodSettings, pod_spec
from platform_pipelines.core.road.compute_profiles import read_profiles
from platform_pipelines.settings import Settings
from tests.declared import declaration, definitions, use_settings
from tests.platform_sample import connected, kubeconfig
from tests.servers.for_pods import (
    CONFIG,
    IMAGE,
    Space,
    restricted_namespace,
    s3_for_pods,
    settings_for_pods,
)

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
SPACE = "pp-cluster-refresh"
SAMPLES = Path(__file__).parents[2] / "platform_pipelines" / "samples"
# The test machine is small, and its nodes carry Karpenter's label of the pool.
PROFILES = {
    "gpu-inference": {
        "cpu_request": "200m",
        "memory": "3Gi",
        "shared_memory": "256Mi",
        "node_selector": {"karpenter.sh/nodepool": "gpu-inference"},
        "deadline_seconds": 600,
        "parallelism": 2,
    }
}
# Milvus 2.3.5 has no BM25: the vectors alone find less than the shipped declaration promises.
ATTRIBUTES: dict[str, Any] = {
    "name": "handbook",
    "owner": "team:platform",
    "embed": {"profile": "gpu-inference"},
    "parse": {"profile": "gpu-inference"},
    "index": {"keyword": False},
    "evaluation": {"cron": ["0 6 * * *"]},
    "gate": {
        "golden_set": str(SAMPLES / "golden" / "handbook.jsonl"),
        "floors": {"hit_at_k": 0.5},
    },
}


@pytest.fixture(scope="module")
def space() -> Iterator[Space]:
    with connected() as (connection, _), restricted_namespace(connection, SPACE) as made:
        yield made


@pytest.fixture
def platform(
    tmp_path: Path, space: Space, monkeypatch: pytest.MonkeyPatch, e5_model_dir: Path
) -> Iterator[Settings]:
    """A platform of this test's own, whose environment asks for Jobs."""
    with s3_for_pods(tmp_path / "s3") as server:
        settings = settings_for_pods(tmp_path / "home", server)
        client = server.client()
        client.create_bucket(Bucket="handbook")
        handbook = SAMPLES / "handbook"
        for path in sorted(p for p in handbook.rglob("*") if p.is_file()):
            key = f"docs/{path.relative_to(handbook).as_posix()}"
            client.put_object(Bucket="handbook", Key=key, Body=path.read_bytes())
        client.close()
        space.give(settings)
        profiles = tmp_path / "profiles.yaml"
        profiles.write_text(yaml.safe_dump(PROFILES), encoding="utf-8")
        use_settings(monkeypatch, settings)
        for name, value in {
            "PLATFORM_MODEL_DIR": str(e5_model_dir),
            "PLATFORM_COMPUTE": "kubernetes",
            "PLATFORM_NAMESPACE": SPACE,
            "PLATFORM_IMAGE": IMAGE,
            "PLATFORM_TASK_CONFIG_MAPS": CONFIG,
            "PLATFORM_TASK_SECRETS": CONFIG,
            "PLATFORM_PROFILES": str(profiles),
            "PLATFORM_KUBECONFIG": str(kubeconfig()),
        }.items():
            monkeypatch.setenv(name, value)
        yield settings


def run_job(name: str) -> tuple[dg.ExecuteInProcessResult, list[str]]:
    """A job as Dagster runs it; what the run's log says."""
    text = declaration({**ATTRIBUTES, "source": {"url": "s3://handbook/docs", "shards": 4}})
    with definitions(text) as defs, dg.DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def(name)
        result = job.execute_in_process(instance=instance, raise_on_error=True)
        log = instance.all_logs(result.run_id)
    return result, [entry.user_message for entry in log]


def test_the_handbook_is_refreshed_in_pods_released_and_searched_from_a_pod(
    platform: Settings, space: Space
) -> None:
    """Every stage of tasks is an Indexed Job on the node with GPUs, in a restricted namespace.

    What it made is found from a pod; a second refresh makes no Job and releases nothing.
    """
    result, log = run_job("handbook_refresh")
    assert result.success
    jobs = {job["metadata"]["labels"]["platform-pipelines/stage"]: job for job in space.jobs()}
    assert set(jobs) == {"documents", "chunks", "vectors", "evidence"}
    for job in jobs.values():
        assert job["spec"]["completionMode"] == "Indexed"
        assert job["status"]["succeeded"] == job["spec"]["completions"]
    pods = space.pods()
    assert {pod["spec"]["nodeName"] for pod in pods if _claims_gpu(pod)} == {"gpu"}
    assert all(_claims_gpu(pod) for pod in pods)
    for stage in jobs:
        assert any(line.startswith(f"{stage}: Job {stage}-") for line in log), log

    found = searched(space, "GPU 노드 풀의 한도는 몇 개입니까?")
    assert json.loads(found[found.index("{") : found.rindex("}") + 1])["hits"], found

    again, log = run_job("handbook_refresh")
    assert again.success
    assert len(space.jobs()) == len(jobs)
    assert not any(": Job " in line for line in log)

    # What the schedule starts at six o'clock.
    ticked, log = run_job("handbook_evaluation")
    assert ticked.success
    new = [job for job in space.jobs() if job["metadata"]["name"] not in names_of(jobs)]
    assert [job["metadata"]["labels"]["platform-pipelines/stage"] for job in new] == ["evidence"]
    assert new[0]["status"]["succeeded"] == new[0]["spec"]["completions"]
    assert any(line.startswith("evidence: Job evidence-") for line in log), log
    page = ticked.asset_materializations_for_node("handbook__evaluation")[0].metadata
    assert page["hit_at_k_since_release"].value == 0.0


def names_of(jobs: dict[str, dict[str, Any]]) -> set[str]:
    return {job["metadata"]["name"] for job in jobs.values()}


def searched(space: Space, question: str) -> str:
    """What the command line answers in a pod of the platform's image."""
    profile = read_profiles(yaml.safe_dump(PROFILES), where="test")["gpu-inference"]
    pods = PodSettings(SPACE, IMAGE, (CONFIG,), (CONFIG,))
    spec = pod_spec(profile, pods, arguments=["-m", "platform_pipelines.cli"])
    (container,) = spec["containers"]
    container["command"] = ["platform-pipelines", "search", "handbook", question, "--json"]
    return space.run(spec, seconds=180)


def _claims_gpu(pod: dict[str, Any]) -> bool:
    (container,) = pod["spec"]["containers"]
    return container["resources"]["limits"].get("nvidia.com/gpu") == "1"
