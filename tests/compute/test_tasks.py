"""Tasks: the same outcomes in worker processes, in this process and from a plan in the store."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from platform_pipelines.compute import plans
from platform_pipelines.compute.local_backend import HereBackend, LocalBackend
from platform_pipelines.compute.tasks import Backend, TaskFailed, TaskRecord, TaskSpec
from platform_pipelines.errors import ConfigurationError, DimensionError, IntegrityError
from platform_pipelines.settings import Settings
from platform_pipelines.stages.road.access import access_record, open_named
from tests.compute import operations
from tests.knowledge import settings_under

OPERATIONS = Path(__file__).parent
NAME = "operations:tasked"


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    """A platform of this test's own; nothing of it is served."""
    return settings_under(tmp_path / "home", None, workers=2)


def specs(settings: Settings, *arguments: dict[str, object]) -> list[TaskSpec]:
    store = f"{settings.store_url}/knowledge/kb"
    return [
        TaskSpec(operation=NAME, shard=n, store=store, arguments=given)
        for n, given in enumerate(arguments)
    ]


def local(settings: Settings) -> LocalBackend:
    environment = {**settings.worker_environment, "PYTHONPATH": str(OPERATIONS)}
    return LocalBackend(settings.workers, access_record(settings), environment)


def here(settings: Settings) -> HereBackend:
    return HereBackend({NAME: operations.tasked}, access_record(settings))


@pytest.mark.parametrize("backend_of", [local, here])
def test_every_task_has_one_outcome_and_progress_counts_what_was_done(
    own: Settings, backend_of: "type[object]"
) -> None:
    """Its files are in its store; a failed one says why and costs no other task."""
    tasks = specs(own, {"rows": 1}, {"raises": "terminal"}, {"rows": 3}, {"raises": "transient"})
    said: list[str] = []
    backend: Backend = backend_of(own)  # pyright: ignore[reportCallIssue, reportAssignmentType]
    outcomes = list(backend.run("chunks", tasks, profile="", progress=said.append))
    assert Counter(o.shard for o in outcomes) == Counter(range(4))
    records = {o.task: o.record for o in outcomes if isinstance(o, TaskRecord)}
    assert records == {tasks[0].digest: {"rows": 1}, tasks[2].digest: {"rows": 3}}
    failed = {o.shard: o for o in outcomes if isinstance(o, TaskFailed)}
    assert (failed[1].terminal, failed[3].terminal) == (True, False)
    error = failed[1].to_error()
    assert isinstance(error, DimensionError)
    assert (error.stored, error.expected) == (3, 4)
    assert said[-1] == "chunks: 4 of 4 tasks, 4 documents"
    store = open_named(access_record(own), tasks[0].store)
    assert {o.key for batch in store.list_objects("made") for o in batch} == {"made/0", "made/2"}


def run_worker(settings: Settings, *arguments: str, **environment: str) -> tuple[int, str, str]:
    path = os.pathsep.join([str(OPERATIONS), *map(os.path.abspath, sys.path)])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "platform_pipelines.worker", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PYTHONPATH": path, "PLATFORM_HOME": str(settings.home), **environment},
    )
    return done.returncode, done.stdout, done.stderr


def test_a_task_of_a_plan_runs_by_its_index_and_leaves_its_record(own: Settings) -> None:
    """What one pod of an Indexed Job does; twice is as once."""
    tasks = specs(own, {"rows": 1}, {"rows": 2}, {"raises": "transient"}, {"raises": "terminal"})
    store = open_named(access_record(own), tasks[0].store, create=True)
    plan = plans.write_plan(store, tasks)
    assert plan == plans.plan_key(tasks)
    key = f"knowledge/kb/{plan}"
    for _ in range(2):
        code, printed, log = run_worker(own, "--plan", key, "--index", "1")
        assert code == 0, log
        assert json.loads(printed.splitlines()[-1])["record"] == {"rows": 2}
    found = plans.read_outcome(store, plan, 1, tasks[1])
    assert found == TaskRecord(task=tasks[1].digest, shard=1, record={"rows": 2})
    assert plans.read_outcome(store, plan, 0, tasks[0]) is None
    for index, code in ((2, 75), (3, 65)):
        assert run_worker(own, "--plan", key, JOB_COMPLETION_INDEX=str(index))[0] == code
        outcome = plans.read_outcome(store, plan, index, tasks[index])
        assert isinstance(outcome, TaskFailed)
        assert outcome.terminal == (code == 65)


def test_a_task_spec_in_a_file_runs_with_the_access_of_this_process(
    own: Settings, tmp_path: Path
) -> None:
    """`worker --task` takes both shapes."""
    (task,) = specs(own, {"rows": 5})
    path = tmp_path / "task.json"
    path.write_text(task.model_dump_json())
    code, printed, log = run_worker(own, "--task", str(path))
    assert code == 0, log
    assert json.loads(printed.splitlines()[-1])["result"] == {"rows": 5}


def test_a_process_without_an_index_or_a_plan_cannot_work(own: Settings) -> None:
    """Exit code 2: a person has to look."""
    tasks = specs(own, {"rows": 1})
    store = open_named(access_record(own), tasks[0].store, create=True)
    key = f"knowledge/kb/{plans.write_plan(store, tasks)}"
    assert run_worker(own, "--plan", key)[0] == 2
    assert run_worker(own, "--plan", key, "--index", "1")[0] == 2
    assert run_worker(own, "--plan", "knowledge/kb/tasks/none/plan.json", "--index", "0")[0] == 2


def test_a_plan_is_what_its_name_says_and_for_this_platform(own: Settings) -> None:
    """A task from elsewhere must not make a process with credentials write elsewhere."""
    tasks = specs(own, {"rows": 1})
    store = open_named(access_record(own), tasks[0].store, create=True)
    plan = plans.write_plan(store, tasks)
    other = tasks[0].model_copy(update={"store": f"{own.store_url}/../elsewhere"})
    for bad in (b"[]", b"{", json.dumps([other.model_dump(mode="json")]).encode()):
        store.put(plan, bad)
        with pytest.raises(IntegrityError):
            plans.read_plan(store, plan)
    for foreign in (other, other.model_copy(update={"store": "s3://elsewhere"})):
        with pytest.raises(ConfigurationError, match="another store"):
            plans.task_at([foreign], 0, root=own.store_url)
