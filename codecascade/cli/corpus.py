"""``corpus build``, ``corpus inspect`` and ``corpus tokenizer``: make training data, and look at it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from codecascade.cli import options
from codecascade.cli.app import app, stderr, stdout
from codecascade.ground.choices import Licences, TokenizerKind
from codecascade.ground.errors import Stopped, UserError, one_line, printable
from codecascade.ground.format import counted

if TYPE_CHECKING:
    from rich.table import Table

    from codecascade.corpus.engines.local import BuildEngine
    from codecascade.corpus.output.inspect import LanguageRow
    from codecascade.tokens.tokenizer import Tokenizer

corpus_app = typer.Typer(help="Make training data from files, and look at it.", no_args_is_help=True)
app.add_typer(corpus_app, name="corpus", rich_help_panel=options.MAKE)

CorpusFolder = Annotated[Path, typer.Argument(help="The corpus's folder.", metavar="DIR", show_default=False)]
EngineName = Literal["local", "ray"]
DEFAULT_TOKENIZER = "smollm2-135m-instruct"


_TAKEN = "What is taken"
_WORK = "Who works"


@corpus_app.command(
    "build",
    epilog=options.examples(
        "corpus build ~/code archives/*.tar.gz stdlib -o corpora/mine",
        "corpus build ~/code -o corpora/mine --set near_threshold=0.8",
    ),
)
def build(
    output: Annotated[Path, options.output("DIR")],
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE...",
            help="Folders, git repositories (FOLDER@REVISION names a commit), archives, .jsonl and .parquet files, "
            "or fsspec addresses of these. The words stdlib and installed stand for Python's library and the "
            "installed packages.",
            show_default="the recipe's",
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            metavar="RECIPE",
            help="Read sources and settings from this recipe, a file or a name.",
            rich_help_panel=_TAKEN,
        ),
    ] = None,
    engine: Annotated[
        EngineName,
        typer.Option(help="Work on this machine (local) or on a Ray cluster (ray).", rich_help_panel=_WORK),
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Work in N processes.",
            show_default="one for each processor",
            rich_help_panel=_WORK,
        ),
    ] = None,
    decontaminate: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Leave out the benchmark texts in this file: JSON lines, Parquet or text (repeatable).",
            rich_help_panel=_TAKEN,
        ),
    ] = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Keep at most N bytes of text.", rich_help_panel=_TAKEN),
    ] = None,
    licences: Annotated[
        Licences | None,
        typer.Option(
            help="Take text under these licences; auto takes permissive ones, and all text in your own folders.",
            rich_help_panel=_TAKEN,
        ),
    ] = None,
    changes: Annotated[list[str] | None, options.changes(_TAKEN)] = None,
) -> None:
    """Build a corpus from sources: gather, filter, remove duplicates and benchmark texts, hold some text out.

    Ctrl-C stops it at any time. The same command continues where it was stopped.
    """
    from codecascade.recipe.corpus_recipe import read_corpus_recipe

    extra = [f"max_bytes={max_bytes}"] if max_bytes is not None else []
    extra += [f'licenses="{licences}"'] if licences is not None else []
    made = read_corpus_recipe(recipe, [*(changes or []), *extra])
    sources = sources or list(made.corpus)
    if not sources:
        raise UserError("name at least one source, or a recipe with some (corpus = [...])")
    from codecascade.cascade.benchmark_texts import benchmark_texts, in_words
    from codecascade.cascade.display import RunDisplay
    from codecascade.corpus.build import build_corpus
    from codecascade.corpus.corpus import Corpus
    from codecascade.evaluation.benchmarks.heldout.small import small_corpus_warning

    benchmarks = benchmark_texts([*(decontaminate or []), *map(Path, made.decontaminate)])
    chosen = _engine(engine, workers)
    try:
        with RunDisplay(stderr()).task("corpus") as progress:
            manifest = build_corpus(
                sources, output, made.corpus_build, benchmarks=benchmarks, engine=chosen, progress=progress
            )
    except KeyboardInterrupt:
        raise Stopped(signal.SIGINT) from None
    for name, split in manifest.splits.items():
        stderr().print(f"{name}: {counted(split.total.documents, 'document')}, {split.total.bytes:,} bytes")
    if manifest.decoded.keys() - {"utf-8"}:
        stderr().print(f"files were read as {manifest.encodings()}", highlight=False)
    if manifest.dropped:
        stderr().print(f"left out: {manifest.left_out()}", highlight=False)
    if said := in_words(benchmarks):
        stderr().print(f"{said} (--decontaminate FILE keeps out what a file holds)", highlight=False)
    if (small := small_corpus_warning(Corpus.open(output))) is not None:
        stderr().print(f"{output} {small}", highlight=False)
    stderr().print(f"{output / 'corpus.html'} shows what is in it and what was left out")


def _engine(name: EngineName, workers: int | None) -> BuildEngine:
    if name == "ray":
        from codecascade.corpus.engines.ray import RayEngine

        return RayEngine(workers=workers)
    from codecascade.corpus.engines.local import LocalEngine

    return LocalEngine(workers or os.cpu_count() or 1)


@corpus_app.command("inspect", epilog=options.examples("corpus inspect corpora/mine --language python"))
def inspect(
    folder: CorpusFolder,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Take the tokenizer of this model: a folder, a GGUF file or a hub name.",
            show_default="SmolLM2's, if it is installed",
        ),
    ] = None,
    samples: Annotated[
        int,
        typer.Option("--documents", "--samples", metavar="N", min=0, help="Show N documents of each kind."),
    ] = 2,
    language: Annotated[str | None, options.language(shown="all")] = None,
) -> None:
    """Show what is in a corpus: languages, documents, bytes, tokens per byte, and a few texts."""
    from rich.text import Text

    from codecascade.corpus.corpus import Corpus
    from codecascade.corpus.output.inspect import inspect_corpus

    corpus = Corpus.open(folder)
    seen = inspect_corpus(corpus, _tokenizer(tokenizer), language=language, samples=samples)
    console = stdout()
    console.print(languages_table(seen.rows))
    for document in seen.samples:
        console.print(
            Text("\n" + one_line(f"{document.repository}/{document.path}"), style="bold"),
            Text(one_line(f"{document.language}, {document.license}")),
        )
        shown = printable("\n".join(document.text.split("\n")[:12]))
        console.print(shown, markup=False, highlight=False)


def languages_table(rows: Iterable[LanguageRow]) -> Table:
    """A line for each language of each kind. A corpus that others made may have any name, so names are plain text."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    for column in ("kind", "language"):
        table.add_column(column)
    for column in ("train", "held out", "bytes", "tokens per byte"):
        table.add_column(column, justify="right")
    for row in rows:
        rate = f"{row.tokens_per_byte:.3f}" if row.tokens_per_byte is not None else "–"
        language = Text(one_line(row.language))
        table.add_row(row.kind, language, f"{row.train:,}", f"{row.heldout:,}", f"{row.bytes:,}", rate)
    return table


@corpus_app.command(
    "tokenizer",
    epilog=options.examples("corpus tokenizer corpora/mine -o tokenizers/mine --vocabulary 32000"),
)
def train(
    folder: CorpusFolder,
    output: Annotated[Path, options.output("DIR")],
    vocabulary: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="The size of the vocabulary, control tokens and bytes included."
        ),
    ] = 32_000,
    characters: Annotated[
        int, typer.Option(metavar="N", min=1, help="Learn from at most N characters of training text.")
    ] = 100_000_000,
    kind: Annotated[
        TokenizerKind,
        typer.Option(
            help="llama keeps digits apart and writes rare characters as bytes; bytes is as SmolLM2's is."
        ),
    ] = "llama",
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
        made = train_tokenizer(texts, vocabulary, kind)
    except UserError as error:
        raise UserError(error.message, key="--vocabulary") from None
    made.save(output)
    stderr().print(f"{output}: {made.vocab_size:,} ids, learned from {sum(map(len, texts)):,} characters")


def _tokenizer(name: str | None) -> Tokenizer | None:
    """The named tokenizer, or the default one if it is installed."""
    from codecascade.model.sources import resolve, tokenizer_of

    if name is None and resolve(DEFAULT_TOKENIZER).path is None:
        stderr().print("no --tokenizer given: tokens are not counted")
        return None
    return tokenizer_of(name or DEFAULT_TOKENIZER)
