"""A refresh in the cluster goes on when its pods, its daemon and its code location are lost."""

import pytest

from platform_pipelines.compute.pod_specs import PodSettings, pod_spec
from platform_pipelines.core.road.compute_profiles import seed_profiles
from tests.servers.for_pods import CONFIG, IMAGE
from tests.servers.installed_chart import PROFILES, STAGE, Installed, stage_of
from tests.servers.milvus_server import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def kill(installed: Installed, **labels: str) -> str:
    """At once, without the time to say goodbye; the pod's name."""
    wait_until(lambda: bool(installed.running(**labels)), seconds=120)
    name = str(installed.running(**labels)[0]["metadata"]["name"])
    installed.space.connection.request(
        "DELETE", f"{installed.space.path}/pods/{name}", query={"gracePeriodSeconds": "0"}
    )
    return name


def test_a_refresh_outlives_its_pods(installed: Installed) -> None:
    """A task's pod, the daemon, the code location and the run's own pod are killed in one refresh.

    The run is started again under its id, finds what is done, adopts the Job that works, and
    releases every document once. Nothing is left over, and the next refresh has nothing to do.
    """
    component = "app.kubernetes.io/component"
    run = installed.launch("handbook_refresh")
    kill(installed, **{STAGE: "documents"})
    for name in ("daemon", "code"):
        kill(installed, **{component: name})
    wait_until(lambda: bool(installed.running(**{STAGE: "vectors"})), seconds=240)
    kill(installed, **{component: "run"})

    status, log = installed.ended(run, seconds=400)
    assert status == "SUCCESS", "\n".join(log[-20:])
    assert any("resume" in line.lower() for line in log), log

    jobs = installed.space.jobs()
    stages = [job for job in jobs if stage_of(job)]
    assert {stage_of(job) for job in stages} == {"documents", "chunks", "vectors", "evidence"}
    assert all(job["status"]["succeeded"] == job["spec"]["completions"] for job in stages)
    assert not [job for job in stages if job["status"].get("active")]

    profile = seed_profiles()["cpu"].model_copy(update=PROFILES["cpu"])
    spec = pod_spec(
        profile, PodSettings(installed.space.name, IMAGE, (CONFIG,), (CONFIG,)), arguments=[]
    )
    question = "How do I connect a golden set to my knowledge base?"
    spec["containers"][0]["command"] = ["platform-pipelines", "search", "handbook", question]
    assert "revision " in installed.space.run(spec, seconds=180)

    status, log = installed.finished("handbook_refresh", seconds=200)
    assert status == "SUCCESS", "\n".join(log[-20:])
    assert len([job for job in installed.space.jobs() if stage_of(job)]) == len(stages)
