"""NeMo Automodel's recipe with nothing of ours: python bare_recipe.py PROGRAMS CONFIG.json

Runs by path in the environment `training`. `PROGRAMS` is the folder of our program, of which only
the patch is taken that lets the recipe run without a GPU. Prints the step loop's wall
seconds and the process' processor seconds.
"""
# pyright: basic, reportMissingImports=false

import json
import resource
import sys
import time


def main() -> None:
    """Set up, run, say how long the loop took."""
    sys.path.insert(0, sys.argv[1])
    import torch
    import train
    from nemo_automodel.components.config._arg_parser import parse_args_and_load_config
    from nemo_automodel.recipes.llm.train_ft import TrainFinetuneRecipeForNextTokenPrediction

    train._allow_cpu()
    recipe = TrainFinetuneRecipeForNextTokenPrediction(
        parse_args_and_load_config(sys.argv[2], argv=[])
    )
    recipe.setup()
    started = time.monotonic()
    recipe.run_train_validation_loop()
    seconds = time.monotonic() - started
    torch.distributed.destroy_process_group()
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"loop_seconds": seconds, "cpu_seconds": used.ru_utime + used.ru_stime}))


if __name__ == "__main__":
    main()
