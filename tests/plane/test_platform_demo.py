"""`make demo-platform`: the shipped samples, each brought up once through Dagster's own command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plane.test_rehearsal import home_with_environments

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.plane, pytest.mark.timeout(900)]


def test_every_sample_is_brought_up_on_one_machine(tmp_path: Path) -> None:
    """Nothing of it needs a cloud; the night's prompts are answered through the real gateway."""
    home = home_with_environments(tmp_path)
    environment = {
        **os.environ,
        "PLATFORM_HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster"),
    }
    (home / "dagster").mkdir()
    demo = str(ROOT / "demos" / "platform" / "demo.py")
    done = subprocess.run(
        [sys.executable, demo], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "rendered and held to the rules; no cluster was asked" in done.stdout
    answers = list((home / "demo_platform").rglob("part-*.jsonl"))
    lines = [json.loads(line) for one in answers for line in one.read_text("utf-8").splitlines()]
    assert sorted(one["id"] for one in lines) == [f"ticket-{n}" for n in range(4)]
    assert all(one["answer"] for one in lines)
