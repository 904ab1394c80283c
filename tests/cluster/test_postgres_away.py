"""A refresh in the cluster ends well, or by its name, when Postgres is away while it works."""

import subprocess
from collections.abc import Iterator

import pytest

from platform_pipelines.gateways.clock import SystemClock
from platform_pipelines.stages.road.backends import open_jobs
from platform_pipelines.stages.road.sweeping import find_orphans, sweep_orphans
from tests.knowledge import Knowledge
from tests.platform_sample import kubeconfig
from tests.servers.for_pods import IMAGE
from tests.servers.installed_chart import (
    SAMPLE_DOCUMENTS,
    STAGE,
    Installed,
    installed_chart,
    stage_of,
)
from tests.servers.milvus_server import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(1800)]
AWAY_SECONDS, PATIENCE_SECONDS = 60, 300
POOLS = """
{ instance { concurrencyLimits {
    concurrencyKey activeSlotCount claimedSlots { runId } pendingSteps { runId }
} } }
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    with installed_chart(tmp_path_factory.mktemp("away"), "pp-postgres-away") as made:
        yield made


def test_a_refresh_outlives_its_postgres(installed: Installed) -> None:
    """Every connection is cut, and none is taken for a minute, while a stage works.

    The run ends within five minutes of the database's return, is started again where it was lost,
    and releases every document once; no Job, no slot of a pool is left.
    """
    run = installed.launch("handbook_refresh")
    wait_until(lambda: bool(installed.running(**{STAGE: "documents"})), seconds=180)
    clock = SystemClock()
    installed.database.stop()
    subprocess.run(["sleep", str(AWAY_SECONDS)], check=True, timeout=2 * AWAY_SECONDS)
    installed.database.start()
    back = clock.monotonic()
    status, log = installed.ended(run, seconds=3 * PATIENCE_SECONDS)
    took = clock.monotonic() - back
    assert status == "SUCCESS", "\n".join(log[-30:])

    here = Knowledge(installed.settings.home, {"name": "handbook"}, installed.settings)
    ids = here.chunk_ids()
    assert len(ids) == len(set(ids))
    assert len(installed.documents("handbook")) == SAMPLE_DOCUMENTS

    jobs = open_jobs(here.on(compute="kubernetes", namespace=installed.space.name, image=IMAGE,
                             kubeconfig=kubeconfig()).settings)  # fmt: skip
    seen = find_orphans(jobs, set())
    assert (seen, sweep_orphans(jobs, seen, set())) == ((), ())
    for pool in installed.ask(POOLS)["instance"]["concurrencyLimits"]:
        assert (pool["activeSlotCount"], pool["claimedSlots"], pool["pendingSteps"]) == (0, [], [])

    before = len([job for job in installed.space.jobs() if stage_of(job)])
    status, log = installed.finished("handbook_refresh", seconds=200)
    assert status == "SUCCESS", "\n".join(log[-20:])
    assert len([job for job in installed.space.jobs() if stage_of(job)]) == before
    assert here.chunk_ids() == ids
    assert took < PATIENCE_SECONDS
