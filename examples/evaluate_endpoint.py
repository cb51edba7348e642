"""Measure the model of an OpenAI-compatible server (vLLM, llama.cpp, ...) on HumanEval.

    python examples/evaluate_endpoint.py URL NAME FOLDER [PROBLEMS]

The programs that the model writes run confined. FOLDER keeps every answer, so that a second call asks only what is
missing; `codecascade compare FOLDER OTHER` compares it with another model.
"""

import sys
from pathlib import Path

from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.running.runner import Inputs, evaluate
from codecascade.generation.endpoint import Endpoint
from codecascade.sandbox.sandbox import Sandbox

url, name, folder, *problems = sys.argv[1:]
settings = EvaluateSettings(benchmarks=("humaneval",), limit=int(problems[0]) if problems else None)

with Sandbox() as sandbox:
    inputs = Inputs(backend=Endpoint(url, name, concurrency=8), sandbox=sandbox)
    results = evaluate(inputs, settings, folder=Path(folder))

for metric, figure in results["humaneval"].metrics.items():
    print(f"{metric}: {figure.value:.1%} (95 % interval {figure.low:.1%} to {figure.high:.1%})")
