"""The shipped code location: what it offers, and what loading it costs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from platform_pipelines.definitions import defs
from platform_pipelines.stages.knowledge_base.workspace import STAGES

ROOT = Path(__file__).resolve().parents[2]
# Not boto3: dagster-aws registers components of its own, which Dagster imports while it loads ours,
# and they import it. Name it here again when that package imports it later.
HEAVY = (
    "torch", "ray", "kubernetes", "pymilvus", "milvus_lite", "ragas", "mlflow", "transformers",
    "vllm", "pandas", "numpy", "pyarrow", "openvino", "onnx", "tokenizers",
    "langchain_text_splitters", "langchain_core", "matplotlib", "obstore", "httpx", "litellm",
    "openai",
)  # fmt: skip

# Loads the code location in a process that may reach nothing, and tells what came with it.
LOAD = """
import json, socket, sys

def refuse(*_):
    raise OSError("no network in this test")

socket.socket.connect = refuse
socket.getaddrinfo = refuse

from platform_pipelines.definitions import defs

keys = defs().get_repository_def().asset_graph.get_all_asset_keys()
print(json.dumps({
    "assets": sorted(key.to_user_string() for key in keys),
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
}))
"""


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    return defs().get_repository_def()


def test_it_loads_without_network_environment_and_heavy_libraries() -> None:
    """A code location that reads the environment or the network at load fails in a locked-down
    pod, and one that imports torch makes every step pay for it."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert len(loaded["assets"]) == len(STAGES) + 1
    assert set(HEAVY) & set(loaded["modules"]) == set()


def test_its_assets_are_the_shipped_knowledge_base(repository: dg.RepositoryDefinition) -> None:
    """Renaming an asset loses its history: it must be a decision, not a side effect."""
    keys = sorted(k.to_user_string() for k in repository.asset_graph.get_all_asset_keys())
    assert keys == [
        "handbook/chunks",
        "handbook/documents",
        "handbook/evidence",
        "handbook/index",
        "handbook/release",
        "handbook/source",
        "handbook/vectors",
    ]


def test_its_jobs_schedules_and_sensors(repository: dg.RepositoryDefinition) -> None:
    """Names are what people switch on and what CI launches."""
    jobs = sorted(job.name for job in repository.get_all_jobs() if not job.name.startswith("__"))
    assert jobs == ["handbook_refresh", "handbook_rollback", "orphaned_jobs_sweep"]
    assert [one.name for one in repository.schedule_defs] == ["handbook_schedule"]
    assert sorted(one.name for one in repository.sensor_defs) == ["handbook_watch", "orphaned_jobs"]


def test_its_checks(repository: dg.RepositoryDefinition) -> None:
    """Each stage has one check, and what a wrong index could pass blocks what comes after."""
    graph = repository.asset_graph
    checks = {
        f"{key.asset_key.path[-1]}/{key.name}": graph.get_check_spec(key).blocking
        for key in graph.asset_check_keys
    }
    assert checks == {
        "documents/nothing_quarantined": False,
        "chunks/chunks_exist": True,
        "vectors/one_vector_a_chunk": True,
        "index/counts_reconcile": True,
        "evidence/gate": True,
        "release/readers_follow": False,
    }


def test_each_asset_follows_the_one_before(repository: dg.RepositoryDefinition) -> None:
    """A release that does not wait for its evidence is no gate."""
    graph = repository.asset_graph
    parents = {
        key.path[-1]: [parent.path[-1] for parent in graph.get(key).parent_keys]
        for key in graph.get_all_asset_keys()
    }
    above = ["source", *STAGES]
    assert parents == {"source": []} | {s: [above[number]] for number, s in enumerate(STAGES)}


@pytest.mark.parametrize("stage", STAGES)
def test_every_asset_has_what_people_and_the_scheduler_need(
    repository: dg.RepositoryDefinition, stage: str
) -> None:
    """An asset without owner, pool, retry, time-out or code version is one that nobody runs."""
    key = dg.AssetKey(["handbook", stage])
    node = repository.asset_graph.get(key)
    assert node.owners == ["team:platform"]
    assert node.group_name == "handbook"
    assert node.description
    assert node.kinds
    assert node.code_version
    assert node.pools == {"knowledge_base_handbook"}
    step = repository.assets_defs_by_key[key].op
    assert step.retry_policy is not None
    assert step.retry_policy.max_retries >= 1
    assert int(step.tags["platform/timeout_seconds"]) > 0


def test_the_jobs_end_by_themselves(repository: dg.RepositoryDefinition) -> None:
    """A run that hangs would hold its pool for ever."""
    for name in ("handbook_refresh", "handbook_rollback"):
        tags = repository.get_job(name).run_tags or repository.get_job(name).tags
        assert int(tags["dagster/max_runtime"]) > 0


def test_nothing_starts_by_itself(repository: dg.RepositoryDefinition) -> None:
    """Opening the UI must not start runs on somebody's laptop."""
    schedule, sensor = repository.schedule_defs[0], repository.sensor_defs[0]
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 * * * *", "Asia/Seoul")


def test_the_workspace_file_names_this_location() -> None:
    """`dagster dev -w workspace.yaml` opens the same location as `dg dev`."""
    import yaml

    loaded = yaml.safe_load((ROOT / "workspace.yaml").read_text(encoding="utf-8"))
    module = loaded["load_from"][0]["python_module"]
    assert module["module_name"] == "platform_pipelines.definitions"
    assert os.path.isdir(ROOT / module["working_directory"] / "platform_pipelines")
