"""Vectors made by an engine beside the worker, in one pod: what it makes, and how it fails.

The engine is the shipped model on a CPU behind OpenAI's protocol, in the platform's own image: the
cluster's GPUs are claims only. It is declared as a TEI with another command.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from platform_pipelines.errors import MemoryBudgetError, StageTimeoutError, WorkerLostError
from platform_pipelines.settings import Settings
from tests.platform_sample import connected
from tests.servers import cpu_engine
from tests.servers.embedding_server import EmbeddingServer
from tests.servers.for_pods import IMAGE, Space, restricted_namespace, s3_for_pods
from tests.servers.in_pods import InPods, in_pods, settings_in_pods

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]
PORT = 8123
MODEL = "multilingual-e5-small"


@pytest.fixture(scope="module")
def space() -> Iterator[Space]:
    with connected() as (connection, _), restricted_namespace(connection, "pp-engines") as made:
        yield made


@pytest.fixture(scope="module")
def settings(
    tmp_path_factory: pytest.TempPathFactory, space: Space, lite_uri: str
) -> Iterator[Settings]:
    folder = tmp_path_factory.mktemp("engines")
    with (
        s3_for_pods(folder / "s3") as server,
        settings_in_pods(folder / "home", server, lite_uri) as made,
    ):
        space.give(made)
        yield made


def engine(behaviour: str = "", **fields: Any) -> dict[str, Any]:
    source = Path(cpu_engine.__file__).read_text(encoding="utf-8")
    words = [str(PORT), *([behaviour] if behaviour else [])]
    return {
        "gpu": 1,
        "node_selector": {"karpenter.sh/nodepool": "gpu-inference"},
        "tolerations": [{"key": "nvidia.com/gpu"}],
        "engine": {
            "kind": "tei", "image": IMAGE, "model": MODEL, "port": PORT,
            "command": ["python", "-c", source, *words], "cpu_request": "50m", "memory": "1536Mi",
            "start_seconds": 120, "restarts": 1, "cache": "64Mi", **fields,
        },
    }  # fmt: skip


@pytest.fixture
def declared() -> Iterator[EmbeddingServer]:
    """The server of the declaration, here: no pod reaches it."""
    with EmbeddingServer(model=MODEL) as server:
        yield server


def knowledge(
    folder: Path, settings: Settings, space: Space, profile: dict[str, Any], url: str
) -> InPods:
    embed = {
        "provider": "openai", "model": MODEL, "dimension": 384, "window_tokens": 512, "url": url,
    }  # fmt: skip
    return in_pods(folder, settings, space, profile, embed=embed)


def test_vectors_come_from_the_engine_beside_the_worker(
    tmp_path: Path, settings: Settings, space: Space, declared: EmbeddingServer
) -> None:
    """The declared server counted tokens here; nobody asked it for a vector."""
    made = knowledge(tmp_path, settings, space, engine(), declared.url)
    outcome = made.vectors()
    assert outcome.is_changed
    assert declared.inputs() == []
    (job,) = made.jobs()
    assert job["status"]["succeeded"] == job["spec"]["completions"]
    for pod in made.pods():
        (sidecar,) = pod["spec"]["initContainers"]
        assert sidecar["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert pod["spec"]["nodeName"] == "gpu"
        assert pod["status"]["initContainerStatuses"][0]["restartCount"] == 0


@pytest.mark.parametrize(
    ("behaviour", "fields", "error", "words"),
    [
        ("hog", {"memory": "900Mi"}, MemoryBudgetError, "killed for memory"),
        pytest.param(
            "never", {"start_seconds": 10}, StageTimeoutError, "not started in time",
            marks=pytest.mark.long,
        ),
        pytest.param("dies", {}, WorkerLostError, "no kernel image", marks=pytest.mark.long),
    ],
)  # fmt: skip
def test_an_engine_that_does_not_hold_ends_the_stage_by_its_own_error(
    behaviour: str,
    fields: dict[str, Any],
    error: type[Exception],
    words: str,
    tmp_path: Path,
    settings: Settings,
    space: Space,
    declared: EmbeddingServer,
) -> None:
    """The Job is deleted with it, and killed for memory it is not tried a second time."""
    made = knowledge(tmp_path, settings, space, engine(behaviour, **fields), declared.url)
    with pytest.raises(error, match=words):
        made.vectors()
    assert made.unfinished() == []
