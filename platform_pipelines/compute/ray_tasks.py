"""The tasks of a plan as rows of a Ray Data set: the entry point of a rendered RayJob.

    python -m platform_pipelines.compute.ray_tasks PLAN_KEY TASKS

Each row runs the worker of one task, as an index of an Indexed Job does; results go to the store,
and a task that is done is not done again. Not run by our tests: Ray is in no environment of ours.
"""

import importlib
import subprocess
import sys
from typing import Any


def task_command(plan_key: str, task: int) -> list[str]:
    """The worker of one task, as an index of an Indexed Job runs it."""
    worker = [sys.executable, "-m", "platform_pipelines.worker", "--plan", plan_key]
    return [*worker, "--index", str(task)]


def run_task(row: dict[str, Any]) -> dict[str, Any]:
    """Run one row; what it gives is the worker's exit code."""
    task = int(row["item"]["task"])
    done = subprocess.run(task_command(row["item"]["plan"], task), check=False)
    return {"task": task, "code": done.returncode}


def main() -> None:
    """Run all tasks; fails when one does, naming those."""
    ray: Any = importlib.import_module("ray")
    ray.init(address="auto")
    plan, tasks = sys.argv[1], int(sys.argv[2])
    rows = ray.data.from_items([{"item": {"plan": plan, "task": n}} for n in range(tasks)])
    failed = [row for row in rows.map(run_task).take_all() if row["code"] != 0]
    if failed:
        sys.exit(f"tasks failed: {failed}")


if __name__ == "__main__":
    main()
