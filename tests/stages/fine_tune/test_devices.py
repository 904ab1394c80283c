"""What a training uses of the machine: GPUs where its environment has them, and it is told."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from platform_pipelines.core.fine_tune.declaration import FineTuneSpec
from platform_pipelines.errors import CapabilityError
from platform_pipelines.gateways.trainer import Devices, devices_of
from platform_pipelines.stages.fine_tune import adapter
from platform_pipelines.stages.fine_tune.training_set import refresh_training_set
from platform_pipelines.stages.road.models import ModelTools
from tests.stages.fine_tune.small_mill import Mill, build_mill

H200 = Devices(("NVIDIA H200",), four_bits=True)


@pytest.fixture
def mill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mill:
    built = build_mill(tmp_path, monkeypatch)
    monkeypatch.setattr(ModelTools, "python", lambda *_: Path(sys.executable))
    return replace(built, spec=declared(built.spec, "qlora", "gpu-training"))


def declared(spec: FineTuneSpec, method: str, profile: str) -> FineTuneSpec:
    recipe = {**spec.recipe.model_dump(), "method": method}
    return FineTuneSpec.model_validate(spec.model_dump() | {"recipe": recipe, "profile": profile})


def trained(mill: Mill) -> dict[str, object]:
    """The configuration that the trainer was given."""
    refresh_training_set(mill.workspace())
    adapter.refresh_adapter(mill.workspace())
    (digest,) = [one.name for one in (mill.workspace().home / "runs").iterdir()]
    assert mill.workspace().require_head(adapter.STAGE).settings == digest
    return GIVEN[-1]


GIVEN: list[dict[str, object]] = []


@pytest.fixture(autouse=True)
def given(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = adapter.recipes.recipe_config

    def remembered(*args: object, **named: object) -> str:
        made = whole(*args, **named)  # type: ignore[arg-type]
        GIVEN.append(json.loads(made))
        return made

    monkeypatch.setattr(adapter.recipes, "recipe_config", remembered)


def test_qlora_trains_where_there_is_a_gpu(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over four bits, and its processes talk by NCCL."""
    monkeypatch.setattr(adapter, "devices_of", lambda *_: H200)
    config = trained(mill)
    assert config["quantization"]["load_in_4bit"] is True  # type: ignore[index]
    assert config["dist_env"]["backend"] == "nccl"  # type: ignore[index]


def test_qlora_without_a_gpu_is_refused_before_anything_is_written(mill: Mill) -> None:
    """This machine's own environment is asked: it has none."""
    refresh_training_set(mill.workspace())
    with pytest.raises(CapabilityError, match="qlora quantises on a GPU") as caught:
        adapter.refresh_adapter(mill.workspace())
    assert caught.value.stored == "GPUs: none"
    assert mill.workspace().head(adapter.STAGE)[0] is None


def test_a_gpu_profile_without_a_gpu_trains_on_the_cpu(mill: Mill) -> None:
    """On one machine a profile is a process; NCCL would wait for a GPU that is not there."""
    on_cpu = replace(mill, spec=declared(mill.spec, "lora", "gpu-training"))
    assert trained(on_cpu)["dist_env"]["backend"] == "gloo"  # type: ignore[index]


def test_an_environment_that_cannot_say_is_named() -> None:
    """A broken environment is no machine without a GPU."""
    with pytest.raises(CapabilityError, match="does not say what it can train on"):
        devices_of(Path("/bin/false"), {})


def test_an_environment_without_pytorch_has_nothing_to_train_on() -> None:
    """The program is asked for real."""
    assert devices_of(Path(sys.executable), {}) == Devices()
