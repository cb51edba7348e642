"""How long a run will take, said before the first stage starts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from codecascade.cascade.budget.measuring import TIMED_TOKENS, MeasuringTimer
from codecascade.cascade.budget.steps import StepTimer, budget_minutes
from codecascade.cascade.display import RunDisplay
from codecascade.evaluation.cost import EvaluationCost, evaluation_seconds
from codecascade.ground.format import show_seconds
from codecascade.plan.devices import this_device_flops
from codecascade.plan.plan import RecipePlan
from codecascade.plan.traffic import UTILISATION
from codecascade.recipe.settings import BASE, Stage
from codecascade.training.parallel.ranks import join_world

SHORT_STEP = 1.0
"""Seconds. A step that is estimated to be shorter is timed instead: small models use a device badly."""


def say_how_long(
    stages: Sequence[Stage],
    unmeasured: Collection[str],
    plan: RecipePlan,
    timer: StepTimer,
    measuring_timer: MeasuringTimer | None,
    display: RunDisplay,
) -> None:
    """Say how long the training of ``stages`` will take, and the measuring of the models that are ``unmeasured``.

    Print nothing if the shape of the models is unknown, or if no stage is left to be trained.

    Args:
        measuring_timer: None if another engine than the own one measures, which is not timed.
    """
    # one that is written as it is before training takes no time
    stages = [stage for stage in stages if stage.total_steps != 0]
    step_flops = {stage.name: plan[stage.name].step_flops for stage in stages}
    known = {name: flops for name, flops in step_flops.items() if flops is not None}
    if not stages or len(known) < len(stages):
        return
    speed = _speed(stages, known, timer)
    training = 0.0
    for stage in stages:
        if stage.timed_minutes is not None:
            training += 60 * budget_minutes(stage, stage.timed_minutes)
        else:
            training += (stage.total_steps or 0) * known[stage.name] / speed
    parameters = {stage.name: stage.parameters for stage in plan.stages} | dict(plan.base_parameters)
    evaluations = [each for each in plan.evaluations if each.name in unmeasured]
    size = plan.base_parameters.get(BASE)
    measuring = _measuring_seconds(evaluations, size, parameters, speed, measuring_timer)
    display.say(
        f"ahead: about {_at_least_a_minute(training)} of training ({', '.join(stage.name for stage in stages)}) "
        f"{_making(stages, plan, parameters, speed)}and {_at_least_a_minute(measuring)} of measuring; stop at any "
        "time, the same command continues"
    )


def _measuring_seconds(
    evaluations: Sequence[EvaluationCost],
    base: int | None,
    parameters: Mapping[str, int | None],
    speed: float,
    timer: MeasuringTimer | None,
) -> float:
    """By the base's own reading and writing, where to time them is a matter of seconds and less work than what is
    to be measured; else by ``speed``.
    """
    asked = [model for model in evaluations if model.read or model.written]
    little = sum(model.read + model.written for model in asked) <= TIMED_TOKENS
    if little or base is None or timer is None or not timer.worth_while(base, speed):
        return sum(
            evaluation_seconds(parameters[model.name] or 0, model.read, model.written, speed)
            for model in asked
        )
    timed = timer.speed()
    return sum(
        timed.seconds(model.read, model.written, (parameters[model.name] or base) / base) for model in asked
    )


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
    """FLOP/s of all ranks in training: usually an estimate, and where steps are short by it, a measurement."""
    ranks = join_world()
    # all ranks must decide alike, and each would time another speed
    estimate = ranks.from_first(this_device_flops) * ranks.size * UTILISATION
    shortest = min(stages, key=lambda stage: step_flops[stage.name])
    if step_flops[shortest.name] / estimate >= SHORT_STEP:
        return estimate
    return min(estimate, step_flops[shortest.name] / timer.step_seconds(shortest))


def _at_least_a_minute(seconds: float) -> str:
    """An estimated time. Below a minute, what is not counted (loading, starting, writing) is the larger part."""
    return "a minute or less" if seconds < 60 else show_seconds(seconds)
