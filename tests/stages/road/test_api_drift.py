"""Drift of APIs: what is rendered against what is in use, with what to use instead."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from platform_pipelines.cli import app
from platform_pipelines.core.road.manifests import Manifest, revision_of
from platform_pipelines.core.road.snapshot import Snapshot
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.stages.road.api_drift import InUse, api_drift, read_in_use
from platform_pipelines.stages.road.applied import MANIFESTS, manifests_key
from platform_pipelines.stages.road.connect import open_component_store
from platform_pipelines.stages.road.workspace import head_key
from tests.declared import use_settings
from tests.knowledge import settings_under
from tests.platform_sample import everything

HERE = Path(__file__).resolve()
VLLM_PAGE = HERE.parents[1] / "model_rollout" / "vllm-0.32.0-metrics.txt"
DEFINITIONS = os.environ.get("PP_TEST_DEFINITIONS")
WIDGETS: Manifest = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com", "names": {"kind": "Widget"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": {
                    "type": "object", "required": ["size"], "properties": {
                        "size": {"type": "integer", "minimum": 1, "maximum": 9},
                        "mode": {"type": "string", "enum": ["slow", "fast"]},
                        "port": {"x-kubernetes-int-or-string": True},
                        "names": {"type": "array", "items": {"type": "string", "pattern": "^a"}},
                        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    }}}}}},
            {"name": "v1beta1", "served": True, "deprecated": True,
             "deprecationWarning": "v1beta1 goes in 2.0"},
            {"name": "v1alpha1", "served": False},
        ],
    },
}  # fmt: skip
GOOD: Manifest = {
    "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a", "namespace": "n"},
    "spec": {"size": 3, "mode": "fast", "port": "http", "names": ["ab"], "labels": {"x": "y"},
             "free": {"what": ["ever"]}},
}  # fmt: skip


def in_use(folder: Path) -> InUse:
    (folder / "flags").mkdir()
    (folder / "series").mkdir()
    (folder / "widgets.yaml").write_text(yaml.safe_dump(WIDGETS))
    (folder / "flags" / "vllm.txt").write_text("usage: serve [--model MODEL] [--port PORT]\n")
    (folder / "series" / "vllm.txt").write_text(VLLM_PAGE.read_text("utf-8"))
    return read_in_use(folder)


def told(found: InUse, *objects: Manifest) -> list[str]:
    return [
        f"{one.field}: {one.message}" for one in api_drift(revision_of("a", "i", objects), found)
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ""),
        ({"sise": 3}, "spec.sise: no such field; it has free, labels, mode"),
        ({"size": None}, "spec.size: None is no integer"),
        ({"size": 12}, "spec.size: 12 is not between 1 and 9"),
        ({"mode": "quick"}, "spec.mode: 'quick' is not allowed: slow, fast"),
        ({"names": ["b"]}, "spec.names[0]: 'b' does not match ^a"),
        ({"names": "ab"}, "spec.names: 'ab' is no array"),
        ({"labels": {"x": 1}}, "spec.labels.x: 1 is no string"),
        ({"port": True}, "spec.port: True is no integer and no text"),
    ],
)
def test_fields_and_values_are_those_of_the_definition(
    tmp_path: Path, change: dict[str, Any], expected: str
) -> None:
    """A field that has gone is dropped silently by a server that is not asked strictly."""
    found = told(in_use(tmp_path), {**GOOD, "spec": {**GOOD["spec"], **change}})
    assert found == ([] if not expected else found)
    assert expected in "; ".join(found)


def test_versions_that_go_are_named_with_the_one_that_stays(tmp_path: Path) -> None:
    """Deprecated today is gone tomorrow."""
    found = in_use(tmp_path)
    (late,) = told(found, {**GOOD, "apiVersion": "example.com/v1beta1", "spec": {}})[:1]
    assert late == "apiVersion: v1beta1 goes in 2.0: use example.com/v1"
    assert told(found, {**GOOD, "apiVersion": "example.com/v1alpha1"}) == [
        "apiVersion: example.com/v1alpha1 is not served: use example.com/v1"
    ]
    assert "example.com has no Gadget: it has Widget" in told(found, {**GOOD, "kind": "Gadget"})[0]
    missing = {**GOOD, "spec": {"mode": "slow"}}
    assert told(found, missing) == ["spec.size: is missing"]


def test_flags_and_series_are_those_of_the_programs(tmp_path: Path) -> None:
    """An unknown flag ends a server at its start; an unknown series never fires an alert."""
    found = in_use(tmp_path)
    container = {
        "name": "vllm", "image": "vllm/vllm-openai:v0.33.0", "args": ["--model=m", "--swop", "4"],
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {"allowPrivilegeEscalation": False},
    }  # fmt: skip
    server: Manifest = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "m", "namespace": "n"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }  # fmt: skip
    assert told(found, server) == ["spec.template.spec.containers[vllm].args: vllm has no --swop"]
    rule: Manifest = {
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
        "metadata": {"name": "r", "namespace": "n"},
        "spec": {"groups": [{"rules": [
            {"alert": "A", "expr": "sum(vllm:num_requests_waiting) > 10"},
            {"alert": "B", "expr": "sum(vllm:num_requests_queued) > 10"},
        ]}]},
    }  # fmt: skip
    (problem,) = told(found, rule)
    assert "B: vllm:num_requests_queued is on no page of a server" in problem


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('litellm_settings:\n  success_callback: ["langfuse"]\n', "use callbacks: [langfuse_otel]"),
        ('{"success_callback":["langfuse"]}', "use callbacks: [langfuse_otel]"),
        ('litellm_settings:\n  callbacks: ["langfuse_otel"]\n', ""),
        ("from mcp.server.fastmcp import FastMCP", "use mcp.server.MCPServer"),
    ],
)
def test_what_has_gone_inside_a_configuration_is_found(data: str, expected: str) -> None:
    """A ConfigMap is only text to a server."""
    config: Manifest = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"},
        "data": {"config.yaml": data},
    }  # fmt: skip
    found = told(InUse(), config)
    assert bool(found) == bool(expected)
    assert expected in "; ".join(found)


def test_what_is_accepted_and_ignored_is_told_apart_from_what_has_gone() -> None:
    """Nothing fails, and nothing happens: the worst kind of drift."""
    milvus: Manifest = {
        "apiVersion": "milvus.io/v1beta1", "kind": "Milvus",
        "metadata": {"name": "m", "namespace": "n"},
        "spec": {"components": {"indexNode": {"replicas": 2}}},
    }  # fmt: skip
    (problem,) = told(InUse(), milvus)
    assert "is accepted and ignored (Milvus 2.6): use spec.components.dataNode" in problem


def test_the_command_checks_what_components_rendered_and_fails_when_something_drifted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A nightly job sees it before the upgrade does."""
    folder = tmp_path / "in-use"
    folder.mkdir()
    in_use(folder)
    settings = settings_under(tmp_path, None)
    use_settings(monkeypatch, settings)
    monkeypatch.setenv("PLATFORM_DEFINITIONS", str(folder))
    drifted = copy.deepcopy(GOOD)
    drifted["spec"]["mode"] = "quick"
    for name, manifest in (("good", GOOD), ("drifted", drifted)):
        revision = revision_of(name, "test", [manifest])
        store = open_component_store(settings, "agent", name)
        store.put(manifests_key(revision.digest), revision.to_json().encode())
        head = Snapshot(MANIFESTS, revision.digest, (), {}, {"revision": revision.digest})
        store.put(head_key(MANIFESTS), head.to_json().encode())
    run = CliRunner()
    fine = run.invoke(app, ["apis", "agent/good"])
    assert (fine.exit_code, fine.stdout) == (
        0,
        "0 problems; 1 definitions, 1 programs in use are known\n",
    )
    bad = run.invoke(app, ["apis", "agent/good", "agent/drifted", "--json"])
    assert bad.exit_code == 4
    (problem,) = json.loads(bad.stdout)["problems"]
    assert (problem["component"], problem["field"]) == ("agent/drifted", "spec.mode")


def test_a_folder_that_is_not_there_is_told() -> None:
    """No definitions would be no problems."""
    with pytest.raises(ConfigurationError, match="no such folder of definitions"):
        read_in_use(Path("nowhere"))


@pytest.mark.skipif(DEFINITIONS is None, reason="PP_TEST_DEFINITIONS names no folder")
def test_all_that_the_sample_platform_renders_fits_the_definitions_of_today() -> None:
    """Without a cluster: every object of every shape, against the projects' own definitions."""
    found = read_in_use(Path(str(DEFINITIONS)))
    assert len(found.definitions) > 50
    problems = {name: told(found, *objects) for name, objects in everything().items()}
    assert {name: seen for name, seen in problems.items() if seen} == {}
