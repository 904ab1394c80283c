"""What a training run says while it runs: one JSON object a line, folded into its curves."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from platform_pipelines.errors import IntegrityError

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Curve:
    """A run's steps, each once: what was lost with a killed process was done again."""

    steps: tuple[Event, ...]
    validations: tuple[Event, ...]
    checkpoints: tuple[str, ...]
    resumed_at: tuple[int, ...]  # of every start after the first
    last: str  # kind of the last event: finished | preempted | step | ...

    @property
    def first_loss(self) -> float | None:
        """Of the first step."""
        return float(self.steps[0]["loss"]) if self.steps else None

    @property
    def last_loss(self) -> float | None:
        """Of the last step."""
        return float(self.steps[-1]["loss"]) if self.steps else None

    @property
    def peak_rss_mb(self) -> int:
        """Most memory that a process was seen with, MiB."""
        return max((int(one["rss_mb"]) for one in self.steps), default=0)


def parse_event(line: str) -> Event | None:
    """One event, None for half a line: a killed process may leave one."""
    try:
        event: Any = json.loads(line)
    except ValueError:
        return None
    return cast("Event", event) if isinstance(event, dict) and "event" in event else None


def fold(events: Iterable[Event]) -> Curve:
    """The curves of a run over all its starts; the last word about a step counts.

    Raises:
        IntegrityError: a loss is not finite; such a model is not worth its evaluation.
    """
    steps: dict[int, Event] = {}
    validations: dict[int, Event] = {}
    checkpoints: list[str] = []
    starts: list[int] = []
    last = ""
    for event in events:
        last = str(event["event"])
        if last == "step":
            steps[int(event["step"])] = event
        elif last == "validation":
            validations[int(event["step"])] = event
        elif last == "checkpoint":
            checkpoints.append(str(event["name"]))
        elif last == "ready":
            starts.append(int(event["resume_step"]))
    broken = [step for step, one in steps.items() if not math.isfinite(float(one["loss"]))]
    if broken:
        raise IntegrityError(
            "the loss is not finite",
            where=f"step {broken[0]}",
            remedy="lower the learning rate, or look at the rows of this step",
        )
    return Curve(
        steps=tuple(steps[n] for n in sorted(steps)),
        validations=tuple(validations[n] for n in sorted(validations)),
        checkpoints=tuple(dict.fromkeys(checkpoints)),
        resumed_at=tuple(starts[1:]),
        last=last,
    )


def told(event: Event, *, max_steps: int) -> str:
    """One line for the log of the run, or nothing."""
    kind = event["event"]
    if kind == "step":
        of_gpu = f", {event['gpu_mb']} MiB of the GPU" if "gpu_mb" in event else ""
        rate = event.get("tokens_per_second")  # a bi-encoder's recipe does not count them
        return (
            f"step {int(event['step']) + 1} of {max_steps}: loss {event['loss']:.3f}, "
            f"lr {event['learning_rate']:.2e}, "
            f"{f'{rate:.0f} tokens/s, ' if rate is not None else ''}{event['rss_mb']} MiB{of_gpu}"
        )
    if kind == "validation":
        found = f"validation after step {int(event['step']) + 1}: loss {event['loss']:.3f}"
        rank = event.get("reciprocal_rank")
        return found if rank is None else f"{found}, mean reciprocal rank {rank:.3f}"
    if kind == "checkpoint":
        return f"checkpoint {event['name']} sealed in {event['seconds']} s"
    if kind == "ready" and event["resume_step"]:
        return f"resumed at step {event['resume_step']}"
    return ""
