"""``README.md``: what a corpus contains, where it comes from and how it was processed.

After Gebru et al., "Datasheets for Datasets", as far as a program can know the answers.
"""

from __future__ import annotations

from codecascade.corpus.documents import KIND_TITLES, KINDS
from codecascade.corpus.manifest import DocumentCount, Manifest
from codecascade.corpus.steps.table import step_result
from codecascade.ground.format import counted, show_bytes


def datasheet(manifest: Manifest) -> str:
    """The datasheet in Markdown."""
    settings = manifest.settings
    total = manifest.total()
    lines = [
        f"# {manifest.title()}",
        "",
        f"{counted(total.documents, 'document')}, {show_bytes(total.bytes)} of text. Made by codecascade "
        f"{manifest.versions['codecascade']}; all figures are in `manifest.json`, what was left out in "
        "`dropped.parquet`, plots and samples in `corpus.html`.",
        "",
        "## Composition",
        "",
        "| | train | held out |",
        "|---|---|---|",
        *(_kind_row(manifest, kind) for kind in KINDS),
        "",
        "| language | documents | text |",
        "|---|---|---|",
        *_rows(manifest.languages()),
        "",
        "Columns of the shards (Parquet, zstd): `text`, `path`, `repository`, `language`, `license`, `id` (hash of "
        "the text without its white space), `kind`, `revision`.",
        "",
        "## Collection and processing",
        "",
        f"Sources: {', '.join(manifest.sources)}.",
        "",
        "| step | left | text | left out |",
        "|---|---|---|---|",
        *(
            f"| {step.step}: {step_result(step.step)} | {step.left.documents:,} | {show_bytes(step.left.bytes)} | "
            f"{sum(step.dropped.values()):,} |"
            for step in manifest.steps
        ),
        "",
        f"Replaced in the texts: {_replaced(manifest)}.",
        f"Files were read as {manifest.encodings() or 'nothing: the sources are rows of text'}.",
        _benchmarks(manifest),
        _near(manifest),
        f"Held out by {manifest.heldout_by}: {len(manifest.heldout):,} of them.",
        "",
        "## Licences",
        "",
        _licences(settings.licenses),
        "",
        "| licence | documents | text |",
        "|---|---|---|",
        *_rows(manifest.licenses()),
        "",
        "## Limits",
        "",
        "Licences are read from package metadata, licence files and headers by programs, not by lawyers. Names of "
        "people are not looked for. E-mail addresses, keys and IP addresses of unusual form stay. Texts that are "
        "copies in meaning but not in words are not found.",
        "",
    ]
    return "\n".join(lines)


def _kind_row(manifest: Manifest, kind: str) -> str:
    cells = []
    for name in ("train", "heldout"):
        count = sum(manifest.splits[name].kinds.get(kind, {}).values(), DocumentCount())
        cells.append(f"{counted(count.documents, 'document')}, {show_bytes(count.bytes)}")
    return f"| {KIND_TITLES[kind]} | {' | '.join(cells)} |"


def _rows(counts: dict[str, DocumentCount]) -> list[str]:
    return [f"| {name} | {count.documents:,} | {show_bytes(count.bytes)} |" for name, count in counts.items()]


def _replaced(manifest: Manifest) -> str:
    if not manifest.settings.redact:
        return "nothing (switched off)"
    counts = [f"{count:,} by `{name}`" for name, count in manifest.replaced.items()]
    return ", ".join(counts) or "nothing was found"


def _benchmarks(manifest: Manifest) -> str:
    sentence = (
        f"Kept free of {', '.join(manifest.benchmarks)}: {manifest.benchmark_texts:,} texts were looked for "
        f"({len(manifest.benchmarks_too_short):,} others are too short); documents removed for them: "
        f"{len(manifest.benchmark_matches):,}."
        if manifest.benchmarks
        else "Benchmarks were **not** looked for."
    )
    if not manifest.benchmarks_unchecked:
        return sentence
    return (
        f"{sentence} **Not checked**, because their data was not at hand: "
        f"{', '.join(manifest.benchmarks_unchecked)}; "
        "`codecascade corpus build --decontaminate FILE` keeps out what a file holds."
    )


def _near(manifest: Manifest) -> str:
    if not manifest.settings.near_duplicates:
        return "Near-duplicates were not looked for."
    return (
        f"Near-duplicates: a document went only for one that stays with a Jaccard similarity of 5-word shingles "
        f"of at least {manifest.settings.near_threshold:g}."
    )


def _licences(setting: str) -> str:
    return {
        "all": "Documents of any licence were taken.",
        "auto": "Archives and packages: only documents of permissive licences. Folders, repositories and tables of "
        "the user's own: all.",
        "permissive": "Only documents of permissive licences, and of the user's own folders that name none.",
    }[setting]
