"""What this machine lets this process have: processors, and a file system whose names are UTF-8."""

import getpass
import os
import sys
from math import ceil
from pathlib import Path

from platform_pipelines.errors import ConfigurationError

CGROUP = Path("/sys/fs/cgroup")
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def usable_processors(cgroup: Path = CGROUP) -> int:
    """Processors that this process may use: its affinity, and the CPU limit of its container.

    Source: Linux, "Control Group v2" (cpu.max: quota and period in microseconds, or `max`), and
    "CFS Bandwidth Control" for version 1. A limit of 0.3 is one processor.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # macOS has none, and no control groups
    have = len(affinity(0)) if affinity else os.cpu_count() or 2
    limit = _limit(cgroup)
    return max(1, have if limit is None else min(have, ceil(limit)))


def _limit(cgroup: Path) -> float | None:
    """The container's processors; None: no limit, or none that can be read."""
    try:
        quota, period = (cgroup / "cpu.max").read_text("ascii").split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text("ascii").strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text("ascii").strip()
        except (OSError, ValueError):
            return None
    try:
        processors = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # `max`
        return None
    return processors if processors > 0 else None  # version 1 writes -1


def is_pod(token: Path = SERVICE_ACCOUNT) -> bool:
    """Whether this is a pod with a service account, so that a cluster can be reached."""
    return token.is_file()


def check_names() -> None:
    """Keys of documents are names of files: read by another encoding they would be other keys.

    Raises:
        ConfigurationError: the locale's names are not UTF-8.
    """
    encoding = sys.getfilesystemencoding()
    if encoding.lower().replace("-", "") == "utf8":
        return
    raise ConfigurationError(
        "names of files are not read as UTF-8: documents would get other keys than before",
        where="the locale (LANG, LC_ALL, PYTHONUTF8)",
        stored=encoding,
        expected="utf-8",
        remedy="set LC_ALL=C.UTF-8, or PYTHONUTF8=1",
    )


def user_name() -> str:
    """Who runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"uid-{os.getuid()}"
