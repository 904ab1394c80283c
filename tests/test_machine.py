"""What the machine lets a process have."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from platform_pipelines.machine import usable_processors

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that may run on eight processors of a larger machine."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 96)


def limited(folder: Path, files: dict[str, str]) -> int:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return usable_processors(folder)


@pytest.mark.parametrize(
    ("files", "processors"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "250000 100000\n"}, 3),
        ({"cpu.max": "30000 100000\n"}, 1),
        ({"cpu.max": "6400000 100000\n"}, 8),
        ({"cpu.max": "nonsense"}, 8),
        ({"cpu.max": "100000 0"}, 8),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
    ],
)
@pytest.mark.usefixtures("eight")
def test_the_limit_of_a_container_counts(
    tmp_path: Path, files: dict[str, str], processors: int
) -> None:
    """96 workers in a pod with two processors stand in each other's way."""
    assert limited(tmp_path, files) == processors


def test_a_system_without_affinity_has_its_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """macOS; two where even that is not told."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert usable_processors(tmp_path) == 12
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_processors(tmp_path) == 2


def test_a_locale_that_reads_names_otherwise_is_refused(tmp_path: Path) -> None:
    """Before anything is listed: the same folder would give other keys."""
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(
        [Path(sys.executable).parent / "platform-pipelines", "search", "nothing", "words"],
        cwd=ROOT, check=False, capture_output=True, timeout=60,
        env={"PATH": os.environ["PATH"], "PLATFORM_HOME": str(tmp_path / "home"), **locale},
    )  # fmt: skip
    told = done.stderr.decode("utf-8", "replace") + done.stdout.decode("utf-8", "replace")
    assert done.returncode == 2, told
    assert "not read as UTF-8" in told
    assert "LC_ALL=C.UTF-8" in told
    assert not (tmp_path / "home").exists()
