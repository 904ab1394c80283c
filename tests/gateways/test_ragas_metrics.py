"""The Ragas adapter: the real metrics, equal to our own, without a language model or a network."""

import subprocess
from pathlib import Path

from platform_pipelines.compute.environments import interpreter
from platform_pipelines.compute.process import worker_environment
from tests.knowledge import ENVIRONMENTS

# In a process of its own: Ragas reads RAGAS_DO_NOT_TRACK once, and tests must not depend on who
# imported it first; it also writes a user id under XDG_DATA_HOME. Sockets are blocked, and warnings
# are errors.
SCRIPT = """
import json, random, socket, sys
def refused(*_, **__):
    raise AssertionError("a socket was opened")
socket.socket.connect = refused
socket.create_connection = refused
from platform_pipelines.core.knowledge_base.metrics import precision_at_k, recall_at_k
from platform_pipelines.gateways.ragas_metrics import id_based_context_metrics
draw = random.Random(5)
ids = [f"c{i}" for i in range(12)]
samples = [
    (draw.sample(ids, draw.randint(0, 10)), draw.sample(ids, draw.randint(0, 4)))
    for _ in range(60)
]
for (retrieved, relevant), (precision, recall) in zip(
    samples, id_based_context_metrics(samples), strict=True
):
    if retrieved and relevant:
        assert precision == precision_at_k(retrieved, relevant, k=10), (retrieved, relevant)
        assert recall == recall_at_k(retrieved, relevant, k=10), (retrieved, relevant)
    elif retrieved:
        assert (precision, recall) == (0.0, None)
    elif relevant:
        assert (precision, recall) == (None, 0.0)
    else:
        assert (precision, recall) == (None, None)
assert "ragas" in sys.modules
print("agreed on", len(samples))
"""


def test_ragas_agrees_with_our_own_precision_and_recall(tmp_path: Path) -> None:
    """Two implementations that differ: one of them is wrong, and the gate reads one of them."""
    python = interpreter("evaluation", ENVIRONMENTS, print)
    given = {"RAGAS_DO_NOT_TRACK": "true", "XDG_DATA_HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run(
        [python.python, "-W", "error", "-c", SCRIPT],
        env=worker_environment(given, python),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == "agreed on 60"
