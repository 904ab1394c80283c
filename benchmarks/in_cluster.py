"""What a cluster costs beside the work: `python -m benchmarks --only cluster`.

It runs on the cluster that PLATFORM_KUBECONFIG names, with PLATFORM_COMPUTE=kubernetes,
PLATFORM_NAMESPACE, PLATFORM_IMAGE, PLATFORM_TASK_CONFIG_MAPS, PLATFORM_TASK_SECRETS and an S3 store
(PLATFORM_STORE_URL) that pods reach. Pods of the thousand shards are kwok's: real objects on a node
that only pretends, so that the follower sees a thousand pods and this machine runs none.
"""

import json
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from benchmarks.corpus import write_corpus
from benchmarks.report import Figure, Progress
from platform_pipelines.compute import plans
from platform_pipelines.compute.indexed_jobs import IndexedJobs
from platform_pipelines.compute.pod_specs import pod_spec
from platform_pipelines.compute.tasks import TaskFailed, TaskRecord, TaskSpec
from platform_pipelines.core.knowledge_base.declaration import parse_declaration
from platform_pipelines.core.road.compute_profiles import ComputeProfile, Toleration
from platform_pipelines.errors import ConflictError
from platform_pipelines.gateways.cluster.connection import ClusterAddress, Connection
from platform_pipelines.settings import Settings, load_settings
from platform_pipelines.stages.knowledge_base.chunks import refresh_chunks
from platform_pipelines.stages.knowledge_base.documents import refresh_documents
from platform_pipelines.stages.knowledge_base.vectors import refresh_vectors
from platform_pipelines.stages.knowledge_base.workspace import Workspace, open_workspace
from platform_pipelines.stages.road import connect as road_connect
from platform_pipelines.stages.road.backends import cluster_backend

JOB_TARGET = 1.2
PARALLEL_TARGET = 1 / 2.3
CORE_TARGET = 0.10
MEMORY_TARGET = 300e6
ROUNDS = 2
LONG_DOCUMENTS, SHORT_DOCUMENTS = 500, 45  # some 60 s of embedding, and three times 15 s
PARALLEL = 3
SHARDS = 1_000
NODE = "pretended"
MARK = "kwok.x-k8s.io/node"


def measure_cluster(progress: Progress) -> Iterator[Figure]:
    """A stage's overhead, indexes side by side, and what a thousand shards cost the run."""
    settings = load_settings()
    yield _overhead(settings, progress)
    yield _parallel(settings, progress)
    yield from _shards(settings, progress)


def jobs_on(settings: Settings, profile: ComputeProfile) -> IndexedJobs:
    """The product's own backend, with this profile alone."""
    backend = cluster_backend(settings, owner="benchmark")
    if not isinstance(backend, IndexedJobs):
        sys.exit("PLATFORM_COMPUTE=kubernetes is needed: see benchmarks/in_cluster.py")
    return replace(backend, profiles={profile.name: profile})


def pretended() -> ComputeProfile:
    """Of pods on kwok's node."""
    return ComputeProfile(
        name=NODE, cpu_request="10m", memory="64Mi", parallelism=100,
        node_selector={MARK: "fake"}, tolerations=(Toleration(key=MARK, value="fake"),),
    )  # fmt: skip


def shard_tasks(settings: Settings, count: int) -> list[TaskSpec]:
    """Tasks that nobody does."""
    store = f"{settings.store_url.rstrip('/')}/benchmark"
    return [
        TaskSpec(operation="benchmark.none", shard=shard, store=store, arguments={})
        for shard in range(count)
    ]


def _overhead(settings: Settings, progress: Progress) -> Figure:
    """A stage's task in a Job, to its outcome, and the same command in a pod made by hand."""
    profile = ComputeProfile(name="whole", cpu_request="100m", memory="2Gi")
    backend = jobs_on(settings, profile)
    (task,) = _embedding(settings, LONG_DOCUMENTS, tasks=1)
    spent: dict[str, list[float]] = {"job": [], "pod": []}
    for _ in range(ROUNDS):
        spent["pod"].append(_timed(lambda: _in_pod(backend, profile, task)))
        progress(f"cluster: bare pod {spent['pod'][-1]:.1f} s")
        spent["job"].append(_timed(lambda: _in_job(backend, profile, [task])))
        progress(f"cluster: Job {spent['job'][-1]:.1f} s")
    job, pod = (statistics.mean(spent[name]) for name in ("job", "pod"))
    return Figure(
        name="a stage in a Job / the same command in a bare pod",
        value=job / pod,
        target=JOB_TARGET,
        detail=f"{job:.1f} s / {pod:.1f} s, means of {ROUNDS}",
        record=spent,
    )


def _parallel(settings: Settings, progress: Progress) -> Figure:
    """The same tasks one after another and side by side, each in a pod of 0.3 CPU."""
    tasks = _embedding(settings, SHORT_DOCUMENTS * PARALLEL, tasks=PARALLEL)
    spent: dict[int, float] = {}
    for pods in (1, PARALLEL):
        profile = ComputeProfile(
            name="narrow", cpu_request="50m", cpu_limit="300m", memory="1Gi", parallelism=pods
        )
        backend = jobs_on(settings, profile)
        spent[pods] = _timed(lambda b=backend, p=profile: _in_job(b, p, tasks))
        progress(f"cluster: {PARALLEL} indexes, {pods} at once: {spent[pods]:.1f} s")
    one, many = spent[1], spent[PARALLEL]
    return Figure(
        name=f"{PARALLEL} indexes at once / one after another, 0.3 CPU each",
        value=many / one,
        target=PARALLEL_TARGET,
        detail=f"{many:.1f} s / {one:.1f} s: {one / many:.2f} x",
        record={str(pods): seconds for pods, seconds in spent.items()},
    )


def _shards(settings: Settings, progress: Progress) -> Iterator[Figure]:
    """A thousand shards in one Indexed Job, followed by one process of its own."""
    tasks = shard_tasks(settings, SHARDS)
    connection = Connection(ClusterAddress(settings.kubeconfig, settings.kube_context))
    _pretend_node(connection)
    store = road_connect.open_own_store(settings, tasks[0].store)
    key = plans.plan_key(tasks)
    for index, task in enumerate(tasks):
        record = TaskRecord(task=task.digest, shard=task.shard, record={"rows": index})
        plans.write_outcome(store, key, index, record)
    progress(f"cluster: following {SHARDS:,} shards")
    command = [sys.executable, "-m", "benchmarks.follow_job", str(SHARDS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=1800)
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    connection.request("DELETE", f"/api/v1/nodes/{NODE}")
    share = told["cpu_seconds"] / told["seconds"]
    grown = told["bytes_most"] - told["bytes_before"]
    detail = f"{told['cpu_seconds']:.1f} s of processor in {told['seconds']:.0f} s"
    yield Figure(f"{SHARDS:,} shards: the run's share of a core", share, CORE_TARGET, detail, told)
    yield Figure(
        f"{SHARDS:,} shards: the run's memory for it / 300 MB",
        grown / MEMORY_TARGET,
        1.0,
        f"{grown / 1e6:.0f} MB more, {told['bytes_most'] / 1e6:.0f} MB in all",
        told,
    )


class _Planned(Exception):  # noqa: N818 - it is the answer
    """The tasks are known."""


class _Planner:
    """A backend that only looks at what it is given."""

    def __init__(self) -> None:
        self.tasks: list[TaskSpec] = []

    def run(self, stage: str, tasks: Sequence[TaskSpec], **_: object) -> NoReturn:
        """See `tasks.Backend`."""
        self.tasks = list(tasks)
        raise _Planned(stage)


def _embedding(settings: Settings, documents: int, *, tasks: int) -> list[TaskSpec]:
    """What the stage `vectors` plans for a new corpus, its shards divided among so many tasks."""
    here = replace(settings, compute="local")
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        write_corpus(Path(folder) / "corpus", documents)
        workspace = _workspace(here, Path(folder) / "corpus", shards=max(tasks, 2) * 2)
        refresh_documents(workspace)
        refresh_chunks(workspace)
        planner = _Planner()
        with suppress(_Planned):
            refresh_vectors(replace(workspace, backend=planner))
    found = planner.tasks
    shards = [shard for task in found for shard in task.arguments["shards"]]
    return [
        found[0].model_copy(
            update={"shard": n, "arguments": {**found[0].arguments, "shards": shards[n::tasks]}}
        )
        for n in range(tasks)
    ]


def _workspace(settings: Settings, corpus: Path, *, shards: int) -> Workspace:
    values = {
        "name": f"benchmark_{uuid.uuid4().hex[:8]}",
        "source": {"url": corpus.as_uri(), "shards": shards},
        "embed": {"provider": "local"},
    }
    spec = parse_declaration(values, where="benchmarks")
    return open_workspace(spec, settings, run_id="benchmark")


def _in_job(backend: IndexedJobs, profile: ComputeProfile, tasks: Sequence[TaskSpec]) -> None:
    for outcome in backend.run("bench", tasks, profile=profile.name, progress=lambda _: None):
        if isinstance(outcome, TaskFailed):
            raise outcome.to_error()


def _in_pod(backend: IndexedJobs, profile: ComputeProfile, task: TaskSpec) -> None:
    key = plans.write_plan(backend.open_store(task.store), [task])
    plan = f"{task.store.removeprefix(backend.root).strip('/')}/{key}"
    words = ["-m", "platform_pipelines.worker", "--plan", plan, "--index", "0"]
    name, base = f"bare-{uuid.uuid4().hex[:8]}", f"/api/v1/namespaces/{backend.pods.namespace}/pods"
    settings = load_settings()
    connection = Connection(ClusterAddress(settings.kubeconfig, settings.kube_context))
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": pod_spec(profile, backend.pods, arguments=words),
    }  # fmt: skip
    connection.request("POST", base, body=pod)
    while (phase := connection.request("GET", f"{base}/{name}")["status"]["phase"]) != "Succeeded":
        if phase == "Failed":
            sys.exit(f"the pod {name} failed")
        time.sleep(0.5)


def _pretend_node(connection: Connection) -> None:
    room = {"cpu": "1000", "memory": "4Ti", "pods": "2000"}
    node = {
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": NODE, "annotations": {MARK: "fake"}, "labels": {MARK: "fake"}},
        "spec": {"taints": [{"key": MARK, "value": "fake", "effect": "NoSchedule"}]},
        "status": {"allocatable": room, "capacity": room},
    }  # fmt: skip
    try:
        connection.request("POST", "/api/v1/nodes", body=node)
    except ConflictError:
        return  # of a benchmark that was ended


def _timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
