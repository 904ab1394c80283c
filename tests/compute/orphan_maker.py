"""A parent to be killed: prints the pids of a worker and of its child, both hanging."""

import sys

from platform_pipelines.compute.pool import WorkerPool
from platform_pipelines.compute.protocol import Budget, ItemDone, Task

HANG = {"do": "backtrack"}

if __name__ == "__main__":
    budget = Budget(seconds_per_item=3600.0, memory_bytes=1 << 30)
    pool = WorkerPool(workers=1, budget=budget, environment={"PYTHONPATH": sys.argv[1]})
    for outcome in pool.run(
        "operations:act", [Task("t", ({"do": "grandchild"},)), Task("u", (HANG,))]
    ):
        if isinstance(outcome, ItemDone):
            print(outcome.result["pid"], outcome.result["child"], flush=True)
