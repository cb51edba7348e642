"""Builds a corpus folder from sources.

Each stage saves its result in a work folder beside the corpus, so that a killed build continues where it stopped::

    find and choose -> parts (read, filter, redact, benchmarks, natural language, ids: see parts.py)
                    -> exact and near duplicates -> split -> shards -> manifest, datasheet, page

The result is the same however often the build was interrupted, and whichever engine did the work.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from codecascade.corpus.corpus import is_corpus
from codecascade.corpus.engines.duplicates import find_duplicates
from codecascade.corpus.engines.local import BuildEngine, LocalEngine
from codecascade.corpus.engines.parts import BuildParts, make_part, write_plan
from codecascade.corpus.fingerprints import inputs_fingerprint, library_versions, request_fingerprint
from codecascade.corpus.manifest import NAME, DocumentCount, Manifest, read_manifest
from codecascade.corpus.output.datasheet import datasheet
from codecascade.corpus.output.dropped import Dropped, by_step, frequent_reasons
from codecascade.corpus.output.heldout import choose_heldout
from codecascade.corpus.output.manifest_counts import (
    benchmark_matches,
    cluster_sizes,
    duplicate_rows,
    split_manifest,
    step_manifests,
)
from codecascade.corpus.output.page import corpus_page
from codecascade.corpus.output.shards import write_shard, write_shard_plan
from codecascade.corpus.settings import CorpusSettings
from codecascade.corpus.sources.archives.archives import TARS, ZIPS
from codecascade.corpus.sources.candidates import FIND, candidate_table
from codecascade.corpus.sources.find import find_candidates, source_names, source_titles
from codecascade.corpus.sources.git.ignored import GitIgnored
from codecascade.corpus.sources.sampling import STEP as CHOOSE
from codecascade.corpus.sources.sampling import check_languages, choose_candidates, total_size
from codecascade.corpus.sources.tables.rows import JSON_LINES, PARQUET
from codecascade.corpus.steps.decontamination import NO_BENCHMARKS, BenchmarkTexts, too_short_texts
from codecascade.corpus.steps.step import StepTally
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import atomic_file, atomic_write, disk_errors, publish_folder, write_json
from codecascade.ground.files.locks import FolderLock

log = logging.getLogger(__name__)

BuildProgress = Callable[[str, int, int], None]
"""Called with a stage (``find``, ``read``, ``deduplicate``, ``write``, ``nothing to do``), bytes done, bytes in
all."""

_REQUEST = "request.txt"


def build_corpus(
    sources: Sequence[str],
    out: Path,
    settings: CorpusSettings,
    *,
    benchmarks: BenchmarkTexts = NO_BENCHMARKS,
    engine: BuildEngine | None = None,
    progress: BuildProgress | None = None,
) -> Manifest:
    """Build the corpus folder ``out`` from the sources: shards, ``manifest.json``, ``dropped.parquet``,
    ``README.md``, ``corpus.html``.

    The folder appears complete or not at all, and is byte for byte the same for the same input. If it already
    exists and was built from the same input, nothing is done. A killed build continues where it stopped.

    Args:
        sources: see :func:`codecascade.corpus.sources.find.find_candidates`.
        benchmarks: texts to keep out, by the name that the manifest shows for each.
        engine: runs the work; None: this process alone.
        progress: see :data:`BuildProgress`.

    Raises:
        UserError: a source is missing, the sources contain nothing usable, ``out`` contains something else, another
            process is building it, or the disk is full.
        RunFailed: a worker process was killed.
    """
    report = progress or _silent
    engine = engine or LocalEngine()
    out = _free(out)
    work = out.with_name(f".{out.name}.work")
    request = request_fingerprint(sources, settings)
    left_out = Dropped()
    names = source_names(sources)
    asked = GitIgnored(read=bool(settings.git_ignored))
    report("find", 0, 0)
    candidates = candidate_table(
        candidate
        for source, name in zip(sources, names, strict=True)
        for candidate in find_candidates(source, left_out, name, asked)
    )
    asked.say_refused()
    check_languages(settings, candidates)
    inputs = inputs_fingerprint(request, benchmarks, candidates)
    if (made := _made_before(out)) is not None and made.inputs == inputs:
        log.info("%s: made of the same input already, nothing to do", out)
        report("nothing to do", made.chosen.bytes, made.chosen.bytes)
        # An earlier build was killed after its last step.
        if work.exists():
            with FolderLock(work):
                shutil.rmtree(work)
        return made
    _make_parent(out)
    with FolderLock(work), disk_errors(out), closing(engine):
        _begin(work, inputs)
        chosen = choose_candidates(candidates, settings, left_out)
        tally = StepTally()
        tally.add(FIND, candidates, candidates["size"])
        tally.add(CHOOSE, chosen, chosen["size"])
        count = write_plan(work, chosen, settings, dict(benchmarks.texts))
        if not count:
            _nothing_left(work, left_out.table(), sources)
        _reported(engine.run(make_part, work, range(count)), "read", total_size(chosen), report)
        parts = BuildParts(work)
        tally.update(parts.tally)
        columns = ("path", "repository", "language", "license", "kind", "id")
        documents = pa.table({name: parts.column(name) for name in columns} | {"bytes": _sizes(parts)})
        if not len(documents):
            _nothing_left(work, pa.concat_tables([left_out.table(), parts.dropped()]), sources)
        report("deduplicate", 0, 0)
        removed, exact = find_duplicates(work, documents, parts, settings, engine, tally)
        kept = np.setdiff1d(np.arange(len(documents)), np.asarray(removed["removed"]))
        staying = documents.take(kept)
        split = choose_heldout(staying, settings.heldout_share, settings.heldout_by)
        heldout = split.is_heldout(staying["repository"], staying["path"])
        sizes = np.asarray(staying["bytes"])
        shards = write_shard_plan(work, parts, kept, heldout, sizes, settings.shard_bytes)
        _reported(engine.run(write_shard, work, range(shards)), "write", int(sizes.sum()), report)

        all_left_out = pa.concat_tables(
            [left_out.table(), parts.dropped(), duplicate_rows(documents, removed, exact)]
        )
        reasons = by_step(all_left_out)
        too_short = too_short_texts(benchmarks.texts)
        manifest = Manifest(
            versions=library_versions(),
            sources=source_titles(sources, names),
            settings=settings,
            request=request,
            inputs=inputs,
            candidates=DocumentCount(documents=len(candidates), bytes=total_size(candidates)),
            chosen=DocumentCount(documents=len(chosen), bytes=total_size(chosen)),
            steps=step_manifests(tally, reasons),
            splits={
                "train": split_manifest(staying.filter(pa.array(~heldout))),
                "heldout": split_manifest(staying.filter(pa.array(heldout))),
            },
            heldout_by=split.by,
            heldout=sorted(split.groups),
            dropped=reasons,
            replaced=dict(sorted(tally.replaced.items())),
            decoded=dict(sorted(tally.decoded.items())),
            cluster_sizes=cluster_sizes(removed),
            benchmark_matches=benchmark_matches(all_left_out),
            benchmarks=list(benchmarks.checked),
            benchmarks_unchecked=list(benchmarks.unchecked),
            benchmark_texts=len(benchmarks.texts) - len(too_short),
            benchmarks_too_short=too_short,
        )
        _finish(work / "out", manifest, all_left_out, staying, parts, removed)
        publish_folder(work / "out", out)
        shutil.rmtree(work)
    return manifest


def _free(out: Path) -> Path:
    """The absolute path of ``out``, if a corpus may be written there. Raises UserError otherwise."""
    whole_way = Path(os.path.abspath(out))
    if Path.cwd().is_relative_to(whole_way):
        raise UserError("is the folder that you are in, which can't be replaced; name another", file=out)
    if not whole_way.exists() or is_corpus(whole_way):
        return whole_way
    if not whole_way.is_dir() or any(whole_way.iterdir()):
        raise UserError("holds something else than a corpus; choose another folder", file=out)
    return whole_way


def _make_parent(out: Path) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"can't be made ({error.strerror}); choose another folder", file=out) from None


# ---- stages -----------------------------------------------------------------------------------------------


def _begin(work: Path, inputs: str) -> None:
    """Prepare the work folder: keep that of an interrupted build of the same input and versions, else empty it."""
    mark = f"{inputs} {library_versions()}"
    file = work / _REQUEST
    if file.is_file() and file.read_text() == mark:
        log.info("an earlier build was interrupted; continuing it")
        # Remove the temporary files that were being written.
        for entry in work.rglob(".*"):
            if entry.is_file() and entry.name != ".lock":
                entry.unlink()
        return
    for entry in work.iterdir():
        if entry.name != ".lock":
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    atomic_write(file, mark)


def _nothing_left(work: Path, all_left_out: pa.Table, sources: Sequence[str]) -> None:
    shutil.rmtree(work)
    message = f"nothing here can become a document ({frequent_reasons(all_left_out)})"
    unknown = all_left_out.filter(pc.equal(all_left_out["reason"], "not a known language"))
    for path in unknown["path"].to_pylist():
        if path.lower().endswith((*PARQUET, *JSON_LINES, *ZIPS, *TARS)):
            message += f"; a table or an archive is a source of its own: name .../{path} as one"
            break
    raise UserError(message, file=", ".join(sources))


def _reported(done: Iterable[int], step: str, total: int, report: BuildProgress) -> None:
    so_far = 0
    for size in done:
        so_far += size
        report(step, so_far, total)


def _sizes(parts: BuildParts) -> pa.Array:
    return pc.cast(pc.binary_length(parts.column("text")), pa.int64())


def _finish(
    folder: Path,
    manifest: Manifest,
    all_left_out: pa.Table,
    staying: pa.Table,
    parts: BuildParts,
    removed: pa.Table,
) -> None:
    """Write all files except the shards. The manifest comes last, because it marks the folder as complete."""
    rows = all_left_out.drop(["beginning"])
    with atomic_file(folder / "dropped.parquet") as temporary:
        pq.write_table(rows, temporary, compression="zstd")
    atomic_write(folder / "README.md", datasheet(manifest))
    atomic_write(folder / "corpus.html", corpus_page(manifest, all_left_out, staying, parts, removed))
    write_json(folder / NAME, manifest.model_dump(mode="json"))


def _made_before(out: Path) -> Manifest | None:
    try:
        return read_manifest(out) if is_corpus(out) else None
    # Written by another version: the corpus is built again.
    except UserError:
        return None


def _silent(step: str, done: int, total: int) -> None:
    pass
