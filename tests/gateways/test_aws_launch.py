"""Requests to AWS and to other operators, against their own models; none of them was run."""

import os
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from platform_pipelines.compute.ray_tasks import task_command
from platform_pipelines.core.road.bridges import (
    RayTasks,
    SageMakerTraining,
    agentcore_runtime,
    bedrock_batch,
    inference_service,
    ray_job,
    sagemaker_training,
)
from platform_pipelines.core.road.manifests import revision_of
from platform_pipelines.errors import ConfigurationError, RequestRefusedError, UnavailableError
from platform_pipelines.gateways.aws_launch import launch
from platform_pipelines.stages.road.api_drift import InUse, api_drift, read_in_use

ROLE = "arn:aws:iam::123456789012:role/platform"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/platform:1.2.0"
TRAINING = sagemaker_training(
    SageMakerTraining(
        "adapter-a1", image=IMAGE, role=ROLE, instance="ml.g5.2xlarge", instances=1,
        data="s3://acme/training", output="s3://acme/adapters", arguments={"seed": "7"},
        seconds=3600, spot=True,
    )
)  # fmt: skip
AGENT = agentcore_runtime("assistant", image=IMAGE, role=ROLE, environment={"A": "b"})
BATCH = bedrock_batch(
    "nightly-a1", model="anthropic.claude-3-haiku-20240307-v1:0", role=ROLE,
    prompts="s3://acme/prompts/day.jsonl", answers="s3://acme/answers/",
)  # fmt: skip
TASKS = RayTasks(
    "chunks-a1", "platform", IMAGE, "2.56.0", "plans/chunks/a1.json", tasks=40, workers=4,
    queue="stages",
)  # fmt: skip


def client(service: str) -> Any:
    return boto3.client(
        service, region_name="eu-central-1",
        aws_access_key_id="test", aws_secret_access_key="test",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("service", "operation", "request_", "answer"),
    [
        ("sagemaker", "create_training_job", TRAINING,
         {"TrainingJobArn": "arn:aws:sagemaker:eu-central-1:123456789012:training-job/adapter-a1"}),
        ("bedrock", "create_model_invocation_job", BATCH,
         {"jobArn": "arn:aws:bedrock:eu-central-1:123456789012:model-invocation-job/abcdefghijkl"}),
        ("bedrock-agentcore-control", "create_agent_runtime", AGENT,
         {"agentRuntimeArn": "arn:aws:bedrock-agentcore:eu-central-1:123456789012:runtime/x-1",
          "agentRuntimeId": "x-1", "agentRuntimeVersion": "1", "createdAt": 0,
          "status": "CREATING"}),
    ],
)  # fmt: skip
def test_a_request_has_the_shape_that_the_service_takes(
    service: str, operation: str, request_: dict[str, Any], answer: dict[str, Any]
) -> None:
    """botocore checks every field of it, and of the answer, by the service's own model."""
    made = client(service)
    with Stubber(made) as stub:
        stub.add_response(operation, answer, request_)
        assert launch(made, operation, request_).startswith("arn:aws:")


def test_a_refusal_and_a_later_are_told_apart() -> None:
    """One is tried again, the other never."""
    made = client("sagemaker")
    with Stubber(made) as stub:
        stub.add_client_error("create_training_job", "ValidationException")
        with pytest.raises(RequestRefusedError, match="ValidationException"):
            launch(made, "create_training_job", TRAINING)
        stub.add_client_error("create_training_job", "ThrottlingException")
        with pytest.raises(UnavailableError, match="ThrottlingException"):
            launch(made, "create_training_job", TRAINING)
    with pytest.raises(RequestRefusedError, match="has not the shape"):
        launch(made, "create_training_job", {"TrainingJobName": 7})


def test_a_spot_training_keeps_checkpoints_and_waits_longer() -> None:
    """Without them an interruption starts from nothing."""
    assert TRAINING["CheckpointConfig"]["S3Uri"] == "s3://acme/adapters/checkpoints"
    assert TRAINING["StoppingCondition"]["MaxWaitTimeInSeconds"] == 7200


def test_a_ray_job_runs_every_task_and_waits_for_its_queue() -> None:
    """The same worker as an index of an Indexed Job; the head does no work."""
    spec = ray_job(TASKS)["spec"]
    assert spec["entrypoint"].endswith("plans/chunks/a1.json 40")
    assert spec["suspend"] is True
    assert spec["rayClusterSpec"]["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    assert task_command(TASKS.plan_key, 3)[-2:] == ["--index", "3"]
    with pytest.raises(ConfigurationError, match="tasks and workers"):
        ray_job(RayTasks("a", "n", IMAGE, "2.56.0", "p", tasks=0, workers=1))


def test_a_kserve_canary_is_a_share_of_the_newest_revision() -> None:
    """0 to 100, or it is refused here and not by a controller at night."""
    made = inference_service(
        "chat", "inference", storage="s3://models/a", served_name="chat", gpus=1, canary_percent=10
    )
    assert made["spec"]["predictor"]["canaryTrafficPercent"] == 10
    with pytest.raises(ConfigurationError, match="no share of 100"):
        inference_service("c", "n", storage="s3://m", served_name="c", gpus=1, canary_percent=101)


def test_what_is_bridged_to_keeps_the_rules() -> None:
    """Also against KubeRay's own definition, where PP_TEST_DEFINITIONS names the folder."""
    folder = os.environ.get("PP_TEST_DEFINITIONS")
    in_use = read_in_use(Path(folder) / "kuberay") if folder else InUse()
    assert api_drift(revision_of("bridge", "test", [ray_job(TASKS)]), in_use) == ()
