"""What a benchmark's tasks become when they are asked."""

from __future__ import annotations

from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.running.work import generated_work
from codecascade.evaluation.settings import EvaluateSettings
from codecascade.evaluation.task import Continuation, Dialogue, Gap, Message, Task


def test_healing_left_to_right_can_be_switched_off_for_every_benchmark() -> None:
    prompts = (Continuation("a", ("b",)), Gap("a", "b", "spm"), Dialogue((Message("user", "a"),)))
    tasks = [Task(str(number), prompt, 1) for number, prompt in enumerate(prompts)]
    for benchmark in BENCHMARKS.values():
        healed = generated_work(benchmark, tasks, EvaluateSettings())
        assert [task.prompt for task in healed.tasks] == [*prompts]
        whole = generated_work(benchmark, tasks, EvaluateSettings(heal=False))
        # How a gap is healed is infilling_heal's affair, and a dialogue has an end of its own.
        assert [task.prompt for task in whole.tasks] == [Continuation("a", ("b",), heal=False), *prompts[1:]]
        assert healed.digest() != whole.digest()
