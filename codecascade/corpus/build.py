"""Sources in, a corpus folder out.

The steps are functions over documents, each of which says what it dropped::

    find -> choose -> read -> filter -> benchmark texts -> + natural language -> duplicates -> split -> write
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import codecascade
from codecascade.corpus.candidates import Candidate, UnreadableError
from codecascade.corpus.decontaminate import Benchmarks, keep_clean
from codecascade.corpus.dedup import keep_first
from codecascade.corpus.documents import Document, document, size_of
from codecascade.corpus.dropped import Dropped
from codecascade.corpus.filters import keep_good
from codecascade.corpus.manifest import FORMAT, NAME, Count, Manifest, read_manifest
from codecascade.corpus.natural_language import with_natural_language
from codecascade.corpus.sampling import choose, derived_share, total_size
from codecascade.corpus.settings import CorpusSettings
from codecascade.corpus.sources import NAMED, find
from codecascade.corpus.split import Sizes, choose_heldout
from codecascade.corpus.table import is_corpus
from codecascade.corpus.writing import SplitWriter, read_spool, write_spool
from codecascade.errors import UserError
from codecascade.files import FolderLock, atomic_folder, disk_errors, write_json

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with a step (``find``, ``read``, ``write``, ``nothing to do``) and the bytes done and to do."""


def build_corpus(
    sources: Sequence[str],
    out: Path,
    settings: CorpusSettings,
    *,
    benchmark_texts: Mapping[str, str] | Sequence[str] = (),
    progress: Progress | None = None,
) -> Manifest:
    """Make ``out/train/*.parquet``, ``out/heldout/*.parquet`` and ``out/manifest.json`` of the sources.

    The folder appears whole or not at all, and is byte for byte the same for the same input. When it is there
    and was made of the same input, nothing is done.

    Args:
        sources: folders, ``stdlib``, ``installed``, ``.jsonl`` and ``.parquet`` files.
        benchmark_texts: prompts and solutions to keep out, by the name that the manifest will show.
        progress: see :data:`Progress`.

    Raises:
        UserError: a source is missing, nothing in the sources is usable, ``out`` holds something else, or
            another process is building it.
    """
    report = progress or _silent
    if out.exists() and not is_corpus(out) and (out.is_file() or any(out.iterdir())):
        raise UserError("holds something else than a corpus; choose another folder", file=out)
    benchmarks = _named(benchmark_texts)
    request = request_fingerprint(sources, settings, benchmarks)
    dropped = Dropped()
    report("find", 0, 0)
    candidates = [candidate for source in sources for candidate in find(source, dropped)]
    inputs = _inputs_fingerprint(request, candidates)
    if (made := _made_before(out)) is not None and made.inputs == inputs:
        log.info("%s: made of the same input already, nothing to do", out)
        report("nothing to do", made.chosen.bytes, made.chosen.bytes)
        return made
    chosen = choose(candidates, settings, dropped)
    index = Benchmarks(benchmarks, settings.benchmark_overlap)

    work = out.with_name(f".{out.name}.work")
    with FolderLock(work), disk_errors(out):
        spool, sizes = work / "spool.arrow", Sizes()
        documents = read(chosen, dropped, report)
        documents = keep_good(documents, settings, dropped)
        documents = keep_clean(documents, index, dropped)
        documents = with_natural_language(
            documents, docstrings=settings.include_docstrings, share_of_code=derived_share(settings)
        )
        documents = keep_first(documents, dropped)
        write_spool(sizes.measured(documents), spool)
        if not sizes.total:
            shutil.rmtree(work)
            raise UserError(f"nothing here can become a document ({dropped})", file=", ".join(sources))
        split = choose_heldout(sizes, settings.heldout_share)
        with atomic_folder(out) as folder:
            train = SplitWriter(folder / "train", settings.shard_bytes)
            heldout = SplitWriter(folder / "heldout", settings.shard_bytes)
            for item in reported(read_spool(spool), sizes.total, report):
                (heldout if split.holds_out(item) else train).add(item)
            manifest = Manifest(
                codecascade=codecascade.__version__,
                sources=[
                    source if source in NAMED else Path(source).expanduser().resolve().name
                    for source in sources
                ],
                settings=settings,
                request=request,
                inputs=inputs,
                candidates=_count(candidates),
                chosen=_count(chosen),
                splits={"train": train.close(), "heldout": heldout.close()},
                heldout_by=split.by,
                heldout=sorted(split.groups),
                dropped=dropped.by_step(),
                benchmark_matches=dropped.benchmark_matches,
                benchmarks_too_short=index.too_short,
            )
            write_json(folder / NAME, manifest.model_dump(mode="json"))
        shutil.rmtree(work)
    return manifest


def request_fingerprint(
    sources: Sequence[str],
    settings: CorpusSettings,
    benchmark_texts: Mapping[str, str] | Sequence[str] = (),
) -> str:
    """What :func:`build_corpus` is asked for, whatever the sources hold by now.

    A run that goes on compares it with ``Manifest.request``: its corpus must not change because a package was
    installed in between.
    """
    where = [source if source in NAMED else str(Path(source).expanduser().resolve()) for source in sources]
    texts = [part for item in sorted(_named(benchmark_texts).items()) for part in item]
    return _fingerprint([str(FORMAT), settings.model_dump_json(), *where, *texts])


def read(chosen: Sequence[Candidate], dropped: Dropped, report: Progress) -> Iterator[Document]:
    """The candidates' texts as documents; what can't be read is counted."""
    done, total = 0, total_size(chosen)
    for candidate in chosen:
        try:
            text = candidate.read()
        except UnreadableError as error:
            dropped.add("read", str(error))
        else:
            yield document(
                text,
                path=candidate.path,
                repository=candidate.repository,
                language=candidate.language,
                license=candidate.license,
                kind=candidate.kind,
            )
        done += candidate.size
        report("read", done, total)


def reported(documents: Iterable[Document], total: int, report: Progress) -> Iterator[Document]:
    """The same documents, each reported as written."""
    done = 0
    for item in documents:
        yield item
        done += size_of(item)
        report("write", done, total)


def _made_before(out: Path) -> Manifest | None:
    try:
        return read_manifest(out) if is_corpus(out) else None
    except UserError:  # of another version of the format: made anew
        return None


def _silent(step: str, done: int, total: int) -> None:
    pass


def _named(texts: Mapping[str, str] | Sequence[str]) -> Mapping[str, str]:
    return texts if isinstance(texts, Mapping) else {str(number): text for number, text in enumerate(texts)}


def _inputs_fingerprint(request: str, candidates: Iterable[Candidate]) -> str:
    names = (
        f"{item.repository}\0{item.path}\0{item.size}\0{item.stamp}\0{item.license}" for item in candidates
    )
    return _fingerprint([request, *names])


def _fingerprint(parts: Iterable[str]) -> str:
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(
            blake2b(part.encode(errors="surrogatepass")).digest()
        )  # no two lists of parts run together
    return digest.hexdigest()


def _count(candidates: Sequence[Candidate]) -> Count:
    return Count(documents=len(candidates), bytes=total_size(candidates))
