"""The first slice, whole: what `make demo-model` does, in a home of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.knowledge import ENVIRONMENTS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.models
@pytest.mark.timeout(2400)
def test_a_model_is_trained_rolled_out_under_load_and_a_worse_one_refused(tmp_path: Path) -> None:
    """Real NeMo, MLflow, vLLM and Envoy. The demo itself exits with 1 where a promise breaks."""
    dagster_home = tmp_path / "dagster"
    dagster_home.mkdir()
    (dagster_home / "dagster.yaml").write_text((ROOT / "deploy" / "dagster.yaml").read_text())
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(dagster_home),
        "PLATFORM_HOME": str(tmp_path / "home"),
        "PLATFORM_ENVIRONMENTS_DIR": str(ENVIRONMENTS),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        [sys.executable, str(ROOT / "demos" / "assistant" / "demo.py")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    ends = ("==> promoted: ", "==> rolled_back: ")
    promoted, refused = (line for line in done.stdout.splitlines() if line.startswith(ends))
    assert promoted.startswith(ends[0])
    assert refused.startswith(ends[1])
    assert all(", 0 failed (" in line for line in (promoted, refused))
