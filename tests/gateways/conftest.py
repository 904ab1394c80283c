"""The model's files, made once a session."""

from pathlib import Path

import pytest

from platform_pipelines.gateways.e5.provisioning import provision


@pytest.fixture(scope="session")
def e5_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with whole files of multilingual-e5-small; tests must not change it."""
    folder = tmp_path_factory.mktemp("models")
    provision(folder, progress=lambda _: None)
    return folder
