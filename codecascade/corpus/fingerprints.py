"""Hashes of what a corpus is built from: tell whether a build can be continued, or has been done already."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from importlib.metadata import version

import pyarrow as pa

import codecascade
from codecascade.corpus.manifest import FORMAT
from codecascade.corpus.settings import CorpusSettings
from codecascade.corpus.sources.find import source_address
from codecascade.corpus.steps.decontamination import BenchmarkTexts


def request_fingerprint(sources: Sequence[str], settings: CorpusSettings) -> str:
    """A hash of what :func:`build_corpus` was asked for: source names and settings, not the content of the sources.

    A resumed run compares it with ``Manifest.request``, so that its corpus doesn't change because a package was
    installed, or a benchmark downloaded, in the meantime.
    """
    # A setting that came later is no part of the request where it is not given.
    later = {name for name in ("heldout_by", "git_ignored") if getattr(settings, name) is None}
    asked = settings.model_dump_json(exclude=later)
    return _fingerprint([str(FORMAT), asked, *map(source_address, sources)])


def inputs_fingerprint(request: str, benchmarks: BenchmarkTexts, candidates: pa.Table) -> str:
    """A hash of a request and of what the sources and benchmarks contain now.

    Args:
        request: see :func:`request_fingerprint`.
        candidates: a table of :data:`codecascade.corpus.sources.candidates.SCHEMA`.
    """
    texts = [part for item in sorted(benchmarks.texts.items()) for part in item]
    columns = (
        candidates[name].to_pylist()
        for name in ("repository", "path", "size", "stamp", "license", "revision")
    )
    known = [*benchmarks.checked, "", *benchmarks.unchecked, "", *texts]
    return _fingerprint([request, *known, *("\0".join(map(str, row)) for row in zip(*columns, strict=True))])


def library_versions() -> dict[str, str]:
    """The versions of codecascade, Python and the libraries that influence the content of a corpus."""
    libraries = ("detect-secrets", "identify", "license-expression", "numpy", "pyarrow")
    own = {"codecascade": codecascade.__version__, "python": platform.python_version()}
    return own | {name: version(name) for name in libraries}


def _fingerprint(parts: Iterable[str]) -> str:
    digest = blake2b(digest_size=16)
    for part in parts:
        # Each part is hashed separately, so that no two lists of parts give the same input.
        digest.update(blake2b(part.encode(errors="surrogatepass")).digest())
    return digest.hexdigest()
