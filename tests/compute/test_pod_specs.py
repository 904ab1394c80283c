"""The one serializer of pods: every declared field reaches the manifest; pods are restricted."""

import json
from typing import Any

import pytest

from platform_pipelines.compute.pod_specs import SPEC_DIGEST, PodSettings, indexed_job, job_name
from platform_pipelines.core.road.compute_profiles import (
    ComputeProfile,
    DeviceChoice,
    Toleration,
    read_profiles,
    seed_profiles,
)
from platform_pipelines.errors import ConfigurationError
from platform_pipelines.worker import OPERATIONS

PODS = PodSettings("platform", "registry/platform:1", ("platform",), ("platform",), "tasks")
# A value of each field that stands nowhere else in the manifest.
SENTINELS: dict[str, Any] = {
    "name": "sentinel-profile",
    "image": "sentinel/image:3",
    "cpu_request": "1701m",
    "cpu_limit": "1702m",
    "memory": "1703Mi",
    "gpu": 17,
    "gpu_resource": "nvidia.com/sentinel",
    "node_selector": {"sentinel-node": "1704"},
    "tolerations": (Toleration(key="sentinel-taint", value="1705", effect="NoExecute"),),
    "capacity_type": "spot",
    "shared_memory": "1706Mi",
    "scratch": "1707Mi",
    "priority_class": "sentinel-priority",
    "deadline_seconds": 1708,
    "retries": 1709,
    "parallelism": 1710,
    "spread": True,
}
# Looked for where nodes and claims are rendered: tests/core/compute_fleet; the engine's fields in
# test_engine_specs, and how long a start may take in test_pod_starts.
ELSEWHERE = {"nodes", "devices", "engine", "start_seconds"}
FOUND = {"spread": "topologySpreadConstraints", "gpu": '"17"', "capacity_type": "spot"}


def job(profile: ComputeProfile, *, tasks: int = 9999, pods: PodSettings = PODS) -> dict[str, Any]:
    return indexed_job(
        profile, pods, name="n", plan_key="k/plan.json", tasks=tasks, owner="o", stage="s"
    )


def test_every_field_of_a_profile_has_a_sentinel() -> None:
    """A field that is added without one would not be looked for."""
    assert set(SENTINELS) | ELSEWHERE == set(ComputeProfile.model_fields)


@pytest.mark.parametrize("field", SENTINELS)
def test_every_declared_field_reaches_the_manifest(field: str) -> None:
    """A shared memory that was declared and forgotten costs a night of training."""
    profile = ComputeProfile.model_validate(SENTINELS)
    value = SENTINELS[field]
    wanted = FOUND.get(field)
    if wanted is None:
        words = {"node_selector": "1704", "tolerations": "1705"}
        wanted = words.get(field, str(value))
    assert wanted in json.dumps(job(profile)), field


def test_a_claim_of_devices_stands_for_the_gpu() -> None:
    """The pod asks by the claim alone: a limit beside it would take a second card."""
    profile = ComputeProfile(name="claimed", gpu=1, devices=(DeviceChoice(),))
    pod = job(profile)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["resourceClaims"] == [{"name": "devices", "resourceClaimTemplateName": "claimed"}]
    assert container["resources"]["claims"] == [{"name": "devices"}]
    assert "nvidia.com/gpu" not in container["resources"]["limits"]


def test_pods_are_restricted() -> None:
    """What the Pod Security Standard `restricted` asks for; the API server checks it as well."""
    pod = job(seed_profiles()["gpu-inference"])["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert not pod["automountServiceAccountToken"]
    (container,) = pod["containers"]
    security = container["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod[
        "tolerations"
    ]


def test_a_lost_node_costs_no_try_and_a_terminal_error_costs_all() -> None:
    """The order matters: the first rule that matches is taken."""
    ignore, fail = job(seed_profiles()["cpu"])["spec"]["podFailurePolicy"]["rules"]
    assert ignore["onPodConditions"][0]["type"] == "DisruptionTarget"
    assert (fail["action"], fail["onExitCodes"]["values"]) == ("FailIndex", [2, 65, 137])


def test_the_annotation_names_the_content() -> None:
    """A Job is adopted only when it is the same: another image is another Job."""
    cpu = seed_profiles()["cpu"]
    other = PodSettings("platform", "registry/platform:2", ("platform",), ("platform",), "tasks")
    digests = {
        job(one, pods=pods)["metadata"]["annotations"][SPEC_DIGEST]
        for one, pods in (
            (cpu, PODS),
            (cpu, PODS),
            (cpu, other),
            (seed_profiles()["gpu-spot"], PODS),
        )
    }
    assert len(digests) == 3


def test_a_queue_suspends_the_job_until_it_is_admitted() -> None:
    """Kueue owns `suspend`; without a queue a Job starts at once."""
    queued = job(seed_profiles()["cpu"], pods=PodSettings("p", "i:1", queue="team-a"))
    assert queued["spec"]["suspend"]
    assert queued["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    assert "suspend" not in job(seed_profiles()["cpu"])["spec"]


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_a_task_runs_in_the_image_of_its_class(operation: str) -> None:
    """What reads foreign documents has an image of its own."""
    classes = {
        "documents": "parse",
        "chunks": "parse",
        "vectors": "embed",
        "evidence": "evaluation",
    }
    several = PodSettings("platform", "registry/platform-{class}:1").for_operation(operation)
    expected = classes.get(operation.partition(".")[0], "code")
    assert several.image == f"registry/platform-{expected}:1"


def test_one_image_may_do_for_all() -> None:
    """An image without a class in its name is taken as it is."""
    assert PODS.for_operation("vectors.embed") == PODS


def test_names_are_those_of_the_plan() -> None:
    """A run that is started again finds the Job of the one before."""
    assert job_name("vector_index", "a" * 32) == "vector-index-" + "a" * 20
    assert len(job_name("documents", "f" * 32)) <= 63


def test_a_deployment_changes_and_adds_profiles() -> None:
    """Fields that are not named keep their shipped values."""
    text = "cpu: {cpu_request: 100m}\nmine: {gpu: 2, memory: 9Gi}\n"
    found = read_profiles(text, where="profiles.yaml")
    assert (found["cpu"].cpu_request, found["cpu"].memory) == ("100m", "4Gi")
    assert (found["mine"].gpu, found["gpu-spot"].capacity_type) == (2, "spot")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cpu: {cpus: 1}", "cpus"),
        ("cpu: {retries: -1}", "retries"),
        ("Bad_Name: {}", "Bad_Name"),
        ("[1]", "mapping"),
        ("{", "YAML"),
        ("cpu: 3", "cpu"),
    ],
)
def test_what_a_profile_cannot_mean_is_refused(text: str, words: str) -> None:
    """The field is named, and what is allowed."""
    with pytest.raises(ConfigurationError, match=words):
        read_profiles(text, where="profiles.yaml")
