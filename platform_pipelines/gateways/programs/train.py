"""Fine-tuning by NeMo Automodel's own recipe, with every event in a file as it happens.

Runs by path in the environment `training`, where this package is not installed:

    python train.py EVENTS.jsonl CONFIG.yaml [--key.of.the.recipe value ...]

Exit status: 0 finished, 75 preempted after a checkpoint (start again to go on), others failed. The
recipe buffers its own metrics, 100 records at a time, so that a killed run leaves none: here each
event is one line and one write, of rank 0 only. After a resume the file holds some steps twice; the
last of each counts.
"""
# pyright: basic, reportMissingImports=false

import json
import os
import resource
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PREEMPTED = 75
BI_ENCODER = "TrainBiEncoderRecipe"
MEASURED = {"val_loss": "loss", "val_acc1": "first_is_right", "val_mrr": "reciprocal_rank"}
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Events:
    """The event file: whoever started this process tails it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.is_first = False  # known once the processes found each other

    def tell(self, kind: str, **fields: Any) -> None:
        """One event, in one write: readers never see half a line that is followed by another."""
        if not self.is_first:
            return
        event = {"at": round(time.time(), 3), "event": kind, **fields}
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, (json.dumps(event, ensure_ascii=False) + "\n").encode())
        finally:
            os.close(handle)


def resident_mb() -> int:
    """Memory of this process in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES >> 20


def train(events: Events, arguments: list[str]) -> int:
    """Run the recipe; the exit status."""
    import torch
    from nemo_automodel.components.config._arg_parser import parse_args_and_load_config

    started = time.monotonic()
    _allow_cpu()
    config = parse_args_and_load_config(arguments[0], argv=arguments[1:])
    recipe = _recipe_class(events, str(config.get("recipe")))(config)
    recipe.setup()
    events.is_first = torch.distributed.get_rank() == 0
    steps = recipe.step_scheduler
    events.tell(
        "ready",
        resume_step=steps.step,
        max_steps=steps.max_steps,
        world_size=torch.distributed.get_world_size(),
        seconds=round(time.monotonic() - started, 1),
        rss_mb=resident_mb(),
    )
    recipe.run_train_validation_loop()
    is_preempted = bool(steps.sigterm_flag) and steps.step < steps.max_steps
    used = resource.getrusage(resource.RUSAGE_SELF)
    kind = "preempted" if is_preempted else "finished"
    events.tell(
        kind,
        step=steps.step,
        peak_rss_mb=used.ru_maxrss // 1024,
        cpu_seconds=round(used.ru_utime + used.ru_stime, 2),
    )
    _leave_group()
    return PREEMPTED if is_preempted else 0


def _base_class(name: str) -> Any:
    """Automodel's own recipe of this name."""
    if name == BI_ENCODER:
        from nemo_automodel.recipes.retrieval import train_bi_encoder

        train_bi_encoder.wandb = SimpleNamespace(run=None)  # it is asked, and not installed
        return train_bi_encoder.TrainBiEncoderRecipe
    from nemo_automodel.recipes.llm.train_ft import TrainFinetuneRecipeForNextTokenPrediction

    return TrainFinetuneRecipeForNextTokenPrediction


def _recipe_class(events: Events, name: str) -> Any:
    import torch
    from sealing import seal

    class Recipe(_base_class(name)):
        """The recipe, telling what it does."""

        _last = time.monotonic()

        def log_train_metrics(self, log_data: Any) -> None:
            """After each step."""
            now = time.monotonic()
            metrics = log_data.metrics
            rate = (
                {"tokens_per_second": round(float(metrics["tps"]), 1)} if "tps" in metrics else {}
            )
            events.tell(
                "step",
                step=log_data.step,
                loss=float(metrics["loss"]),
                learning_rate=float(metrics["lr"]),
                gradient_norm=float(metrics["grad_norm"]),
                seconds=round(now - self._last, 2),
                rss_mb=resident_mb(),
                **rate,
            )
            self._last = now
            super().log_train_metrics(log_data)

        def log_val_metrics(self, *given: Any, **named: Any) -> None:
            """After each validation pass; recipes differ in what else they are given."""
            told = [one for one in (*given, *named.values()) if hasattr(one, "metrics")]
            for one in told:
                found = {n: float(one.metrics[k]) for k, n in MEASURED.items() if k in one.metrics}
                events.tell("validation", step=one.step, **found)
            super().log_val_metrics(*given, **named)

        def save_checkpoint(self, epoch: int, step: int, *rest: Any, **named: Any) -> None:
            """Save as the recipe does, then seal what it published."""
            started = time.monotonic()
            events.tell("checkpoint_begin", step=step)
            super().save_checkpoint(epoch, step, *rest, **named)
            name = f"epoch_{epoch}_step_{step}"
            if events.is_first:
                folder = Path(self.checkpointer.config.checkpoint_dir) / name
                seal(folder, torch.distributed.get_world_size())
            seconds = round(time.monotonic() - started, 2)
            events.tell("checkpoint", step=step, name=name, seconds=seconds)

    return Recipe


def _allow_cpu() -> None:
    """Automodel 0.7.0 asks for the current CUDA device in three places, also where there is none.

    Drop this when a release trains on a machine without a GPU as it is.
    """
    import torch
    from nemo_automodel._transformers import auto_model, model_init

    if torch.cuda.is_available():
        return
    cpu = torch.device("cpu")

    class _Cuda:
        def __getattr__(self, name: str) -> Any:
            return getattr(torch.cuda, name)

        def current_device(self) -> Any:
            return cpu

    class _Torch:
        cuda = _Cuda()

        def __getattr__(self, name: str) -> Any:
            return getattr(torch, name)

        @staticmethod
        def device(*args: Any, **named: Any) -> Any:
            return cpu if args and args[0] in ("cuda", cpu) else torch.device(*args, **named)

    torch.cuda.reset_peak_memory_stats = lambda *_, **__: None
    auto_model.torch = model_init.torch = _Torch()


def _leave_group() -> None:
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    sys.exit(train(Events(Path(sys.argv[1])), sys.argv[2:]))
