"""The examples of deploy/gitops: the overlay and Argo CD's objects are admitted strictly."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_pipelines.gateways.cluster.manifests import KubernetesCluster
from tests.platform_sample import connected
from tests.servers.for_pods import restricted_namespace
from tests.servers.installed_chart import CHART

pytestmark = pytest.mark.cluster
SPACE = "pp-cluster-gitops"
GITOPS = CHART.parent / "gitops"
OVERLAY = GITOPS / "overlays" / "production"


@pytest.fixture(scope="module")
def cluster() -> Iterator[KubernetesCluster]:
    with connected() as (connection, cluster), restricted_namespace(connection, SPACE):
        yield cluster


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def overlaid(folder: Path) -> list[dict[str, Any]]:
    """The overlay's objects, by the commands that its first lines give."""
    shutil.copytree(OVERLAY, folder, dirs_exist_ok=True)
    kustomization = folder / "kustomization.yaml"
    text = kustomization.read_text(encoding="utf-8")
    kustomization.write_text(text.replace("namespace: platform\n", f"namespace: {SPACE}\n"))
    chart = subprocess.run(
        [program("helm"), "template", "platform", str(CHART), "-n", SPACE, "-f", "values.yaml"],
        cwd=folder, check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    (folder / "chart.yaml").write_text(chart.stdout, encoding="utf-8")
    done = subprocess.run(
        [program("kubectl"), "kustomize", str(folder)],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def test_the_overlay_is_admitted_with_its_patch(cluster: KubernetesCluster, tmp_path: Path) -> None:
    """Every object of it, and the web server's pods are spread over zones."""
    objects = overlaid(tmp_path)
    for one in objects:
        cluster.apply(one, dry_run=True)
    found = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    pod = found["Deployment", "platform-web"]["spec"]["template"]["spec"]
    assert [one["topologyKey"] for one in pod["topologySpreadConstraints"]] == [
        "topology.kubernetes.io/zone"
    ]
    environment = found["ConfigMap", "platform-platform"]["data"]
    assert environment["PLATFORM_IMAGE"] == "registry.example.com/platform-{class}:1.0.0"


@pytest.mark.parametrize("file", sorted(GITOPS.glob("argocd/*.yaml")), ids=lambda one: one.stem)
def test_what_argo_cd_is_told_is_admitted(cluster: KubernetesCluster, file: Path) -> None:
    """By Argo CD's own definitions; revisions are pinned, or a branch that the platform writes."""
    told = yaml.safe_load(file.read_text(encoding="utf-8"))
    told["metadata"]["namespace"] = SPACE
    assert cluster.apply(told, dry_run=True)["kind"].startswith("Application")


def test_argo_cd_reads_files_that_are_there() -> None:
    """The chart and the values that the Application names."""
    told = yaml.safe_load((GITOPS / "argocd" / "platform.yaml").read_text(encoding="utf-8"))
    chart = next(one for one in told["spec"]["sources"] if "path" in one)
    root = CHART.parents[1]
    assert (root / chart["path"] / "Chart.yaml").is_file()
    for named in chart["helm"]["valueFiles"]:
        assert (root / named.removeprefix("$values/")).is_file()
