"""One process that follows an Indexed Job of many shards, as a run's pod does, and what that costs.

`python -m benchmarks.follow_job SHARDS` in the environment of `benchmarks.in_cluster`, which starts
it. It prints one JSON object: seconds, processor seconds, and bytes before and at most.
"""

import json
import resource
import sys
import time
from pathlib import Path

from benchmarks.contestant import cpu_seconds
from benchmarks.in_cluster import jobs_on, pretended, shard_tasks
from platform_pipelines.settings import load_settings


def main() -> None:
    """Create the Job, take every outcome, say what it cost."""
    settings = load_settings()
    backend = jobs_on(settings, pretended())
    tasks = shard_tasks(settings, int(sys.argv[1]))
    before = _resident()
    begun, cpu = time.perf_counter(), cpu_seconds()
    lines: list[str] = []
    outcomes = sum(
        1 for _ in backend.run("shards", tasks, profile=pretended().name, progress=lines.append)
    )
    told = {
        "outcomes": outcomes,
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": cpu_seconds() - cpu,
        "bytes_before": before,
        "bytes_most": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "lines": len(lines),
    }
    print(json.dumps(told))


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
