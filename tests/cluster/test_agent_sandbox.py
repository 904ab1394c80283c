"""Code of an agent in a real cluster: its pod is admitted as `restricted`, and reaches nothing."""

import os
import secrets
import subprocess
from collections.abc import Iterator

import pytest

from platform_pipelines.core.agent.declaration import SandboxSpec
from platform_pipelines.core.agent.render import render_agent
from platform_pipelines.core.agent.sandbox import sandbox_job
from platform_pipelines.core.road.manifests import key_of
from platform_pipelines.core.road.rendering import kube
from platform_pipelines.gateways.cluster.manifests import KubernetesCluster
from tests.platform_sample import CODE, agent, connected

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]
IMAGE = os.environ.get("PP_TEST_IMAGE")


@pytest.fixture
def place() -> Iterator[tuple[KubernetesCluster, str]]:
    """A namespace at the level `restricted`, deleted with all that is in it."""
    with connected() as (_, cluster):
        name = f"pp-code-{secrets.token_hex(3)}"
        levels = {"pod-security.kubernetes.io/enforce": "restricted"}
        cluster.apply(kube("v1", "Namespace", name, labels=levels))
        yield cluster, name
        live = cluster.get(key_of(kube("v1", "Namespace", name)))
        assert live is not None
        cluster.delete(live)


def test_the_pod_and_the_agents_rights_are_admitted(place: tuple[KubernetesCluster, str]) -> None:
    """Pod Security `restricted` refuses the Job's pod otherwise, long after the Job was taken."""
    cluster, at = place
    sandbox = SandboxSpec(namespace=at, image="python:3.11.9-slim")
    job = sandbox_job(sandbox, "assistant", "assistant-1", "print(1)")
    pod = kube("v1", "Pod", "assistant-1", namespace=at, spec=job["spec"]["template"]["spec"])
    for manifest in (job, pod):
        assert cluster.apply(manifest, dry_run=True, force=True)
    spec = agent(
        namespace=at, runtime="image", image="r/agent:1",
        **{**CODE, "sandbox": {**CODE["sandbox"], "namespace": at}},
    )  # fmt: skip
    for manifest in render_agent(spec):
        assert cluster.apply(manifest, dry_run=True, force=True)


@pytest.mark.skipif(IMAGE is None, reason="PP_TEST_IMAGE names no image with Python")
def test_code_has_no_network_and_no_token(place: tuple[KubernetesCluster, str]) -> None:
    """A connection to the API server and a look at a token both fail, inside the real pod."""
    cluster, at = place
    code = (
        "import os, socket\n"
        "print(os.path.exists('/var/run/secrets/kubernetes.io'))\n"
        "try:\n"
        "    socket.create_connection(('10.96.0.1', 443), 3)\n"
        "    print('reached')\n"
        "except OSError:\n"
        "    print('closed')\n"
    )
    spec = agent(
        namespace=at, runtime="image", image="r/agent:1",
        **{**CODE, "sandbox": {**CODE["sandbox"], "namespace": at, "image": IMAGE}},
    )  # fmt: skip
    assert spec.sandbox is not None
    for manifest in render_agent(spec):
        if manifest["kind"] == "NetworkPolicy":
            cluster.apply(manifest, force=True)
    cluster.apply(sandbox_job(spec.sandbox, spec.slug, "assistant-2", code), force=True)
    kubectl = ["kubectl", "--kubeconfig", os.environ["PP_TEST_KUBECONFIG"], "-n", at]
    wait = [*kubectl, "wait", "--for=condition=complete", "job/assistant-2", "--timeout=120s"]
    subprocess.run(wait, check=True, timeout=150)
    log = subprocess.run(
        [*kubectl, "logs", "job/assistant-2"], check=True, capture_output=True, text=True
    )
    assert log.stdout.split() == ["False", "closed"]
