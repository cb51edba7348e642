"""The training loop: steps, checkpoints and a log. A stopped or killed run resumes exactly."""

from __future__ import annotations

import logging
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codecascade.ground.errors import Stopped
from codecascade.ground.files.paths import check_file_path, check_folder_path
from codecascade.ground.signals import StopRequest
from codecascade.model.llama import Llama
from codecascade.model.precision import matmul_peak
from codecascade.model.stored.weights import StoredWeights
from codecascade.training.checkpoints import Checkpoints, TrainingProgress
from codecascade.training.learner import BatchStream, Learner, documents_in, rows_of_rank
from codecascade.training.logs import StepReport, TrainingLog
from codecascade.training.parallel.ranks import join_world
from codecascade.training.settings import TrainingSettings
from codecascade.training.stream.prefetch import Prefetcher
from codecascade.training.trackers.tracker import SafeTracker

logger = logging.getLogger(__name__)

REMEMBERED_LOSSES = 64
"""The number of last losses that a spike is compared with."""


@dataclass(frozen=True)
class TrainingResult:
    """What a training run did, over all the processes that it took.

    Attributes:
        flops: floating-point operations of the model's products, without those that checkpointing does again.
        final_loss: median of the losses of the last steps, in nats.
        precision: of the products, with the reason for it.
    """

    steps: int
    tokens: int
    seconds: float
    flops: float
    final_loss: float
    precision: str


def train(
    model: Llama,
    stream: BatchStream,
    settings: TrainingSettings,
    folder: Path,
    *,
    log: Path,
    trackers: Callable[[int], Sequence[SafeTracker]] = lambda last_step: (),
    fingerprint: Mapping[str, Any],
    new_token_ids: Sequence[int] = (),
    weights: StoredWeights | None = None,
    progress: Callable[[StepReport], None] | None = None,
) -> TrainingResult:
    """Train ``model`` in place to the last step, from the newest checkpoint in ``folder`` if there is one.

    Under torchrun every rank calls this with the same arguments. Only the first rank logs and calls ``progress``.
    Afterwards :func:`codecascade.training.parallel.weights_out.write_model` writes the weights to a folder.

    Args:
        model: on the meta device; or all of it in memory, the same on every rank.
        settings: with a length in ``steps`` or ``tokens``.
        folder: for this run's checkpoints.
        log: the JSON lines of the steps.
        trackers: starts what gets the same figures; called on the first rank with the last step that is done.
        fingerprint: whatever must not change between two processes of one run, nested and JSON-able.
        new_token_ids: rows that learn at ``new_token_learning_rate``.
        weights: the first values of a model that is on the meta device.
        progress: called after each step.

    Raises:
        Stopped: SIGTERM or SIGINT came; the state is saved.
        RunFailed: the loss or its gradient is not finite. The checkpoints are from earlier steps.
        UserError: the folder is another run's, the batch can't be shared out over the ranks, or a file is where a
            folder is needed (or the other way round).
    """
    steps = settings.total_steps
    if steps is None:
        raise ValueError("a budget in minutes must be resolved: settings.with_step_seconds(...)")
    world = join_world()
    world.from_first(lambda: _check_paths(folder, log))
    learner = Learner(model, settings, steps, world, new_token_ids, weights)
    logger.info("precision: %s", learner.precision)
    checkpoints = Checkpoints(folder, world, fingerprint)
    done, stream_state = checkpoints.load(learner.model, learner.optimizer.adamw) or (
        TrainingProgress(),
        None,
    )
    if stream_state is not None:
        stream.load_state_dict(stream_state)

    flops_per_token = settings.flops_per_token(model.config)
    peak = matmul_peak(world.device, learner.precision.dtype) * world.size
    writer = TrainingLog(log, trackers(done.step), last_step=done.step) if world.first else None
    batches = Prefetcher(stream, rows_of_rank(world, settings), workers=settings.stream_workers)
    try:
        with StopRequest() as stop:
            while done.step < steps:
                start = time.perf_counter()
                batch = batches.next()
                taken = learner.step(batch, done.step + 1)
                if is_spike(taken.loss, done.losses):
                    logger.warning(
                        "step %d: loss %.3f is a spike; %s",
                        done.step + 1,
                        taken.loss,
                        documents_in(batch, world),
                    )
                gathered = world.gather((batch.counts, stop.signum))
                seconds = time.perf_counter() - start

                done.step += 1
                done.tokens += settings.batch_tokens
                done.seconds += seconds
                done.losses = [*done.losses, taken.loss][-REMEMBERED_LOSSES:]
                speed = settings.batch_tokens / seconds
                report = StepReport(
                    step=done.step,
                    steps=steps,
                    tokens=done.tokens,
                    loss=taken.loss,
                    lr=taken.lr,
                    seconds=done.seconds,
                    step_seconds=seconds,
                    tokens_per_second=speed,
                    mfu=speed * flops_per_token / peak,
                    grad_norm=taken.grad_norm,
                    counts=dict(sum((Counter(counts) for counts, _ in gathered), Counter())),
                )
                if writer is not None:
                    writer.write(report)
                if progress is not None and world.first:
                    progress(report)

                # a signal may reach some ranks only, but all must end at the same step
                signum = next((signum for _, signum in gathered if signum is not None), None)
                if signum is not None or done.step % settings.checkpoint_every == 0 or done.step == steps:
                    checkpoints.save(done, learner.model, learner.optimizer.adamw, batches.state_dict())
                if signum is not None and done.step < steps:
                    raise Stopped(signum)
    finally:
        batches.close()
        if writer is not None:
            writer.close()
    return TrainingResult(
        steps=steps,
        tokens=done.tokens,
        seconds=done.seconds,
        flops=done.tokens * flops_per_token,
        final_loss=statistics.median(done.losses[-10:]),
        precision=str(learner.precision),
    )


def _check_paths(folder: Path, log: Path) -> None:
    for path in (folder, log.parent):
        check_folder_path(path)
    check_file_path(log)


def is_spike(loss: float, before: Sequence[float]) -> bool:
    """Whether ``loss`` is above the median of ``before`` by over 6 robust standard deviations and over 10 %."""
    if len(before) < 16:
        return False
    median = statistics.median(before)
    deviation = 1.4826 * statistics.median(abs(value - median) for value in before)
    return loss > median + max(6 * deviation, 0.1 * median)
