"""The web server behind a login: Debian's nginx where the chart has an authenticating proxy."""

import base64
import urllib.error
import urllib.request
from collections.abc import Mapping

import pytest

from tests.servers.installed_chart import LOGIN_IMAGE, Installed

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not LOGIN_IMAGE, reason="PP_TEST_LOGIN_IMAGE names no image of a login"),
]


def status(url: str, headers: Mapping[str, str]) -> int:
    """What a page answers with."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=dict(headers)), timeout=30
        ) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize("page", ["/", "/server_info", "/graphql", "/runs"])
def test_who_has_not_logged_in_sees_nothing(installed: Installed, page: str) -> None:
    """401 without a name, and with a wrong password; the page with the right one."""
    wrong = base64.b64encode(b"somebody:guessed").decode()
    assert status(installed.web + page, {}) == 401
    assert status(installed.web + page, {"Authorization": f"Basic {wrong}"}) == 401
    if page != "/graphql":  # asked by a page, not read as one
        assert status(installed.web + page, installed.headers) == 200


def test_there_is_no_way_around_it(installed: Installed) -> None:
    """The web server itself does not answer, neither to its Service nor to its pod's address."""
    for direct in (
        installed.space.address("pp-web"),
        f"http://{installed.space.ip_of('web')}:3000",
    ):
        request = urllib.request.Request(f"{direct}/server_info", headers=dict(installed.headers))
        with pytest.raises((TimeoutError, urllib.error.URLError)):
            urllib.request.urlopen(request, timeout=5)
