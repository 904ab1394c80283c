"""The registry's process: killed in a request, it is told as lost, and started again."""

import os
import signal
import sys
from pathlib import Path

import pytest

from platform_pipelines.errors import UnavailableError
from platform_pipelines.gateways import model_registry
from platform_pipelines.gateways.model_registry import MlflowRegistry

ANSWERS = (
    "import sys, json\nfor _ in sys.stdin: print(json.dumps({'ok': {'champion': 2}}), flush=True)\n"
)


def test_a_registry_that_was_killed_is_lost_and_answers_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was half written into its pipe must not hide what happened."""
    program = tmp_path / "answers.py"
    program.write_text(ANSWERS)
    monkeypatch.setattr(model_registry, "PROGRAM", program)
    with MlflowRegistry(
        python=lambda: Path(sys.executable), tracking_uri="sqlite://", artifacts_uri="file:///x",
        environment={}, log=tmp_path / "log",
    ) as registry:  # fmt: skip
        assert registry.aliases("assistant") == {"champion": 2}
        child = registry._child
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        with pytest.raises(UnavailableError, match="ended during `set_alias`"):
            registry.set_alias("assistant", "champion", 1)
        assert registry.aliases("assistant") == {"champion": 2}
