"""A revision as files for Argo CD: whole, ordered, and never over somebody else's files."""

from pathlib import Path

import pytest
import yaml

from platform_pipelines.core.road.manifests import REVISION, revision_of
from platform_pipelines.core.tenant.render import render_tenant
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.stages.road.folder import write_folder
from tests.platform_sample import tenant


def test_the_files_hold_the_revision_in_the_order_of_applying(tmp_path: Path) -> None:
    """Argo CD applies files by name within a wave."""
    revision = revision_of("acme", "i", render_tenant(tenant()))
    place = write_folder(str(tmp_path), "acme", revision)
    read = [yaml.safe_load(f.read_text("utf-8")) for f in sorted(place.glob("*.yaml"))]
    assert read == [dict(one) for one in revision.stamped]
    assert {one["metadata"]["annotations"][REVISION] for one in read} == {revision.digest}


def test_files_of_an_earlier_revision_go(tmp_path: Path) -> None:
    """What is not deleted stays applied."""
    write_folder(str(tmp_path), "acme", revision_of("acme", "i", render_tenant(tenant())))
    fewer = revision_of("acme", "i", render_tenant(tenant(spaces={"data": {}})))
    place = write_folder(str(tmp_path), "acme", fewer)
    assert len(list(place.glob("*.yaml"))) == len(fewer.manifests)


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """A path that was mistyped must not lose its files."""
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "theirs.yaml").write_text("a: b")
    with pytest.raises(ConfigurationError, match="did not write"):
        write_folder(str(tmp_path), "acme", revision_of("acme", "i", ()))
    with pytest.raises(ConfigurationError, match="needs a folder"):
        write_folder("", "acme", revision_of("acme", "i", ()))
