"""The chart's objects in three sets of values: linted, admitted strictly, and refused by name."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_pipelines.core.road.manifest_policies import violations
from platform_pipelines.core.road.manifests import key_of, revision_of
from platform_pipelines.errors import CapabilityError, ManifestRefusedError
from platform_pipelines.gateways.cluster.manifests import KubernetesCluster
from tests.platform_sample import connected, kubeconfig
from tests.servers.for_pods import restricted_namespace
from tests.servers.installed_chart import CHART, LOGIN

pytestmark = pytest.mark.cluster
SPACE = "pp-cluster-objects"
IMAGE = "registry.example.com/platform:1.2.3"
COMPONENT = "app.kubernetes.io/component"
MOVING = "latest"
SMALL: dict[str, Any] = {"image": IMAGE, "postgres": {"host": "postgres.internal"}}
VALUES: dict[str, dict[str, Any]] = {
    "small": SMALL,
    "with its own login": {
        **SMALL,
        "proxy": {
            "image": "quay.io/oauth2-proxy/oauth2-proxy:v7.12.0",
            "issuer": "https://login.example.com",
            "emailDomain": "example.com",
            "secret": "login",
            "from": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
        },
        "network": {
            "egress": [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}],
            "controlEgress": [{"to": [{"ipBlock": {"cidr": "10.2.0.0/16"}}]}],
        },
    },
    "with names and passwords": {
        **SMALL,
        "proxy": {
            **yaml.safe_load(LOGIN.read_text(encoding="utf-8"))["proxy"],
            "image": "registry.example.com/login:1.2.3",
        },
    },
    "on EKS": {
        **SMALL,
        "image": f"registry.example.com/platform@sha256:{'a' * 64}",
        "serviceAccounts": {
            "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/platform"}
        },
        "platform": {
            "environment": {"PLATFORM_STORE_URL": "s3://bucket/platform"},
            "queue": "platform",
            "profiles": {"gpu-inference": {"memory": "16Gi"}},
        },
        "network": {"webFrom": [{"podSelector": {"matchLabels": {"app": "login"}}}]},
        "web": {"replicas": 2},
        "serve": {
            "enabled": True,
            "tokensSecret": "tenants",
            "from": [{"namespaceSelector": {"matchLabels": {"name": "agents"}}}],
        },
        "monitoring": {"enabled": True},
        "externalSecrets": {
            "store": "aws",
            "secrets": {"platform": "prod/platform", "dagster-postgres": "prod/postgres"},
        },
    },
}


def helm(*words: str, values: dict[str, Any], folder: Path) -> subprocess.CompletedProcess[str]:
    """Helm with these values."""
    program = shutil.which("helm")
    if program is None:
        pytest.skip("helm is not installed")
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    return subprocess.run(
        [program, *words, str(CHART), "-f", str(file)],
        check=False, capture_output=True, text=True, timeout=60,
        env={**os.environ, "KUBECONFIG": str(kubeconfig())},
    )  # fmt: skip


def rendered(values: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    done = helm("template", "pp", "-n", SPACE, values=values, folder=folder)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


@pytest.fixture(scope="module")
def cluster() -> Iterator[KubernetesCluster]:
    with connected() as (connection, cluster), restricted_namespace(connection, SPACE):
        yield cluster


@pytest.mark.parametrize("name", VALUES)
def test_every_object_is_admitted_strictly(
    cluster: KubernetesCluster, name: str, tmp_path: Path
) -> None:
    """In a namespace that enforces `restricted`; the platform's own rules hold as well."""
    values = VALUES[name]
    linted = helm("lint", "--strict", values=values, folder=tmp_path)
    assert linted.returncode == 0, linted.stdout
    objects = rendered(values, tmp_path)
    refused: dict[str, str] = {}
    for one in objects:
        one["metadata"].setdefault("namespace", SPACE)
        try:
            cluster.apply(one, dry_run=True)
        except (ManifestRefusedError, CapabilityError) as error:
            refused[str(key_of(one))] = error.what
    assert refused == {}
    assert violations(revision_of("chart", "i", tuple(objects))) == ()


def test_with_a_login_nobody_else_reaches_the_web_server(tmp_path: Path) -> None:
    """Only the proxy may; without one, and without `webFrom`, nobody."""
    for name, peers in (("small", []), ("with its own login", ["proxy"])):
        found = [
            rule
            for one in rendered(VALUES[name], tmp_path)
            if one["kind"] == "NetworkPolicy"
            and one["spec"]["podSelector"].get("matchLabels", {}).get(COMPONENT) == "web"
            for rule in one["spec"].get("ingress", [])
        ]
        told = [peer["podSelector"]["matchLabels"][COMPONENT] for r in found for peer in r["from"]]
        assert told == peers, name


def test_only_dagsters_own_processes_may_leave_for_postgres_and_the_api_server(
    tmp_path: Path,
) -> None:
    """The pods of stages go where everybody goes; the login goes to neither."""
    ways = {"10.1.0.0/16": set[str](), "10.2.0.0/16": set[str]()}
    for one in rendered(VALUES["with its own login"], tmp_path):
        for rule in one["spec"].get("egress", []) if one["kind"] == "NetworkPolicy" else []:
            for cidr in ways.keys() & {p.get("ipBlock", {}).get("cidr") for p in rule["to"]}:
                (said,) = one["spec"]["podSelector"]["matchExpressions"]
                ways[cidr] |= {f"{said['operator']} {name}" for name in said["values"]}
    assert ways == {
        "10.1.0.0/16": {"NotIn proxy"},
        "10.2.0.0/16": {f"In {name}" for name in ("web", "daemon", "code", "run")},
    }


def test_the_login_asks_for_names_and_hands_on_to_the_web_server(tmp_path: Path) -> None:
    """Its configuration names the installation's own web server, and no other page is open."""
    objects = {(one["kind"], one["metadata"]["name"]): one for one in rendered(
        VALUES["with names and passwords"], tmp_path
    )}  # fmt: skip
    said = objects["ConfigMap", "pp-proxy"]["data"]["nginx.conf"]
    assert "proxy_pass http://pp-web;" in said
    assert "auth_basic_user_file /etc/proxy-secret/htpasswd;" in said
    pod = objects["Deployment", "pp-proxy"]["spec"]["template"]["spec"]
    (files,) = [v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v]
    assert files == "login"
    assert not pod["containers"][0].get("args")


def test_who_answers_for_agents_has_a_way_in_and_no_secret_of_the_chart(tmp_path: Path) -> None:
    """The declared peers and Prometheus may ask it; its secrets are written by others."""
    objects = {(one["kind"], one["metadata"]["name"]): one for one in rendered(
        VALUES["on EKS"], tmp_path
    )}  # fmt: skip
    policy = objects["NetworkPolicy", "pp-serve"]["spec"]["ingress"]
    peers = [one["from"][0]["namespaceSelector"]["matchLabels"] for one in policy]
    assert peers == [{"name": "agents"}, {"kubernetes.io/metadata.name": "monitoring"}]
    pod = objects["Deployment", "pp-serve"]["spec"]["template"]["spec"]
    given = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
    assert given["PLATFORM_SERVE_TOKENS_FILE"] == "/etc/tokens/tokens.json"
    assert pod["automountServiceAccountToken"] is False
    service = objects["Service", "pp-serve"]["metadata"]["labels"]
    wanted = objects["ServiceMonitor", "pp-serve"]["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= service.items()
    assert {name for kind, name in objects if kind == "ExternalSecret"} == {
        "platform",
        "dagster-postgres",
    }
    assert not [name for kind, name in objects if kind == "Secret"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": f"registry.example.com/platform:{MOVING}"}, "image"),
        ({"image": "registry.example.com/platform"}, "image"),
        ({"postgres": {}}, "host"),
        ({"platform": {"environment": {"PLATFORM_S3_SECRET_KEY": "x"}}}, "PLATFORM_S3_SECRET_KEY"),
        ({"proxy": {"image": f"p/p:{MOVING}"}}, "image"),
        ({"proxy": {"image": "p/p:1"}}, "proxy.issuer"),
        ({"proxy": {"image": "p/p:1", "issuer": "http://login"}}, "issuer"),
        ({"externalSecrets": {"store": "aws", "kind": "Vault"}}, "kind"),
        ({"serve": {"enabled": True}}, "serve.tokensSecret is needed"),
        ({"serve": {"enabled": True, "token": "x"}}, "token"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_values_that_cannot_be_meant_are_refused(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """By name, before anything reaches a cluster."""
    done = helm("template", "pp", values={**SMALL, **change}, folder=tmp_path)
    assert done.returncode != 0
    assert words in done.stderr
