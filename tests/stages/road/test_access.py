"""What may be read, and to whom keys go, is for whoever runs the platform to say."""

from pathlib import Path

import pytest

from platform_pipelines.errors import ConfigurationError
from platform_pipelines.settings import load_settings
from platform_pipelines.stages.knowledge_base.connect import open_source
from platform_pipelines.stages.road.access import key_for


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("s3://documents/public", True),
        ("s3://documents/public/handbook", True),
        ("s3://documents/public-but-not", False),
        ("s3://documents", False),
        ("s3://other/public", False),
        ("file:///srv/docs/a%20b", True),
        ("file:///srv/docs", True),
        ("file:///srv/docs2", False),
        ("file:///srv//docs/../etc", False),
        ("file:///", False),
    ],
)
def test_sources_outside_the_list_are_refused(url: str, is_allowed: bool) -> None:
    """A declaration is written by many; the platform's credentials open more than they should."""
    settings = load_settings({"PLATFORM_SOURCES": "s3://documents/public/, file:///srv/docs"})
    if is_allowed:
        assert open_source(settings, url).url
        return
    with pytest.raises(ConfigurationError, match=r"not allowed here|`\.\.`"):
        open_source(settings, url)


def test_without_a_list_anything_may_be_declared(tmp_path: Path) -> None:
    """A laptop needs no list."""
    assert open_source(load_settings({}), tmp_path.as_uri()).url == tmp_path.as_uri()


def test_a_declared_server_gets_no_key_that_is_not_for_it() -> None:
    """The key is the platform's, the url is a declaration's."""
    settings = load_settings(
        {"PLATFORM_API_KEY_HOSTS": "models.corp", "PLATFORM_EMBEDDER_API_KEY": "sesame"}
    )
    key = settings.embedder_api_key
    assert key_for(settings, "https://models.corp/v1", key) == "sesame"
    with pytest.raises(ConfigurationError, match=r"evil\.example") as caught:
        key_for(settings, "https://evil.example/v1", key)
    assert "sesame" not in str(caught.value)
