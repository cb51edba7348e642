"""How long a run will take, said before the first stage starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codecascade.cascade.budget.measuring import TIMED_TOKENS, MeasuringTimer
from codecascade.cascade.budget.steps import FEW_TOKENS, StepTimer, budget_minutes
from codecascade.cascade.display import RunDisplay
from codecascade.evaluation.benchmark_settings import CommonSettings
from codecascade.evaluation.cost import evaluation_seconds, evaluation_tokens
from codecascade.ground.format import show_seconds
from codecascade.plan.devices import this_device_flops
from codecascade.plan.plan import RecipePlan
from codecascade.plan.traffic import UTILISATION
from codecascade.recipe.settings import BASE, Stage
from codecascade.training.parallel.ranks import join_world

SHORT_STEP = 1.0
"""Seconds. On a GPU a step is timed if it is estimated to be shorter: small models use a device badly."""
SHORT_PART = 10.0
"""Seconds. On a CPU a step is timed if those few tokens that are timed first are estimated to take no longer."""


def say_how_long(
    stages: Sequence[Stage],
    done: Mapping[str, int],
    unmeasured: Mapping[str, CommonSettings],
    plan: RecipePlan,
    most_steps: Mapping[str, int | None],
    timer: StepTimer,
    measuring_timer: MeasuringTimer | None,
    display: RunDisplay,
) -> None:
    """Say how long the training of ``stages`` will take, and the measuring of the models that are ``unmeasured``.

    Print nothing if the shape of the models is unknown, or if nothing is left to be done.

    Args:
        done: of each stage the steps that an earlier call has taken.
        unmeasured: of each model what is still to be measured.
        most_steps: that a stage may take, by its name; None: any number.
        measuring_timer: None if another engine than the own one measures, which is not timed.
    """
    # one that is written as it is before training takes no time
    stages = [stage for stage in stages if stage.total_steps != 0]
    step_flops = {stage.name: plan[stage.name].step_flops for stage in stages}
    known = {name: flops for name, flops in step_flops.items() if flops is not None}
    tokens = {name: evaluation_tokens(settings) for name, settings in unmeasured.items()}
    tokens = {name: (read, written) for name, (read, written) in tokens.items() if read or written}
    if len(known) < len(stages) or not (stages or tokens):
        return
    speed = _speed(stages, known, timer)
    parameters = {stage.name: stage.parameters for stage in plan.stages} | dict(plan.base_parameters)
    base = plan.base_parameters.get(BASE)
    seconds = _measuring_seconds(tokens, base, parameters, speed, measuring_timer, display)
    measuring = f"{_at_least_a_minute(seconds)} of measuring"
    if stages:
        training = sum(
            _left(stage, done) * _training_seconds(stage, known, speed, most_steps[stage.name])
            for stage in stages
        )
        names = ", ".join(stage.name for stage in stages)
        made = _making(stages, plan, parameters, speed)
        ahead = f"about {_at_least_a_minute(training)} of training ({names}) {made}and {measuring}"
    else:
        ahead = f"about {measuring} ({', '.join(tokens)})"
    display.say(f"ahead: {ahead}; stop at any time, the same command continues")


def _left(stage: Stage, done: Mapping[str, int]) -> float:
    """The share of a stage's steps that are still to be taken."""
    return max(0.0, 1 - done.get(stage.name, 0) / (stage.total_steps or 1))


def _training_seconds(
    stage: Stage, step_flops: Mapping[str, float], speed: float, most_steps: int | None
) -> float:
    """Seconds of all steps of a stage."""
    minutes, step = budget_minutes(stage), step_flops[stage.name] / speed
    if minutes is not None:
        return 60 * minutes if most_steps is None else min(60 * minutes, most_steps * step)
    return (stage.total_steps or 0) * step


def _measuring_seconds(
    tokens: Mapping[str, tuple[int, int]],
    base: int | None,
    parameters: Mapping[str, int | None],
    speed: float,
    timer: MeasuringTimer | None,
    display: RunDisplay,
) -> float:
    """By the base's own reading and writing, where to time them is a matter of seconds and less work than what is
    to be measured; else by ``speed``.

    Args:
        tokens: of each model, those that it reads and writes.
    """
    little = sum(map(sum, tokens.values())) <= TIMED_TOKENS
    if little or base is None or timer is None or not timer.is_short(base, speed):
        return sum(evaluation_seconds(parameters[name] or 0, *each, speed) for name, each in tokens.items())
    display.say("base: timing how fast it reads and writes")
    timed = timer.speed()
    return sum(timed.seconds(*each, (parameters[name] or base) / base) for name, each in tokens.items())


def _making(
    stages: Sequence[Stage], plan: RecipePlan, parameters: Mapping[str, int | None], speed: float
) -> str:
    """How long these stages' self-instruct takes, as a part of a sentence; a time that is unknown is named so."""
    ahead = [cost for cost in plan.dialogues if cost.stage in {stage.name for stage in stages}]
    if not ahead:
        return ""
    seconds = [cost.seconds_at(parameters, speed) for cost in ahead]
    known = [each for each in seconds if each is not None]
    if len(known) < len(seconds):
        return "and a time that is not known of self-instruct "
    return f"and {_at_least_a_minute(sum(known))} of self-instruct "


def _speed(stages: Sequence[Stage], step_flops: Mapping[str, float], timer: StepTimer) -> float:
    """FLOP/s of all ranks in training: a measurement where that is a matter of seconds, else an estimate."""
    ranks = join_world()
    # all ranks must decide alike, and each would time another speed
    estimate = ranks.from_first(this_device_flops) * ranks.size * UTILISATION
    if not stages:
        return estimate
    shortest = min(stages, key=lambda stage: step_flops[stage.name])
    flops = step_flops[shortest.name]
    if ranks.device.type == "cpu":
        part = flops / shortest.batch_tokens * FEW_TOKENS * ranks.size
        long = part / estimate >= SHORT_PART
    else:
        long = flops / estimate >= SHORT_STEP
    return estimate if long else flops / timer.step_seconds(shortest)


def _at_least_a_minute(seconds: float) -> str:
    """An estimated time. Below a minute, what is not counted (loading, starting, writing) is the larger part."""
    return "a minute or less" if seconds < 60 else show_seconds(seconds)
