"""What tests of stages, of the main job and of the command line share."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from platform_pipelines import errors
from platform_pipelines.gateways.e5.provisioning import provision
from platform_pipelines.gateways.milvus.local_files import LocalFiles
from platform_pipelines.gateways.milvus.local_server import LocalMilvus
from platform_pipelines.settings import Settings
from tests.knowledge import Knowledge, new_knowledge, settings_under
from tests.servers.milvus_server import wait_until

# Markers of tests that bring an environment of their own; each runs when `-m` names its marker.
HEAVY = ("answers", "cluster", "long", "models", "plane")

# How long an example takes on a machine that does other work is no promise of this product.
hypothesis_settings.register_profile("shared", deadline=None)
hypothesis_settings.load_profile("shared")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the heavy ones that nobody asked for, whatever else `-m` says."""
    asked = str(config.option.markexpr)
    left = [n for n in HEAVY if n not in asked]
    heavy = [item for item in items if any(item.get_closest_marker(name) for name in left)]
    if heavy:
        config.hook.pytest_deselected(items=heavy)
        items[:] = [item for item in items if item not in heavy]


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process hides the secrets that it knows; a test knows only its own."""
    monkeypatch.setattr(errors, "_secrets", set[str]())


def stop_local_milvus(directory: Path) -> None:
    """End the server of a local database, if one lives, and wait until it is gone."""
    files = LocalFiles(directory)
    record = files.living_server()
    if record is not None:
        os.kill(record.pid, signal.SIGTERM)
        wait_until(lambda: files.living_server() is None, seconds=30)


@pytest.fixture(scope="session")
def lite_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where one Milvus Lite for all tests listens; a server of its own would cost each 2 s."""
    folder = tmp_path_factory.mktemp("lite")
    local = LocalMilvus(folder, idle_seconds=5)
    yield local.uri()
    local.close()
    stop_local_milvus(folder)


@pytest.fixture(scope="session")
def e5_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with whole files of multilingual-e5-small; tests must not change it."""
    folder = tmp_path_factory.mktemp("models")
    provision(folder, progress=lambda _: None)
    return folder


@pytest.fixture
def settings(tmp_path: Path, lite_uri: str) -> Settings:
    """A home and a store of this test's own, on the shared Milvus Lite."""
    return settings_under(tmp_path / "home", lite_uri, workers=2, lease_wait_seconds=30)


@pytest.fixture
def embedded_settings(tmp_path: Path) -> Iterator[Settings]:
    """The default of a laptop: its own Milvus Lite under the home, ended after the test."""
    home = tmp_path / "embedded"
    yield settings_under(home, None, workers=2, lease_wait_seconds=30)
    stop_local_milvus(home / "milvus")


@pytest.fixture
def knowledge(tmp_path: Path, settings: Settings) -> Knowledge:
    """Six guides, declared, nothing made yet."""
    return new_knowledge(tmp_path / "kb", settings)


@pytest.fixture
def make_knowledge(tmp_path: Path, settings: Settings) -> Callable[..., Knowledge]:
    """Another knowledge base; attributes as declared."""

    def make(label: str = "kb", **attributes: object) -> Knowledge:
        return new_knowledge(tmp_path / label, settings, **attributes)  # pyright: ignore[reportArgumentType]

    return make
