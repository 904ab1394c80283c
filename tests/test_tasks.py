"""What `make` calls, as a person at a terminal meets it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from platform_pipelines.stages.agent.running import ENVIRONMENT, PROGRAM
from tests.readme import ROOT

SLOW_TO_END = """
try:
    print("started", flush=True)
    input()
except KeyboardInterrupt:
    print("ending", flush=True)
    input()
    print("ended in order", flush=True)
"""
TASK = f"import sys, tasks; tasks.demo = lambda: tasks.run(sys.executable, '-c', {SLOW_TO_END!r})"
STILL_THERE_SECONDS = 1.0  # `subprocess.run` kills its program a quarter of a second after Ctrl-C


def test_ctrl_c_lets_a_run_end_in_order() -> None:
    """A killed run stays `STARTED` for ever in the web UI, and its workers stay behind."""
    command = [sys.executable, "-c", f"{TASK}; sys.argv[1:] = ['demo']; tasks.main()"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    ) as task:  # fmt: skip
        assert task.stdin
        assert task.stdout
        assert task.stdout.readline() == "started\n"
        os.killpg(task.pid, signal.SIGINT)
        assert task.stdout.readline() == "ending\n"
        with pytest.raises(subprocess.TimeoutExpired):
            task.wait(timeout=STILL_THERE_SECONDS)
        told, complaints = task.communicate("\n", timeout=30)
    assert told == "ended in order\n"
    assert complaints == ""
    assert task.returncode == 130


def test_compiled_modules_are_kept_whatever_the_shell_says() -> None:
    """Without them every process compiles its libraries again."""
    asked = "import sys; print(sys.dont_write_bytecode)"
    command = [
        sys.executable,
        "-c",
        f"import sys, tasks; tasks.run(sys.executable, '-c', {asked!r})",
    ]
    shell = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    told = subprocess.run(
        command, cwd=ROOT, env=shell, capture_output=True, text=True, check=True
    ).stdout
    assert told == "False\n"


@pytest.mark.parametrize("name", ["platform", "agent"])
def test_an_image_installs_by_hash_and_runs_as_nobody(name: str) -> None:
    """A container of root, or a wheel that nobody pinned, is what an audit finds first."""
    lines = (ROOT / "deploy" / "images" / f"{name}.Dockerfile").read_text("utf-8").splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users == ["65532:65532"]
    installs = " ".join(line.strip() for line in lines).split("pip install")[1:]
    assert len(installs) == 3
    assert all("--require-hashes" in one or "--no-deps /src/*.whl" in one for one in installs)


def test_the_agents_image_starts_the_program_that_is_tried(tmp_path: Path) -> None:
    """What a trial runs and what a cluster runs are one program, of one lock."""
    text = (ROOT / "deploy" / "images" / "agent.Dockerfile").read_text("utf-8")
    assert f'"-m", "{PROGRAM}"' in text
    assert f"environments/{ENVIRONMENT}.txt" in text
