"""Batch inferences for tests: prompts, a declaration, and runs that are killed.

python -m tests.batches STORE PROMPTS ANSWERS MODEL_URL CONCURRENCY
"""

import json
import sys
from pathlib import Path
from typing import Any

from platform_pipelines.core.batch_inference.declaration import BatchInferenceSpec
from platform_pipelines.core.road.declarations import parse_spec
from platform_pipelines.settings import S3Settings, Secret, Settings
from platform_pipelines.stages.batch_inference.answers import refresh_answers
from platform_pipelines.stages.batch_inference.workspace import open_workspace
from tests.servers.s3_server import REGION


def declared(prompts: str, url: str, **changes: Any) -> BatchInferenceSpec:
    """A batch inference named `nightly`."""
    model = {"url": url, "model": "m", "input_per_million": "0.1", "output_per_million": "0.4"}
    given = {"name": "nightly", "prompts": prompts, "language_model": model, **changes}
    return parse_spec(BatchInferenceSpec, given, where="test", noun="a batch inference")


def prompt_lines(count: int) -> str:
    """Prompts that are each other's unlike."""
    rows = ({"id": f"p{n}", "prompt": f"What is {n} plus {n}?"} for n in range(count))
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def said(body: dict[str, Any]) -> str:
    """What the tests' model answers: the sum."""
    number = int(body["messages"][-1]["content"].split()[2])
    return f"it is {2 * number}"


def settings_of(home: Path, store: str, endpoint: str | None = None) -> Settings:
    """Of a process that has its own home, and perhaps an S3 server."""
    s3 = S3Settings(
        endpoint=endpoint, region=REGION, access_key=Secret("test"), secret_key=Secret("testsecret")
    )
    return Settings(
        home=home, store_url=store, model_dir=home / "models", actor="tester",
        lease_wait_seconds=90.0, s3=s3 if endpoint else S3Settings(),
    )  # fmt: skip


def main(arguments: list[str]) -> None:
    """One run, in a process of its own: whoever started it may kill it."""
    given = json.loads(arguments[0])
    settings = settings_of(Path(given["home"]), given["store"], given["endpoint"])
    spec = declared(
        given["prompts"], given["url"], answers=given["answers"], concurrency=given["concurrency"]
    )
    outcome = refresh_answers(open_workspace(spec, settings, run_id="run"))
    print(json.dumps({"counts": dict(outcome.snapshot.counts), "changed": outcome.is_changed}))


if __name__ == "__main__":
    main(sys.argv[1:])
