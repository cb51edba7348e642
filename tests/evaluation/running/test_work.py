"""What a benchmark's tasks become when they are asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.running.work import BenchmarkWork, generated_work, sampling_for
from codecascade.evaluation.task import ChatPrompt, InfillingPrompt, Message, Task, TextPrompt
from codecascade.ground.errors import UserError


def test_healing_left_to_right_can_be_switched_off_for_every_benchmark() -> None:
    prompts = (TextPrompt("a", ("b",)), InfillingPrompt("a", "b", "spm"), ChatPrompt((Message("user", "a"),)))
    tasks = [Task(str(number), prompt, 1) for number, prompt in enumerate(prompts)]
    for benchmark in BENCHMARKS.values():
        healed = generated_work(benchmark, tasks, EvaluateSettings())
        assert [task.prompt for task in healed.tasks] == [*prompts]
        whole = generated_work(benchmark, tasks, EvaluateSettings(heal=False))
        # How an infilling prompt is healed is infilling.heal's affair, and a chat has an end of its own.
        assert [task.prompt for task in whole.tasks] == [TextPrompt("a", ("b",), heal=False), *prompts[1:]]
        assert healed.digest() != whole.digest()


def test_an_evaluation_that_an_older_version_began_can_go_on() -> None:
    # Journals hold these digests: renaming a kind of prompt or one of its fields must not change them.
    prompts = {
        TextPrompt("a", ("b",)): "dfb12538fc610cbc",
        InfillingPrompt("a", "b", "spm"): "f7c885ff8a87206e",
        ChatPrompt((Message("user", "a"),)): "b7cbd1121fa7ddb3",
    }
    assert {prompt: BenchmarkWork([Task("t", prompt, 3)], 1).digest() for prompt in prompts} == prompts
    cut = InfillingPrompt("a", "b", "spm", editor_lines="single")
    assert BenchmarkWork([Task("t", cut, 3)], 1).digest() not in prompts.values()


def test_a_sampled_benchmark_draws_the_papers_samples_and_the_others_one() -> None:
    def drawn(name: str, **settings: object) -> tuple[int, float, float]:
        return sampling_for(BENCHMARKS[name], EvaluateSettings.model_validate(settings))

    assert drawn("humaneval_sampled") == drawn("mbpp_sampled") == (200, 0.8, 0.95)
    assert drawn("apps_sampled") == (200, 0.6, 0.95)
    assert drawn("humaneval") == drawn("apps") == drawn("infilling_single_line") == (1, 0.0, 1.0)
    assert drawn("humaneval_sampled", samples_per_problem=20) == (20, 0.8, 0.95)
    assert drawn("humaneval_sampled", temperature=0.1) == (200, 0.1, 0.95)
    assert drawn("infilling_single_line", samples_per_problem=20) == (1, 0.0, 1.0)
    for name, benchmark in BENCHMARKS.items():
        if name.endswith("_sampled"):
            plain = BENCHMARKS[name.removesuffix("_sampled")]
            assert (benchmark.data, benchmark.metric, benchmark.needs) == (
                plain.data,
                plain.metric,
                plain.needs,
            )


def test_a_form_of_others_is_named_wherever_samples_are_read(tmp_path: Path, measure: Any) -> None:
    (tmp_path / "generations.json").write_text('[["    return 1\\n"]]')
    with pytest.raises(UserError, match="bigcode-evaluation-harness writes it; samples are JSON lines"):
        measure("humaneval", samples={"humaneval": tmp_path / "generations.json"}, sandbox=None)
