"""Answers on connections that a NetworkPolicy let through, on the test cluster.

Its enforcer marks a connection that it lets through, to let its answers through as well. Here the
kernel does not hand that mark over with the verdict, so answers are judged as connections of their
own, and every pod under a default deny is deaf. Every other cluster is left as it is.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

NODES = Path(os.environ.get("PP_TEST_NODES", "/run/testcluster"))  # one folder a node: `first`
# Who has been answered has been let through: the mark that the enforcer looks for a moment later.
RULES = """
table inet platform-replies
delete table inet platform-replies
table inet platform-replies {
  chain postrouting {
    type filter hook postrouting priority srcnat - 6; policy accept;
    ct state established,related ct label set 28
  }
}
"""


def let_answers_through() -> None:
    """On every node of the test cluster that runs; nothing happens where there is none."""
    for first in sorted(NODES.glob("*/first")):
        if shutil.which("nft") is None:
            pytest.skip("Debian's nftables is not installed")
        inside = ["nsenter", "-t", first.read_text(encoding="utf-8").strip(), "-n"]
        subprocess.run([*inside, "nft", "-f", "-"], input=RULES, text=True, check=True, timeout=30)
