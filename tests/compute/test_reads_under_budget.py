"""Reading a source inside a worker whose memory is bounded: 16 objects at once, or in turn."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from platform_pipelines.compute.pool import WorkerPool
from platform_pipelines.compute.protocol import Budget, ItemDone, Task
from platform_pipelines.core.knowledge_base.parse_declaration import ParseSpec
from platform_pipelines.settings import load_settings

CONCURRENCY = 16
AT_ONCE = {"together": CONCURRENCY, "concurrency": CONCURRENCY}
NO_THREAD = {"together": 1, "concurrency": CONCURRENCY, "stack_bytes": 2**31}


@pytest.mark.parametrize("item", [AT_ONCE, NO_THREAD], ids=["at once", "no thread starts"])
def test_a_whole_task_is_read_under_the_default_budget(
    item: Mapping[str, object], tmp_path: Path
) -> None:
    """An S3 source with 14 documents in a shard failed with "can't start new thread": each thread's
    arena took 64 MiB of the worker's addresses."""
    settings = load_settings({"PLATFORM_HOME": str(tmp_path)})
    environment = {**settings.worker_environment, "PYTHONPATH": str(Path(__file__).parent)}
    budget = Budget(seconds_per_item=60, memory_bytes=ParseSpec().memory_mb * 1024**2)
    with WorkerPool(workers=1, budget=budget, environment=environment) as pool:
        outcomes = list(pool.run("operations:read_at_once", [Task("t", (item,))]))
    assert [o.result for o in outcomes if isinstance(o, ItemDone)] == [{"read": True}]
