"""What the pages name exists: commands, their options, settings behind ``--set``, and the targets of links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import get_args

import click
import pytest
import typer
from pydantic import BaseModel

from codecascade.cli import app
from codecascade.corpus.settings import CorpusSettings, LanguageFilter
from codecascade.evaluation.benchmarks.table import own_settings
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.instruct.self_instruct.settings import SelfInstructSettings
from codecascade.plan.devices import DEVICES
from codecascade.recipe import recipe_names
from codecascade.recipe.settings import Recipe, Stage

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
# A page's code: fenced or indented blocks line by line, and spans between backticks, which may run over a line's end.
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^ {4}.+$", re.MULTILINE)
_SPAN = re.compile(r"`([^`]+)`")
# Up to a comment, or what a shell does with the output.
_COMMAND = re.compile(r"(?:^|[\s/])codecascade +(?=[a-z-])(.+?)(?=\s#|\s[|>]\s|$)")
_ENDS_OF_OPTIONS = re.compile(r"[\[\]]|\.\.\.")


@dataclass(frozen=True)
class Written:
    """A command as a page writes it."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: codecascade {' '.join(self.words)}"


def commands_of(page: Path) -> Iterator[Written]:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    code = [line for block in _FENCE.findall(text) for line in block.splitlines()]
    rest = _FENCE.sub("", text)
    code += _INDENTED.findall(rest) if page.name != "README.md" else []
    code += [" ".join(span.split()) for span in _SPAN.findall(rest)]
    for line in code:
        found = _COMMAND.search(line)
        if found is None or re.match(r"(?:import|from|turns)\b", found[1]):
            continue
        try:
            words = tuple(shlex.split(_ENDS_OF_OPTIONS.sub(" ", found[1])))
        except ValueError:
            continue
        if words:
            yield Written(page.name, words)


def test_a_command_is_read_as_a_page_writes_it(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "see `codecascade eval\nMODEL -o DIR` and:\n\n    codecascade run r.toml [--until STAGE]   # why\n"
        "```\ntorchrun -m codecascade plan r.toml \\\n  --devices 8\n```\ncodecascade turns a model into another\n",
        encoding="utf-8",
    )
    assert [written.words for written in commands_of(page)] == [
        ("plan", "r.toml", "--devices", "8"),
        ("run", "r.toml", "--until", "STAGE"),
        ("eval", "MODEL", "-o", "DIR"),
    ]


WRITTEN = sorted({str(written): written for page in PAGES for written in commands_of(page)}.items())


def test_the_pages_name_commands() -> None:
    assert len(WRITTEN) > 30, "the search finds no commands any more"


@pytest.mark.parametrize("written", [written for _, written in WRITTEN], ids=[text for text, _ in WRITTEN])
def test_commands_and_options_exist(written: Written) -> None:
    command: click.Command = typer.main.get_command(app)
    words = list(written.words)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        # `complete | infill | chat`: each of them
        names = words[0].split("|")
        assert all(name in command.commands for name in names), f"there is no command {words[0]!r}"
        command = command.commands[names[0]]
        words = words[1:]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    options = [word.split("=")[0] for word in words if re.match(r"--?[A-Za-z]", word)]
    unknown = [option for option in options if option not in {*known, "--help", "-h"}]
    assert not unknown, f"no such option of this command: {unknown}"
    if command.name in ("run", "plan") and words and re.fullmatch(r"[a-z][\w-]*", words[0]):
        assert words[0] in recipe_names(), f"no recipe of this name comes with codecascade: {words[0]}"
    for before, after in pairwise(words):
        if before == "--set" and "=" in after and not after.startswith("KEY"):
            assert names_a_setting(command.name or "", after.partition("=")[0]), f"no such setting: {after}"


def names_a_setting(command: str, key: str) -> bool:
    roots: dict[str, type[BaseModel]] = {
        "eval": EvaluateSettings,
        "build": CorpusSettings,
        "self-instruct": SelfInstructSettings,
    }
    parts = key.split(".")
    if parts[0] == "stage":
        return _leads_somewhere(Stage, parts[2:])
    return _leads_somewhere(roots.get(command, Recipe), parts)


def _leads_somewhere(model: type[BaseModel], parts: list[str]) -> bool:
    if model is EvaluateSettings and parts[0] in own_settings():
        return len(parts) == 1 or _leads_somewhere(own_settings()[parts[0]], parts[1:])
    field = model.model_fields.get(parts[0])
    if field is None:
        return False
    inner = [
        kind
        for kind in (field.annotation, *get_args(field.annotation))
        if isinstance(kind, type) and issubclass(kind, BaseModel)
    ]
    return len(parts) == 1 or any(_leads_somewhere(kind, parts[1:]) for kind in inner)


def test_a_setting_that_is_none_is_noticed() -> None:
    assert names_a_setting("run", "evaluate.seed") and names_a_setting("run", "stage.code.infilling.rate")
    assert names_a_setting("eval", "humaneval.stops") and names_a_setting("run", "evaluate.lcc.long_context")
    assert not names_a_setting("eval", "humaneval.stop") and not names_a_setting("eval", "humaneval_stops")
    assert not names_a_setting("run", "evaluate.sead") and not names_a_setting(
        "eval", "corpus_build.languages"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            path, _, place = target.partition("#")
            linked = page.parent / path if path else page
            assert linked.exists(), f"{page.name} links to {target}, which is not there"
            if place and linked.suffix == ".md":
                assert place in _places(linked), f"{page.name} links to {target}, which has no such heading"


def _places(page: Path) -> set[str]:
    """What comes after ``#`` in a link to a heading of the page, as GitHub has it."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_pages_name_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"\b((?:benchmarks|examples|recipes|tests|docs)/[\w./-]+\.\w+)", text):
        if Path(name).name != "mine.toml":
            assert (ROOT / name).exists(), f"{page.name} names {name}, which is not there"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_rows_of_a_table_have_as_many_cells_as_its_head(page: Path) -> None:
    """A row that went into another table hasn't."""
    lines = _FENCE.sub("", page.read_text(encoding="utf-8")).splitlines()
    # without what is no border: bars in code, and escaped ones
    borders = [
        _SPAN.sub("", line).replace(r"\|", "").count("|") if line.startswith("|") else 0 for line in lines
    ]
    pairs = zip(pairwise(lines), pairwise(borders), strict=True)
    assert not [line for (_, line), (before, count) in pairs if before and count and before != count]


def test_each_benchmark_is_explained() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    for script in (ROOT / "benchmarks").glob("*.py"):
        is_command = "__main__" in script.read_text(encoding="utf-8") and not script.stem.endswith("peers")
        named = f"`python benchmarks/{script.name}" if is_command else f"`{script.name}`"
        assert named in text, f"benchmarks/README.md does not say what {script.name} measures"


# Files of other projects, named as theirs.
_ELSEWHERE = {"eval/testing_util.py"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_modules_that_pages_name_exist(page: Path) -> None:
    files = [
        f"/{path.relative_to(ROOT).as_posix()}"
        for folder in ("codecascade", "benchmarks", "examples", "tests")
        for path in (ROOT / folder).rglob("*.py")
    ]
    for name in set(re.findall(r"`([\w./]+\.py)`", page.read_text(encoding="utf-8"))) - _ELSEWHERE:
        assert any(file.endswith(f"/{name}") for file in files), (
            f"{page.name} names {name}, which is not there"
        )


def test_the_site_leads_to_every_page() -> None:
    named = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f" {page.name}\n" not in named] == []


def test_the_page_on_corpora_has_every_setting() -> None:
    table = (ROOT / "docs" / "corpus.md").read_text(encoding="utf-8")
    keys = {*CorpusSettings.model_fields, *LanguageFilter.model_fields}
    assert {key for key in keys if f"`{key}" not in table} == set()


def test_the_help_of_plan_names_every_device() -> None:
    commands = getattr(typer.main.get_command(app), "commands", {})
    text = commands["plan"].help
    assert {name for name in DEVICES if not re.search(rf"\b{name}[,. ]", text)} == set()
