"""One installation of the chart for all tests of it that leave it as they find it."""

from collections.abc import Iterator

import pytest

from tests.servers.installed_chart import LOGIN_IMAGE, Installed, installed_chart


@pytest.fixture(scope="package")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """With its default deny and a login in front, where there is an image of the login."""
    folder = tmp_path_factory.mktemp("installed")
    with installed_chart(folder, "pp-installed", guarded=bool(LOGIN_IMAGE)) as made:
        yield made
