"""Two processes train what one does: the same rows a step, and losses equal within bf16 noise."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from platform_pipelines.core.fine_tune.events import Curve, Event, fold
from platform_pipelines.gateways.trainer import TrainingJob
from tests.models.test_training_resume import home, make_job, train

__all__ = ["home", "make_job"]

pytestmark = [pytest.mark.models, pytest.mark.long, pytest.mark.timeout(1500)]

NOISE = 0.02  # summed in another order in bf16; 0.009 was seen of losses near 2


def curve(home: Path, job: TrainingJob) -> Curve:
    told: list[Event] = []
    train(home, job, told.append)
    return fold(told)


def test_two_processes_give_the_losses_of_one(
    home: Path, make_job: Callable[[str], TrainingJob]
) -> None:
    """Each takes half of a step's rows; another split, or doubled rows, would be another curve."""
    alone, both = make_job("alone"), make_job("both")
    halved = both.config.replace('"local_batch_size": 2', '"local_batch_size": 1')
    assert halved != both.config
    one = curve(home, alone)
    two = curve(home, replace(both, config=halved, processes=2))
    assert len(one.steps) == len(two.steps)
    apart = [abs(a["loss"] - b["loss"]) for a, b in zip(one.steps, two.steps, strict=True)]
    print("losses apart:", apart)
    assert max(apart) <= NOISE, (one.steps, two.steps)
