"""Train a model on a folder of your own code, and see what that changed.

    python examples/train_on_folder.py MODEL FOLDER RUN [KEY=VALUE ...]

RUN is a new folder: the report, the models and every figure are in it afterwards. A second call goes on where the
first was stopped. KEY=VALUE changes a setting of the recipe, such as stage.your-code.minutes=120.
"""

import json
import sys
from pathlib import Path

from codecascade.cascade.run import run_cascade
from codecascade.recipe import read_recipe

base, folder, run, *changes = sys.argv[1:]
recipe = read_recipe("your-code", [f"base={base}", f"corpus={folder}", *changes])
run_cascade(recipe, Path(run))

results = json.loads(Path(run, "results.json").read_text(encoding="utf-8"))
for model, benchmarks in results["models"].items():
    loss = benchmarks["validation"]["loss"]
    print(
        f"{model}: loss on held-out repositories {loss['value']:.3f} ({loss['low']:.3f} to {loss['high']:.3f})"
    )
