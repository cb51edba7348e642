"""Add a benchmark: sums that the model completes, judged by their first number.

    python examples/add_benchmark.py MODEL FOLDER

In the package a benchmark is a file in codecascade/evaluation/benchmarks/ and a line of its table.py.
"""

import re
import sys
from pathlib import Path

from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.rates import mean_scores, values_by_problem
from codecascade.evaluation.running.runner import Inputs, evaluate
from codecascade.evaluation.task import Benchmark, Task, TextPrompt
from codecascade.generation.loading import load_backend


def sum_task(first, second):
    """One problem: what is asked, and how an answer is judged."""

    def judge(completion, outcomes):
        return {"passed": re.findall(r"\d+", completion)[:1] == [str(first + second)]}

    prompt = TextPrompt(f"assert {first} + {second} ==", ("\n",))
    return Task(f"sums/{first}+{second}", prompt, max_new_tokens=4, judge=judge)


def accuracy(rows):
    """What each problem contributes to the share of right ones, of which the figure and its interval are made."""
    return {"accuracy": mean_scores(values_by_problem(rows, "passed")["passed"])}


tasks = [sum_task(first, second) for first in (3, 4, 5) for second in (3, 4, 5)]
BENCHMARKS["sums"] = Benchmark("sums", "Sums", "accuracy", tasks=lambda context: tasks, scores=accuracy)
settings = EvaluateSettings(benchmarks=("sums",))
results = evaluate(Inputs(load_backend(sys.argv[1])), settings, folder=Path(sys.argv[2]))
print(f"sums: {results['sums'].metrics['accuracy'].value:.0%} of {len(tasks)}")
