"""The chart installed with Helm, and the shipped handbook refreshed through its web server."""

from collections.abc import Iterator

import pytest

from platform_pipelines.compute.pod_specs import PodSettings, pod_spec
from platform_pipelines.core.road.compute_profiles import seed_profiles
from tests.servers.for_pods import CONFIG, IMAGE
from tests.servers.installed_chart import PROFILES, Installed, installed_chart, stage_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
SPACE = "pp-cluster-chart"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    with installed_chart(tmp_path_factory.mktemp("chart"), SPACE) as made:
        yield made


def test_the_handbook_is_refreshed_through_the_web_server(installed: Installed) -> None:
    """Each run is a Job, each stage of tasks an Indexed Job; what is released is searched in a pod.

    A second refresh makes no Job of a stage.
    """
    status, log = installed.finished("handbook_refresh", seconds=400)
    assert status == "SUCCESS", "\n".join(log[-20:])
    stages = [job for job in installed.space.jobs() if stage_of(job)]
    assert {stage_of(job) for job in stages} == {"documents", "chunks", "vectors", "evidence"}
    assert all(job["status"]["succeeded"] == job["spec"]["completions"] for job in stages)
    assert any("Job vectors-" in line for line in log), log

    profile = seed_profiles()["cpu"].model_copy(update=PROFILES["cpu"])
    spec = pod_spec(profile, PodSettings(SPACE, IMAGE, (CONFIG,), (CONFIG,)), arguments=[])
    question = "How do I connect a golden set to my knowledge base?"
    spec["containers"][0]["command"] = ["platform-pipelines", "search", "handbook", question]
    told = installed.space.run(spec, seconds=180)
    assert "revision " in told
    served = installed.found("handbook", question)
    assert served["revision"] in told
    assert served["hits"]

    status, _ = installed.finished("handbook_refresh", seconds=200)
    assert status == "SUCCESS"
    assert len([job for job in installed.space.jobs() if stage_of(job)]) == len(stages)
