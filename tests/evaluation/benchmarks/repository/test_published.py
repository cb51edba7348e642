"""CrossCodeEval's and RepoBench's own files: what is asked of them, what counts of an answer, and the figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codecascade.evaluation.benchmarks.repository import crosscodeeval, repobench
from codecascade.evaluation.benchmarks.repository.crosscodeeval import first_statement, without_comments
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.task import EvaluatedModel, EvaluationContext, InfillingPrompt, Task, TextPrompt
from codecascade.ground.errors import UserError
from codecascade.ground.files.json_lines import write_jsonl

PREFIX = "import shop\n\n\ndef total(cart):\n    prices = shop."
SUFFIX = "\n    return sum(prices)\n"
BOTH = EvaluatedModel(infilling_formats=("psm", "spm"))


def crossed(number: int = 0, **changed: Any) -> dict[str, Any]:
    """A row in CrossCodeEval's format."""
    return {
        "prompt": PREFIX,
        "groundtruth": "price_list(cart)  # all of them",
        "right_context": SUFFIX,
        "metadata": {
            "task_id": f"project_cc_python/{number}",
            "repository": "owner-shop-1a2b3c",
            "file": "cart/total.py",
        },
        "crossfile_context": {
            "text": "# Here are some relevant fragments of other files:\n\n# shop.py\n# def price_list",
            "list": [
                {"retrieved_chunk": "def price_list(cart):", "filename": "shop.py", "score": 9.0},
                {"retrieved_chunk": "def nothing():", "filename": "other.py", "score": 1.0},
            ],
        },
        **changed,
    }


def next_line(number: int = 0, **changed: Any) -> dict[str, Any]:
    """A row in the format of RepoBench v1.1."""
    return {
        "repo_name": "owner/shop",
        "file_path": "cart/total.py",
        "context": [
            {"identifier": "other", "path": "other.py", "snippet": "def other():\n    pass\n\n\n\n\n"},
            {"identifier": "price_list", "path": "shop.py", "snippet": "def price_list(cart):\n    ..."},
        ],
        "import_statement": "from shop import price_list",
        "token_num": 900,
        "cropped_code": f"def total_{number}(cart):",
        "all_code": f"def total_{number}(cart):\n    prices = price_list(cart)\n",
        "next_line": "    prices = price_list(cart)",
        "gold_snippet_index": 1,
        "created_at": "2023-12-01 10:00:00+00:00",
        "level": "2k",
        **changed,
    }


def made(family: Any, data: Path, model: EvaluatedModel = BOTH, **own: Any) -> list[Task]:
    key = "crosscodeeval" if family is crosscodeeval else "repobench"
    context = EvaluationContext(EvaluateSettings(**{key: own}), model, data)
    tasks: list[Task] = family.BENCHMARKS[0].tasks(context)
    return tasks


def by_context(tasks: list[Task]) -> Mapping[str, Task]:
    return {str(task.fields["format"]): task for task in tasks}


@pytest.fixture
def crossed_file(tmp_path: Path) -> Path:
    path = tmp_path / "python" / "line_completion_rg1_bm25.jsonl"
    path.parent.mkdir()
    write_jsonl(path, [crossed()])
    # what the harness has beside it, without other files
    write_jsonl(path.parent / "line_completion.jsonl", [crossed(9, crossfile_context=None)])
    return tmp_path


def test_crosscodeeval_is_asked_with_and_without_other_files(crossed_file: Path) -> None:
    found = by_context(made(crosscodeeval, crossed_file, contexts=("published", "files", "none")))
    assert list(found) == [
        f"{layout}_{shown}" for layout in ("psm", "left_to_right") for shown in ("published", "files", "none")
    ]
    published = found["left_to_right_published"].prompt
    assert isinstance(published, TextPrompt)
    assert published.prompt.startswith("# Here are some relevant") and published.prompt.endswith(PREFIX)
    plain = found["left_to_right_none"].prompt
    assert isinstance(plain, TextPrompt) and plain.prompt == PREFIX and plain.repository is None
    infilled = found["psm_none"].prompt
    assert isinstance(infilled, InfillingPrompt) and (infilled.prefix, infilled.suffix) == (PREFIX, SUFFIX)
    files = found["psm_files"].prompt.repository  # type: ignore[union-attr]
    assert files is not None and files.path == "cart/total.py"
    assert [chunk.path for chunk in files.chunks] == ["other.py", "shop.py"], "the most similar one last"
    assert {task.max_new_tokens for task in found.values()} == {50}
    assert {task.expected for task in found.values()} == {"price_list(cart)"}


def test_what_does_not_fit_is_cut_where_it_is_least_wanted(tmp_path: Path) -> None:
    long = {"text": "# one\n" + "# more\n" * 500, "list": [{"retrieved_chunk": "x", "filename": "a.py"}]}
    row = crossed(prompt="y = 1\n" * 2000 + PREFIX, right_context=SUFFIX * 500, crossfile_context=long)
    write_jsonl(tmp_path / "some.jsonl", [row])
    found = by_context(made(crosscodeeval, tmp_path / "some.jsonl", context_tokens=400))
    for task in found.values():
        prompt = task.prompt
        text = prompt.prompt if isinstance(prompt, TextPrompt) else prompt.prefix  # type: ignore[union-attr]
        suffix = prompt.suffix if isinstance(prompt, InfillingPrompt) else ""
        assert text.endswith(PREFIX) and (len(text) + len(suffix)) / 3 <= 400 - 50
        assert SUFFIX.startswith(suffix[:10])
    shown = found["left_to_right_published"].prompt
    assert isinstance(shown, TextPrompt) and shown.prompt.startswith("# one\n")


@pytest.mark.parametrize(
    ("language", "prefix", "answer", "statement"),
    [
        ("python", "x = ", "f(a)\ny = 2\n", "f(a)"),
        ("python", "x = ", "f(\n    a,\n)\ny = 2\n", "f(\n    a,\n)"),
        ("python", "x = f(\n    ", "a,\n    b)\ny = 2\n", "a,\n    b)"),
        ("python", "x = ", "a + \\\n    b\ny = 2\n", "a + \\\n    b"),
        ("python", "x = ", '"""one\ntwo"""\ny = 2\n', '"""one\ntwo"""'),
        ("python", "x = ", "'('\ny = 2\n", "'('"),
        ("python", "x = 1", "\n\ny = 2\n", "\n\ny = 2"),
        ("python", "x = ", "f(", "f("),
        ("java", "int x = ", "f(a);\nint y;", "f(a);"),
        ("typescript", "if (", "a) {\n  b();", "a) {"),
        ("csharp", "x", ".Y", ".Y"),
    ],
)
def test_the_first_statement_counts(language: str, prefix: str, answer: str, statement: str) -> None:
    assert first_statement(prefix, answer, language) == statement
    assert first_statement(prefix, statement, language) == statement


def test_comments_do_not_count() -> None:
    assert without_comments("f(a)  # why\n", "python") == "f(a)"
    assert without_comments('f("# no comment", a // 2)', "python") == 'f("# no comment", a // 2)'
    assert without_comments('f("http://x"); // why', "java") == 'f("http://x");'
    assert without_comments("f(/* a\nb */ `//`);", "typescript") == "f( `//`);"
    assert without_comments('f("""one # x\ntwo""")  # why', "python") == 'f("""one # x\ntwo""")'
    assert without_comments("f('''it's # 1''')", "python") == "f('''it's # 1''')"
    assert without_comments('s = """\n http://x " \n""";', "java") == 's = """\n http://x " \n""";'


def test_crosscodeeval_is_scored_by_context_and_language(
    tmp_path: Path, tokenizer: Any, oracle: Any, measure: Any
) -> None:
    java = crossed(
        1,
        prompt="class A { int x = ",
        groundtruth="shop.price(a);",
        metadata={"task_id": "project_cc_java/1", "repository": "r", "file": "A.java"},
    )
    for folder, row in (("python", crossed()), ("java", java)):
        (tmp_path / folder).mkdir()
        write_jsonl(tmp_path / folder / "line_completion_rg1_bm25.jsonl", [row])

    def answer(prompt: str) -> str:
        if "int x = " in prompt:
            return "shop.price(a); // right\nint y;"
        return "price_list(cart)\n" if "Here are" in prompt else "price_lists(cart)\n"

    result, rows = measure("crosscodeeval", oracle(tokenizer, answer), data={"crosscodeeval": tmp_path})
    values = {name: metric.value for name, metric in result.metrics.items()}
    assert values["exact_match"] == values["exact_match_left_to_right"] == 1.0
    assert values["exact_match_none"] == 0.5 and values["exact_match_python_none"] == 0.0
    assert values["exact_match_java_none_left_to_right"] == 1.0
    assert values["identifier_match_none"] == 0.5 and 0.5 < values["identifier_f1_none"] < 1
    assert 0.9 < values["edit_similarity_none"] < 1
    assert len(rows) == 8 and "2 lines, with 2,048 tokens" in result.notes[0]


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"metadata": {"task_id": "1"}}, "file"),
        ({"metadata": {"task_id": "1", "file": "a.rb"}}, "metadata.file"),
        ({"groundtruth": None}, "groundtruth"),
        ({"crossfile_context": {"list": ["text"]}}, "crossfile_context.list"),
        ({"crossfile_context": {"list": [{"filename": "a"}]}}, "retrieved_chunk"),
        ({"crossfile_context": 3}, "crossfile_context"),
    ],
)
def test_malformed_rows_are_named(tmp_path: Path, changed: dict[str, Any], key: str) -> None:
    write_jsonl(tmp_path / "a.jsonl", [crossed(), crossed(1, **changed)])
    with pytest.raises(UserError) as caught:
        made(crosscodeeval, tmp_path / "a.jsonl")
    assert caught.value.key == key and str(caught.value.file).endswith("a.jsonl:2")


def test_a_file_without_other_files_is_asked_without_them(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "line_completion.jsonl", [crossed(crossfile_context=None)])
    with pytest.raises(UserError, match=r"no line has what contexts = published shows"):
        made(crosscodeeval, tmp_path / "line_completion.jsonl")
    assert len(made(crosscodeeval, tmp_path / "line_completion.jsonl", contexts=("none",))) == 2


def test_lines_of_one_id_are_refused(tmp_path: Path) -> None:
    """As in a folder with two versions of the data: their answers would count as several to one question."""
    for name in ("line_completion.jsonl", "line_completion_oracle.jsonl"):
        write_jsonl(tmp_path / name, [crossed()])
    with pytest.raises(UserError, match="two lines are called project_cc_python/0: the data is there twice"):
        made(crosscodeeval, tmp_path)


def test_a_server_counts_the_tokens_of_a_line_without_a_prefix(tmp_path: Path) -> None:
    """Then there is no text to ask it about, and other files get no more than their part."""
    server = EvaluatedModel(count_tokens=lambda text: len(text) // 3, counts_remotely=True)
    others = {"text": "# one\n" + "# more of it\n" * 500, "list": []}
    write_jsonl(tmp_path / "a.jsonl", [crossed(prompt="", crossfile_context=others)])
    published = by_context(made(crosscodeeval, tmp_path / "a.jsonl", server))[
        "left_to_right_published"
    ].prompt
    assert isinstance(published, TextPrompt)
    assert 500 < len(published.prompt) < 3000, "a quarter of 2,048 tokens"


@pytest.fixture
def next_lines(tmp_path: Path) -> Path:
    folder = tmp_path / "repobench_python_v1.1" / "data"
    folder.mkdir(parents=True)
    first = [next_line(0), next_line(1, level="64k"), next_line(2, file_path="A.java")]
    alone = [next_line(3, context=[], gold_snippet_index=-1, next_line="    return 1")]
    for name, rows in (("cross_file_first", first), ("in_file", alone)):
        table = pa.Table.from_pylist(rows, schema=pa.Table.from_pylist(first).schema)
        pq.write_table(table, folder / f"{name}-00000-of-00001.parquet")
    return tmp_path


def test_repobench_asks_what_its_authors_do(next_lines: Path) -> None:
    tasks = made(repobench, next_lines, contexts=("published", "files", "gold", "none"))
    assert {task.fields["layout"] for task in tasks} == {"left_to_right"}
    first = {str(task.fields["files"]): task.prompt for task in tasks if task.task_id == "cross_file_first/0"}
    own = "# Path: cart/total.py\nfrom shop import price_list\ndef total_0(cart):\n"
    assert first["published"].prompt == (  # type: ignore[union-attr]
        "# Repo Name: owner/shop\n# Path: other.py\ndef other():\n    pass\n\n# Path: shop.py\n"
        f"def price_list(cart):\n    ...\n\n{own}"
    )
    assert first["gold"].prompt == (  # type: ignore[union-attr]
        f"# Repo Name: owner/shop\n# Path: shop.py\ndef price_list(cart):\n    ...\n\n{own}"
    )
    assert first["none"].prompt == own  # type: ignore[union-attr]
    assert [chunk.path for chunk in first["files"].repository.chunks] == ["shop.py", "other.py"]  # type: ignore[union-attr]
    # other levels and languages are not asked; a line without other files has none to be shown
    assert {task.task_id for task in tasks} == {"cross_file_first/0", "in_file/0"}
    assert [task.fields["files"] for task in tasks if task.task_id == "in_file/0"] == ["none"]
    assert len({task.task_id for task in made(repobench, next_lines, levels=())}) == 3
    with pytest.raises(UserError, match="no lines of python of the levels 32k"):
        made(repobench, next_lines, levels=("32k",))


def test_a_set_of_repobench_in_several_files_is_numbered_on(tmp_path: Path) -> None:
    for number in range(2):
        rows = [next_line(2 * number), next_line(2 * number + 1)]
        write_jsonl(tmp_path / f"in_file-0000{number}-of-00002.jsonl", rows)
    asked = {task.task_id: str(task.prompt) for task in made(repobench, tmp_path, contexts=("none",))}
    assert sorted(asked) == [f"in_file/{number}" for number in range(4)]
    assert all(f"def total_{number}(cart)" in asked[f"in_file/{number}"] for number in range(4))


def test_the_first_line_with_code_counts_in_repobench(
    next_lines: Path, tokenizer: Any, oracle: Any, measure: Any
) -> None:
    def answer(prompt: str) -> str:
        line = "return  1" if "total_3" in prompt else "prices = price_list( cart )"
        line = "prices = price_list(cart)" if "def price_list" in prompt else line
        return f'\n    # a comment\n    """a\n    string"""\n    {line}\n    other = 2\n'

    result, rows = measure(
        "repobench_python", oracle(tokenizer, answer), data={"repobench_python": next_lines}
    )
    values = {name: metric.value for name, metric in result.metrics.items()}
    assert values["exact_match"] == 1.0 and values["exact_match_none"] == 0.5
    assert values["exact_match_in_file_none"] == 1.0 and values["exact_match_cross_file_first_none"] == 0.0
    assert {row["completion"].strip()[:6] for row in rows} == {"prices", "return"}
    assert 0.8 < values["edit_similarity_none"] < 1
