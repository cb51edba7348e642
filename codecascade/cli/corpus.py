"""``corpus build``, ``corpus inspect``, ``corpus tokenizer``: training data is made and looked at."""

from __future__ import annotations

import os
import signal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codecascade.cli.app import app, stderr, stdout
from codecascade.ground.errors import Stopped, UserError, printable

if TYPE_CHECKING:
    from codecascade.corpus.engines.local import Engine
    from codecascade.tokens.tokenizer import Tokenizer

corpus_app = typer.Typer(help="Training data from files.", no_args_is_help=True)
app.add_typer(corpus_app, name="corpus")

CorpusFolder = Annotated[Path, typer.Argument(help="A corpus's folder.", metavar="DIR", show_default=False)]
DEFAULT_TOKENIZER = "smollm2-135m-instruct"


class EngineName(StrEnum):
    """``--engine``."""

    local = "local"
    ray = "ray"


class Licences(StrEnum):
    """``--licences``."""

    auto = "auto"
    all = "all"
    permissive = "permissive"


class TokenizerKind(StrEnum):
    """``--kind``."""

    llama = "llama"
    bytes = "bytes"


@corpus_app.command("build")
def build(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The corpus's folder.")],
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE...",
            help="Folders, git repositories (also FOLDER@REVISION), archives, .jsonl and .parquet files or their "
            "fsspec addresses, installed, stdlib. Default: the recipe's.",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="A TOML file with [corpus_build].")] = None,
    engine: Annotated[
        EngineName, typer.Option(help="Who works: this machine, or a Ray cluster.")
    ] = EngineName.local,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default: one for each processor.")
    ] = None,
    decontaminate: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="Benchmark texts to keep out (JSON lines, Parquet, text; repeatable)."
        ),
    ] = None,
    max_bytes: Annotated[int | None, typer.Option(min=1, help="Most bytes of text to keep.")] = None,
    licences: Annotated[
        Licences | None, typer.Option(help="auto: permissive ones, but of the user's own folders all.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of [corpus_build], as near_threshold=0.8 (repeatable).",
        ),
    ] = None,
) -> None:
    """Gather, filter, deduplicate, decontaminate, hold out: sources into a corpus. Goes on where it was stopped."""
    from codecascade.recipe.corpus import read_corpus_recipe

    extra = [f"max_bytes={max_bytes}"] if max_bytes is not None else []
    extra += [f'licenses="{licences.value}"'] if licences is not None else []
    made = read_corpus_recipe(recipe, [*(changes or []), *extra])
    sources = sources or list(made.corpus)
    if not sources:
        raise UserError("name at least one source, or a recipe with some (corpus = [...])")
    from codecascade.cascade.benchmark_texts import benchmark_texts, in_words
    from codecascade.cascade.display import Display
    from codecascade.corpus.build import build_corpus

    benchmarks = benchmark_texts([*(decontaminate or []), *map(Path, made.decontaminate)])
    chosen = _engine(engine, workers)
    try:
        with Display(stderr()).task("corpus") as progress:
            manifest = build_corpus(
                sources, output, made.corpus_build, benchmarks=benchmarks, engine=chosen, progress=progress
            )
    except KeyboardInterrupt:
        raise Stopped(signal.SIGINT) from None
    for name, split in manifest.splits.items():
        stderr().print(f"{name}: {split.total.documents:,} documents, {split.total.bytes:,} bytes")
    if manifest.decoded.keys() - {"utf-8"}:
        stderr().print(f"files were read as {manifest.encodings()}", highlight=False)
    if manifest.dropped:
        stderr().print(f"left out: {manifest.left_out()}", highlight=False, markup=False)
    if said := in_words(benchmarks):
        stderr().print(f"{said} (--decontaminate FILE keeps out what a file holds)", highlight=False)
    stderr().print(f"{output / 'corpus.html'} shows what is in it and what was left out")


def _engine(name: EngineName, workers: int | None) -> Engine:
    if name is EngineName.ray:
        from codecascade.corpus.engines.ray import RayEngine

        return RayEngine(workers=workers)
    from codecascade.corpus.engines.local import LocalEngine

    return LocalEngine(workers or os.cpu_count() or 1)


@corpus_app.command("inspect")
def inspect(
    folder: CorpusFolder,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="Whose tokens: a folder, a GGUF file or a hub name. Default: SmolLM2's, if it is installed."
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=0, help="Documents to show of each kind.")] = 2,
    language: Annotated[str | None, typer.Option(help="Only this language, or kind.")] = None,
) -> None:
    """What is in a corpus: languages, documents, bytes, tokens per byte, samples."""
    from rich.table import Table
    from rich.text import Text

    from codecascade.corpus.corpus import Corpus
    from codecascade.corpus.output.inspect import inspect_corpus

    corpus = Corpus.open(folder)
    seen = inspect_corpus(corpus, _tokenizer(tokenizer), language=language, samples=samples)
    table = Table(
        "kind",
        "language",
        *(("train", "held out", "bytes")),
        "tokens per byte",
        box=None,
        header_style="bold",
    )
    for column in table.columns[2:]:
        column.justify = "right"
    for row in seen.rows:
        rate = f"{row.tokens_per_byte:.3f}" if row.tokens_per_byte is not None else "–"
        table.add_row(row.kind, row.language, f"{row.train:,}", f"{row.heldout:,}", f"{row.bytes:,}", rate)
    console = stdout()
    console.print(table)
    for document in seen.samples:
        console.print(
            Text(printable(f"\n{document.repository}/{document.path}"), style="bold"),
            Text(printable(f"{document.language}, {document.license}")),
        )
        shown = printable("\n".join(document.text.split("\n")[:12]))
        console.print(shown, markup=False, highlight=False)


@corpus_app.command("tokenizer")
def train(
    folder: CorpusFolder,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="The tokenizer's folder.")],
    vocabulary: Annotated[int, typer.Option(min=1, help="Ids, control tokens and bytes included.")] = 32_000,
    characters: Annotated[
        int, typer.Option(min=1, help="Of training text to learn from, at most.")
    ] = 100_000_000,
    kind: Annotated[
        TokenizerKind, typer.Option(help="llama: digits apart, bytes for what is rare; bytes: as SmolLM2's.")
    ] = TokenizerKind.llama,
) -> None:
    """Train a byte-pair tokenizer on a corpus."""
    from codecascade.corpus.corpus import Corpus, sample_texts
    from codecascade.corpus.documents import KINDS
    from codecascade.tokens.training import train_tokenizer

    if output.is_file():
        raise UserError("is a file; name a folder", file=output)
    texts = sample_texts(Corpus.open(folder), KINDS, characters)
    if not texts:
        raise UserError("has no training documents", file=folder)
    try:
        made = train_tokenizer(texts, vocabulary, kind.value)
    except UserError as error:
        raise UserError(error.message, key="--vocabulary") from None
    made.save(output)
    stderr().print(f"{output}: {made.vocab_size:,} ids, learned from {sum(map(len, texts)):,} characters")


def _tokenizer(name: str | None) -> Tokenizer | None:
    """The named tokenizer, or the default one if it is here."""
    from codecascade.model.sources import resolve, tokenizer_of

    if name is None and resolve(DEFAULT_TOKENIZER).path is None:
        stderr().print("no --tokenizer given: tokens are not counted")
        return None
    return tokenizer_of(name or DEFAULT_TOKENIZER)
