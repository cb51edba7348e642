"""The training loop: steps, checkpoints and a log. A stopped or killed run resumes exactly."""

from __future__ import annotations

import logging
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never

from codecascade.ground.allocator import kept_memory
from codecascade.ground.errors import RunFailed, Stopped
from codecascade.ground.files.paths import check_file_path, check_folder_path
from codecascade.ground.signals import StopRequest
from codecascade.model.llama import Llama
from codecascade.model.precision import matmul_peak
from codecascade.model.stored.weights import StoredWeights
from codecascade.training.checkpoints.checkpoints import Checkpoints
from codecascade.training.checkpoints.state import TrainingProgress
from codecascade.training.failures.spikes import REMEMBERED_LOSSES, SpikeFilter, is_spike
from codecascade.training.failures.step_watch import COMPUTING, EXCHANGING, READING, StepWatch
from codecascade.training.failures.store import note_stop
from codecascade.training.learner import BatchStream, Learner, StepResult, document_names, rows_of_rank
from codecascade.training.logs import StepReport, TrainingLog
from codecascade.training.parallel.ranks import World, join_world
from codecascade.training.settings import TrainingSettings
from codecascade.training.stream.prefetch import Prefetcher
from codecascade.training.stream.stream import Batch
from codecascade.training.trackers.tracker import SafeTracker

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """What a training run did, over all the processes that it took.

    Attributes:
        flops: floating-point operations of the model's products, without those that checkpointing does again.
        final_loss: median of the losses of the last steps, in nats.
        precision: of the products, with the reason for it.
        skipped: the steps whose update was left out (``skip_spikes``).
    """

    steps: int
    tokens: int
    seconds: float
    flops: float
    final_loss: float
    precision: str
    skipped: int = 0


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
    stop: StopRequest | None = None,
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
        stop: the caller's, who then stops by itself if a signal comes in the last step; None: one of the training.

    Raises:
        Stopped: SIGTERM, SIGINT or SIGUSR1 came; the state is saved.
        RunFailed: the loss or its gradient is not finite (with ``skip_spikes``: in too many steps in a row). The
            checkpoints are from earlier steps.
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
    spikes = SpikeFilter() if settings.skip_spikes else None

    def leave_out(loss: float, grad_norm: float) -> str | None:
        reason = None if spikes is None else spikes.reason(loss, grad_norm, done.losses)
        # all ranks see the same figures, but should they ever differ, all must do the same
        return next((each for each in world.gather(reason) if each is not None), None)

    checkpoint_is_due = False
    try:
        with (
            kept_memory(),
            StopRequest() if stop is None else nullcontext(stop) as asked,
            StepWatch(world, settings.step_timeout) as watch,
        ):
            # one may have come while the weights were loaded
            stop_if_asked(asked, world)
            while done.step < steps:
                start = time.perf_counter()
                step = done.step + 1
                watch.at(step, READING)
                batch = batches.next()
                watch.at(step, COMPUTING)
                taken = learner.step(batch, step, None if spikes is None else leave_out)
                watch.at(step, EXCHANGING)
                documents = _warn_of_spike(taken, step, done.losses, batch, world)
                # ranks that share rows count them once
                counts = batch.counts if learner.mesh.shape.leads(world.rank) else {}
                gathered = world.gather((counts, asked.signum, checkpoints.status))
                seconds = time.perf_counter() - start
                watch.done(seconds)

                done.step = step
                done.tokens += settings.batch_tokens
                done.seconds += seconds
                if taken.skipped is None:
                    done.losses = [*done.losses, taken.loss][-REMEMBERED_LOSSES:]
                else:
                    done.skipped += 1
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
                    counts=dict(sum((Counter(counts) for counts, _, _ in gathered), Counter())),
                    skipped=taken.skipped,
                    documents=documents,
                )
                if writer is not None:
                    writer.write(report)
                if progress is not None and world.first:
                    progress(report)

                # a signal may reach some ranks only, but all must end at the same step
                signum = next((signum for _, signum, _ in gathered if signum is not None), None)
                writing = {status for _, _, status in gathered}
                if "failed" in writing:
                    checkpoints.wait()
                last = signum is not None or done.step == steps
                checkpoint_is_due |= done.step % settings.checkpoint_every == 0
                # at most one is written at a time: the next may come some steps later than it is due
                if last or (checkpoint_is_due and "writing" not in writing):
                    with watch.saving(step):
                        checkpoints.save(
                            done,
                            learner.model,
                            learner.optimizer.adamw,
                            batches.state_dict(),
                            background=settings.async_checkpoints and not last,
                        )
                    checkpoint_is_due = False
                if signum is not None and done.step < steps:
                    _end_stopped(signum, world)
            if stop is None:
                stop_if_asked(asked, world)
    finally:
        batches.close()
        checkpoints.close()
        if writer is not None:
            writer.close()
    if not done.losses:
        raise RunFailed(f"all {steps:,} steps were left out (skip_spikes), so nothing is learnt")
    return TrainingResult(
        steps=steps,
        tokens=done.tokens,
        seconds=done.seconds,
        flops=done.tokens * flops_per_token,
        final_loss=statistics.median(done.losses[-10:]),
        precision=str(learner.precision),
        skipped=done.skipped,
    )


def stop_if_asked(stop: StopRequest, world: World) -> None:
    """Raise Stopped on all ranks if a signal came on one of them. All ranks must call this."""
    signum = next((signum for signum in world.gather(stop.signum) if signum is not None), None)
    if signum is not None:
        _end_stopped(signum, world)


def _end_stopped(signum: int, world: World) -> Never:
    """Raise Stopped, and see that ranks which torchrun starts again end, too."""
    if world.first:
        note_stop(signum)
    raise Stopped(signum)


def _warn_of_spike(
    taken: StepResult, step: int, losses: Sequence[float], batch: Batch, world: World
) -> tuple[str, ...]:
    """Log a step that is a spike or was left out, with its documents; returns these if it was left out."""
    if taken.skipped is None and not is_spike(taken.loss, losses):
        return ()
    documents = document_names(batch, world)
    what = f"loss {taken.loss:.3f} is a spike" if taken.skipped is None else f"left out, {taken.skipped}"
    logger.warning("step %d: %s; the batch's documents: %s", step, what, ", ".join(documents))
    return () if taken.skipped is None else documents


def _check_paths(folder: Path, log: Path) -> None:
    for path in (folder, log.parent):
        check_folder_path(path)
    check_file_path(log)
