"""The chart installed with Helm, and the shipped handbook refreshed through its web server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_pipelines.compute.pod_specs import PodSettings, pod_spec
from platform_pipelines.core.road.compute_profiles import seed_profiles
from tests.servers.chromium import chromium
from tests.servers.for_pods import CONFIG, IMAGE
from tests.servers.installed_chart import PROFILES, Installed, installed_chart, stage_of
from tests.servers.milvus_server import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
SPACE = "pp-cluster-chart"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    with installed_chart(tmp_path_factory.mktemp("chart"), SPACE) as made:
        yield made


def test_the_handbook_is_refreshed_through_the_web_server(installed: Installed) -> None:
    """Each run is a Job, each stage of tasks an Indexed Job; what is released is searched in a pod.

    A second refresh makes no Job of a stage, and writes nothing.
    """
    run = installed.launch("handbook_refresh")
    status, log = installed.ended(run, seconds=400)
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

    before = installed.stored()
    status, _ = installed.finished("handbook_refresh", seconds=200)
    assert status == "SUCCESS"
    assert len([job for job in installed.space.jobs() if stage_of(job)]) == len(stages)
    assert installed.stored() == before


@pytest.mark.browser
def test_the_page_of_a_run_shows_how_far_all_shards_are(
    installed: Installed, tmp_path: Path
) -> None:
    """In a real browser, through the Service: a line for each stage that says all of its tasks."""
    if not installed.runs():
        installed.finished("handbook_refresh", seconds=400)
    run = installed.runs()[-1]
    stages = [job for job in installed.space.jobs() if stage_of(job)]
    wanted = [
        f"{stage_of(job)}: {n} of {n} tasks" for job in stages for n in [job["spec"]["completions"]]
    ]
    assert wanted
    with chromium() as page:
        page.open(f"{installed.web}/runs/{run}")
        wait_until(lambda: all(line in page.text() for line in wanted), seconds=120)
        assert "handbook_refresh" in page.text()
        page.picture(tmp_path / "run.png")
