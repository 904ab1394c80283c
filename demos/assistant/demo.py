"""The model road from end to end, on this machine: run by `make demo-model`.

Train, evaluate, register; roll the candidate out under constant load, to 100 % and `champion`; then
hand a worse model to the same rollout, which refuses it. Exit status 1 if anything is otherwise.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from platform_pipelines.components.fine_tune.component import declared_spec as declared_model
from platform_pipelines.components.model_rollout.component import declared_spec
from platform_pipelines.core.fine_tune.declaration import FineTuneSpec
from platform_pipelines.core.model_rollout.declaration import ModelRolloutSpec
from platform_pipelines.core.model_rollout.machine import Phase, Rollout
from platform_pipelines.errors import UnavailableError
from platform_pipelines.gateways.local_http import local_get
from platform_pipelines.gateways.model_registry import CANDIDATE
from platform_pipelines.settings import load_settings
from platform_pipelines.stages.fine_tune import adapter, model, workspace
from platform_pipelines.stages.model_rollout.load import Load, constant_load
from platform_pipelines.stages.model_rollout.rollout import read_rollout
from platform_pipelines.stages.model_rollout.workspace import open_workspace
from platform_pipelines.stages.road.model_files import fetch_files, publish_model
from platform_pipelines.stages.road.models import ModelTools

HERE = Path(__file__).parent
DEFS = HERE / "assistant_demo" / "defs"
QUESTION = "How many GPUs may the serving pool use?"
STREAMS = 3
WORSE_FACTOR = "12"
GATEWAY_SECONDS = 600


def say(text: str) -> None:
    """One line of progress."""
    print(f"==> {text}", flush=True)


def main() -> None:
    """The demo; every promise is checked where it is shown."""
    started = time.monotonic()
    rollout_spec = declared_spec(_attributes("assistant_live"), DEFS / "assistant_live")
    model_spec = declared_model(_attributes("assistant"), DEFS / "assistant")
    try:
        say("dg launch --job assistant_fine_tune")
        _must(_launch("assistant_fine_tune").wait() == 0, "the fine-tuning ended well")
        say("dg launch --job assistant_live_rollout, under constant load")
        ended, load = roll_out(rollout_spec)
        _must(ended.phase is Phase.PROMOTED, f"the candidate is {ended.phase}")
        _must(not load.failures, f"{len(load.failures)} of the users' requests failed")
        good = ended.candidate
        say("a worse model is registered by hand, as `candidate`")
        register_worse(model_spec)
        ended, load = roll_out(rollout_spec)
        _must(ended.phase is Phase.ROLLED_BACK, f"the worse model is {ended.phase}")
        _must(not load.failures, f"{len(load.failures)} of the users' requests failed")
        _must(ended.champion.digest == good.digest, "the champion serves as before")
    finally:
        say("dg launch --job assistant_live_stop")
        _launch("assistant_live_stop").wait()
    say(f"done in {time.monotonic() - started:.0f} s. The pages: `dg dev` in demos/assistant")


def roll_out(spec: ModelRolloutSpec) -> tuple[Rollout, Load]:
    """The rollout's job, and users who ask all the time from the first answer on."""
    job = _launch(f"{spec.name}_rollout")
    _await_gateway(spec.port, job)
    with constant_load(
        "127.0.0.1", spec.port, question=QUESTION, streams=STREAMS, max_tokens=12
    ) as load:
        code = job.wait()
    _must(code == 0, "the rollout's job ended well")
    rollout, _ = read_rollout(open_workspace(spec, load_settings()))
    assert rollout is not None
    for entered in rollout.history:
        why = f"  {'; '.join(entered.reasons)}" if entered.reasons else ""
        print(f"    {entered.phase} {entered.step + 1}  {_shown(entered.facts)}{why}")
    sides = ", ".join(f"{n} by {side}" for side, n in sorted(load.by_side.items()))
    say(f"{rollout.phase}: {load.answered} requests, {len(load.failures)} failed ({sides})")
    for failure in load.failures[:3]:
        print(f"    {failure}")
    return rollout, load


def register_worse(spec: FineTuneSpec) -> None:
    """Merge a worse adapter and give it the alias past every gate, as somebody in a hurry does."""
    opened = workspace.open_workspace(spec, load_settings(), progress=say)
    tools, folder = opened.tools, opened.home / "worse"
    good = opened.require_head(adapter.STAGE).shards[0]
    fetch_files(opened.store, good.path, opened.home / "adapters" / good.digest)
    base, _ = adapter.base_folder(opened)
    python = str(tools.python("training"))
    source = str(opened.home / "adapters" / good.digest)
    _run(python, str(HERE / "worse_adapter.py"), source, str(folder / "adapter"), WORSE_FACTOR)
    program = str(model.PROGRAMS / "merge_adapter.py")
    merged = folder / "model"
    told = _run(python, program, str(base), str(folder / "adapter"), str(merged), QUESTION)
    made: dict[str, Any] = json.loads(told.splitlines()[-1])
    say(f"it answers: {made['answer']!r}")
    worse = publish_model(tools.models, merged, made["files"])
    with tools.registry() as registry:
        tags = {"platform.role": "worse on purpose"}
        number = registry.ensure_version(spec.name, worse.digest, worse.url, None, tags)
        registry.set_alias(spec.name, CANDIDATE, number)


def _attributes(name: str) -> dict[str, Any]:
    text = (DEFS / name / "defs.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text)["attributes"])


def _launch(job: str) -> "subprocess.Popen[bytes]":
    program = str(Path(sys.executable).parent / "dg")
    return subprocess.Popen([program, "launch", "--job", job], cwd=HERE)


def _run(*command: str) -> str:
    environment = ModelTools(load_settings(), say).environment
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    _must(done.returncode == 0, f"{command[1]}: {done.stderr[-800:]}")
    return done.stdout


def _await_gateway(port: int, job: "subprocess.Popen[bytes]") -> None:
    """Until the champion answers."""
    ends_at = time.monotonic() + GATEWAY_SECONDS
    while job.poll() is None and time.monotonic() < ends_at:
        try:
            if local_get("127.0.0.1", port, "/health")[0] == 200:
                return
        except UnavailableError:
            pass
        time.sleep(0.5)
    _must(condition=False, what="the gateway answers")


def _must(condition: bool, what: str) -> None:
    if not condition:
        sys.exit(f"not as promised: {what}")


def _shown(facts: Mapping[str, Any]) -> str:
    window = facts.get("candidate")
    f1 = facts.get("answer_f1") or {}
    scores = " / ".join(f"{name} {value:.3f}" for name, value in f1.items() if value is not None)
    return f"{window['requests']:.0f} requests, answer_f1 {scores}" if window else ""


if __name__ == "__main__":
    main()
