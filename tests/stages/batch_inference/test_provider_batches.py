"""Prompts through a provider's batches: each is started once, whatever is lost or killed."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from platform_pipelines.core.batch_inference.declaration import BatchInferenceSpec
from platform_pipelines.core.road.declarations import parse_spec
from platform_pipelines.errors import ConfigurationError, RequestRefusedError, UnavailableError
from platform_pipelines.gateways.batch_provider import BedrockBatches
from platform_pipelines.gateways.obstore_store import open_store
from platform_pipelines.stages.batch_inference.answers import refresh_answers
from platform_pipelines.stages.batch_inference.workspace import Workspace, open_workspace
from platform_pipelines.stages.road.usage import read_usage
from tests.batches import declared, prompt_lines, said, settings_of
from tests.fakes import FakeClock
from tests.servers.batch_server import BatchServer, Json
from tests.servers.chat_server import reply
from tests.stages.batch_inference.test_answers import stored


class Killed(BaseException):
    """The process dies here: nothing that it would have done afterwards is done."""


def answer(body: Json) -> tuple[int, Json]:
    return 200, reply(said(body), model=body["model"])


def place(folder: Path, url: str, count: int = 10, **changes: Any) -> Workspace:
    prompts = folder / "prompts" / "one.jsonl"
    prompts.parent.mkdir(parents=True, exist_ok=True)
    if not prompts.exists():
        prompts.write_text(prompt_lines(count), encoding="utf-8")
    settings = settings_of(folder / "home", (folder / "store").as_uri())
    given = {"through": "openai_batch", "batch": 4, "attempts": 1, **changes}
    spec = declared((folder / "prompts").as_uri(), url, **given)
    return dataclasses.replace(open_workspace(spec, settings, run_id="run"), clock=FakeClock())


def answers(workspace: Workspace) -> dict[str, str]:
    rows = stored(workspace.answers)
    assert all(count == 1 for count in Counter(row.id for row in rows).values())
    return {row.id: row.text for row in rows}


def left(workspace: Workspace) -> list[str]:
    return [o.key for page in workspace.store.list_objects("batches") for o in page]


RIGHT = {f"p{n}": f"it is {2 * n}" for n in range(10)}


def test_prompts_go_as_files_and_come_back_once_with_what_they_took(tmp_path: Path) -> None:
    """10 prompts in batches of 4 are three batches; a second run starts none."""
    with BatchServer(answer, looks=2) as server:
        workspace = place(tmp_path, server.url)
        outcome = refresh_answers(workspace)
        assert outcome.snapshot.counts["answered"] == 10
        assert answers(workspace) == RIGHT
        assert len(server.batches) == 3
        assert not refresh_answers(place(tmp_path, server.url)).is_changed
    assert len(server.batches) == 3
    assert left(workspace) == []
    assert outcome.snapshot.counts["input_tokens"] == 1000


def test_a_batch_whose_acknowledgement_is_lost_is_found_and_not_started_again(
    tmp_path: Path,
) -> None:
    """The provider bills what it started, whether we heard of it or not."""
    with BatchServer(answer) as server:
        server.loses = 1
        with pytest.raises(UnavailableError):
            refresh_answers(place(tmp_path, server.url))
        assert len(server.batches) == 1
        refresh_answers(place(tmp_path, server.url))
        assert answers(place(tmp_path, server.url)) == RIGHT
    assert len(server.batches) == 3


@pytest.mark.parametrize("kills", [1, 2, 3, 5])
def test_a_run_that_is_killed_while_it_waits_goes_on_with_the_same_batches(
    tmp_path: Path, kills: int
) -> None:
    """Killed at each of its first waits; no batch is ever started twice."""
    ends = [Killed] * kills

    class Dying(FakeClock):
        """Waiting for the next look is where a night is spent, and where it ends."""

        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if ends:
                raise ends.pop()

    with BatchServer(answer, looks=kills + 1) as server:
        died = 0
        while True:
            workspace = dataclasses.replace(place(tmp_path, server.url), clock=Dying())
            try:
                refresh_answers(workspace)
                break
            except Killed:
                died += 1
        assert died == kills
        assert answers(workspace) == RIGHT
    assert len(server.batches) == 3
    assert left(workspace) == []


def test_killed_between_results_and_answers_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch has ended; its results are read again and not asked again."""
    with BatchServer(answer) as server:
        from platform_pipelines.stages.batch_inference import answers as stage

        def dying(*_: Any) -> None:
            raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(stage, "write_parts", dying)
            with pytest.raises(Killed):
                refresh_answers(place(tmp_path, server.url))
        refresh_answers(place(tmp_path, server.url))
        assert answers(place(tmp_path, server.url)) == RIGHT
    assert len(server.batches) == 3


def test_prompts_without_a_result_are_asked_in_another_batch(tmp_path: Path) -> None:
    """A batch that expires has half of its results, and those are paid."""
    with BatchServer(answer) as server:
        server.ends_as, server.keeps = "expired", 0.5
        first = refresh_answers(place(tmp_path, server.url))
        assert (first.snapshot.counts["answered"], first.snapshot.counts["waiting"]) == (5, 5)
        server.ends_as, server.keeps = "completed", 1.0
        second = refresh_answers(place(tmp_path, server.url))
        assert second.snapshot.counts["answered"] == 10
        assert answers(place(tmp_path, server.url)) == RIGHT
        sent = sum(len(server.files[b["input_file_id"]].splitlines()) for b in server.batches)
    assert sent == 15  # 10, and the five again


def test_a_line_that_the_provider_refuses_is_rejected_and_a_refused_batch_marks_nobody(
    tmp_path: Path,
) -> None:
    """A wrong model is no property of the prompts."""

    def one_wrong(body: Json) -> tuple[int, Json]:
        wrong = "What is 3 " in body["messages"][-1]["content"]
        return (400, {"error": {"message": "too long"}}) if wrong else answer(body)

    with BatchServer(one_wrong) as server:
        server.ends_as = "failed"
        with pytest.raises(RequestRefusedError, match="takes no batches"):
            refresh_answers(place(tmp_path, server.url))
        server.ends_as = "completed"
        outcome = refresh_answers(place(tmp_path, server.url))
    assert outcome.snapshot.counts["answered"] == 9
    assert outcome.snapshot.counts["rejected"] == 1
    assert outcome.snapshot.details["failures"][0]["why"] == "too long"


def test_what_was_paid_is_written_down_once(tmp_path: Path) -> None:
    """Cost reads it by the day."""
    with BatchServer(answer) as server:
        workspace = place(tmp_path, server.url)
        refresh_answers(workspace)
        refresh_answers(place(tmp_path, server.url))
    usage = read_usage(workspace.platform, workspace.clock.now().date())
    assert sum(one.input_tokens for one in usage) == 1000


BEDROCK = {
    "through": "bedrock_batch",
    "provider": {"role": "arn:aws:iam::123456789012:role/batch", "staging": "s3://acme/batch"},
}
ARN = "arn:aws:bedrock:eu-central-1:123456789012:model-invocation-job/abcdefghijkl"


def test_bedrock_is_asked_in_its_own_shape(tmp_path: Path) -> None:
    """Held against botocore's model of the service: the job, its token, its status, its files."""
    client = boto3.client(
        "bedrock", region_name="eu-central-1",
        aws_access_key_id="test", aws_secret_access_key="test",
    )  # fmt: skip
    workspace = place(tmp_path, "https://bedrock.eu-central-1.amazonaws.com", 2, **BEDROCK)
    staging = open_store((tmp_path / "staging").as_uri(), create=True)
    provider = BedrockBatches(client, staging, model="amazon.nova-lite-v1:0", role="r" * 20)
    sent: dict[str, Any] = {}

    def start(token: str, lines: bytes) -> str:
        sent["token"], sent["lines"] = token, lines
        request = {
            "jobName": ANY, "roleArn": ANY, "modelId": "amazon.nova-lite-v1:0",
            "inputDataConfig": ANY, "outputDataConfig": ANY, "timeoutDurationInHours": 24,
            "clientRequestToken": token, "modelInvocationType": "Converse",
        }  # fmt: skip
        stub.add_response("create_model_invocation_job", {"jobArn": ARN}, request)
        batch = BedrockBatches.start(provider, token, lines)
        data = {"s3Uri": "s3://acme/x"}
        job = {
            "jobArn": ARN, "modelId": "m", "roleArn": "r" * 20, "clientRequestToken": token,
            "submitTime": workspace.clock.now(), "status": "Completed",
            "inputDataConfig": {"s3InputDataConfig": data},
            "outputDataConfig": {"s3OutputDataConfig": data},
        }  # fmt: skip
        stub.add_response("get_model_invocation_job", job)
        stub.add_response("get_model_invocation_job", job)
        staging.put(f"{token}/out/job/records.jsonl.out", _bedrock_answers(lines))
        return batch

    with Stubber(client) as stub:
        provider.start = start  # type: ignore[method-assign]
        refresh_answers(workspace, open_model=lambda _: provider)
        stub.assert_no_pending_responses()
    assert answers(workspace) == {"p0": "it is 0", "p1": "it is 2"}
    assert b'"inferenceConfig": {"maxTokens": 512, "temperature": 0.0}' in sent["lines"]


def _bedrock_answers(lines: bytes) -> bytes:
    import json

    def answered(line: bytes) -> str:
        record = json.loads(line)
        (turn,) = record["modelInput"]["messages"]
        text = said({"messages": [{"content": turn["content"][0]["text"]}]})
        output = {
            "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
            "stopReason": "end_turn", "usage": {"inputTokens": 7, "outputTokens": 3},
        }  # fmt: skip
        return json.dumps({"recordId": record["recordId"], "modelOutput": output})

    return "\n".join(map(answered, lines.splitlines())).encode()


@pytest.mark.parametrize("missing", ["role", "staging"])
def test_bedrock_without_a_role_or_a_place_is_refused(missing: str) -> None:
    """It reads and writes S3 itself."""
    provider = {k: v for k, v in BEDROCK["provider"].items() if k != missing}  # type: ignore[union-attr]
    given = declared("file:///p", "https://b.example").model_dump(mode="json", exclude_unset=True)
    with pytest.raises(ConfigurationError, match=r"provider\.role"):
        parse_spec(
            BatchInferenceSpec, {**given, **BEDROCK, "provider": provider},
            where="test", noun="a batch",
        )  # fmt: skip


def test_jobs_answer_each_prompt_once_in_workers(tmp_path: Path) -> None:
    """As tasks: worker processes here, an Indexed Job on spot nodes in a cluster."""
    from tests.servers.chat_server import ChatServer

    with ChatServer(said) as server:
        workspace = place(tmp_path, server.url, through="jobs", profile="gpu-spot")
        workspace = dataclasses.replace(workspace, clock=open_workspace(
            workspace.spec, workspace.settings, run_id="run").clock)  # fmt: skip
        outcome = refresh_answers(workspace)
        assert outcome.snapshot.counts["answered"] == 10
        assert answers(workspace) == RIGHT
    assert len(server.requests) == 10
    listed = [o.key for page in workspace.store.list_objects() for o in page]
    assert not [key for key in listed if key.startswith(("work/", "inbox/"))]
