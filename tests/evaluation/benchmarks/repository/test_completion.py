"""Repository completion: what is asked with which parts of other files, and how answers are judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from codecascade.corpus.documents import Document, document
from codecascade.corpus.similar_parts import PartIndex, query_words
from codecascade.evaluation.benchmarks.repository.completion import first_line, judge, notes, scores, tasks
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.running.result import StoredRows, tasks_file
from codecascade.evaluation.scores import metrics_of
from codecascade.evaluation.task import EvaluatedModel, EvaluationContext, InfillingPrompt, Task, TextPrompt
from codecascade.ground.errors import UserError
from codecascade.tokens.tokenizer import Tokenizer

NAME = "repository_completion"
SHOP = {
    "shop/price.py": "def price_of(item: str, rebate: int = 0) -> int:\n    return len(item) - rebate\n",
    "shop/till.py": "from shop.price import price_of\n\n\n"
    "def total(items):\n    return sum(price_of(item) for item in items)\n",
    "shop/stock.py": "class Stock:\n    def take(self, name):\n        return name\n",
    "shop/order.py": "from shop.stock import Stock\n\n\n"
    "def order(name):\n    stock = Stock().take(name)\n    return stock\n",
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for path, text in SHOP.items():
        file = tmp_path / "repo" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "repo"


def made(folder: Path | None, *, formats: tuple[str, ...] = ("psm", "spm"), **own: Any) -> list[Task]:
    settings = EvaluateSettings(**{NAME: own})
    return tasks(EvaluationContext(settings, EvaluatedModel(infilling_formats=formats), data=folder))


def test_each_line_is_asked_in_each_layout_with_each_context(shop: Path) -> None:
    asked = made(shop)
    assert {task.task_id for task in asked} == {
        "repo/shop/till.py:5:16:price_of",
        "repo/shop/order.py:5:13:Stock",
    }
    assert len(asked) == len({(task.task_id, task.fields["format"]) for task in asked}) == 2 * 2 * 4
    by_form = {task.fields["format"]: task for task in asked if "till" in task.task_id}
    infilled, continued = by_form["psm_imported"].prompt, by_form["left_to_right_imported"].prompt
    assert isinstance(infilled, InfillingPrompt) and isinstance(continued, TextPrompt)
    assert infilled.prefix == continued.prompt == SHOP["shop/till.py"].partition("price_of(item)")[0]
    assert infilled.suffix == "\n" and infilled.stop == continued.stop == ("\n",)
    assert by_form["psm_imported"].expected == "price_of(item) for item in items)"
    shown = {form: task.prompt.repository.chunks for form, task in by_form.items()}
    assert shown["psm_none"] == ()
    assert [(chunk.path, chunk.text) for chunk in shown["psm_imported"]] == [
        ("shop/price.py", SHOP["shop/price.py"])
    ]
    assert [chunk.path for chunk in shown["psm_wrong"]] == ["shop/stock.py"]
    assert {chunk.path for chunk in shown["psm_similar"]} == SHOP.keys() - {"shop/till.py"}


def test_what_is_asked_for_does_not_tell_what_is_shown(shop: Path) -> None:
    till = "import shop.price as price\n\ntotal = price.price_of('tea', 1)\n"
    (shop / "shop" / "till.py").write_text(till)
    by_form = {task.fields["format"]: task for task in made(shop) if "till" in task.task_id}
    assert by_form["psm_imported"].expected == "price_of('tea', 1)"
    assert by_form["psm_imported"].prompt.repository.chunks == ()
    (shop / "shop" / "till.py").write_text(till.replace("total", "from shop.price import price_of\ntotal"))
    [asked] = [t for t in made(shop) if "till" in t.task_id and t.fields["format"] == "psm_imported"]
    assert [chunk.path for chunk in asked.prompt.repository.chunks] == ["shop/price.py"]


def test_nothing_of_the_masked_line_tells_what_is_shown(shop: Path) -> None:
    till = "import shop.price as price\nimport shop.stock as stock\n\n"
    line = "total = price.price_of(stock.Stock(), 1)\n"
    for text, shown in ((till + line, []), (f"{till}{line}stock.Stock()\n", [])):
        (shop / "shop" / "till.py").write_text(text)
        made_of = [task for task in made(shop) if task.fields["format"] == "psm_imported"]
        [asked] = [task for task in made_of if "till" in task.task_id and "price_of" in task.task_id]
        assert [chunk.path for chunk in asked.prompt.repository.chunks] == shown
    # What is used before it is shown, as in any editor.
    (shop / "shop" / "till.py").write_text(f"{till}stock.Stock()\n{line}")
    [asked] = [t for t in made(shop) if t.fields["format"] == "psm_imported" and "till.py:5" in t.task_id]
    assert [chunk.path for chunk in asked.prompt.repository.chunks] == ["shop/stock.py"]


def test_a_model_that_cant_infill_is_asked_left_to_right(shop: Path) -> None:
    assert {task.fields["layout"] for task in made(shop, formats=())} == {"left_to_right"}
    assert {task.fields["layout"] for task in made(shop, left_to_right=False)} == {"psm"}


def test_the_files_part_is_the_same_in_every_context_and_fits(shop: Path) -> None:
    long = "".join(f"value_{number} = {number}\n" for number in range(900))
    (shop / "shop" / "till.py").write_text(SHOP["shop/till.py"] + long)
    (shop / "shop" / "order.py").write_text(SHOP["shop/order.py"].replace("\n\n\n", f"\n{long}\n", 1))
    asked = [task for task in made(shop, context_tokens=400) if task.fields["layout"] == "psm"]
    for name in ("till", "order"):
        parts = {(task.prompt.prefix, task.prompt.suffix) for task in asked if name in task.task_id}
        [(prefix, suffix)] = parts
        assert len(prefix) + len(suffix) <= 3 * 400 * 0.5 and (prefix + suffix).count("value_") > 20
        assert prefix.endswith(("sum(", "stock = ")) and not prefix.startswith("alue")


def test_no_more_lines_are_drawn_than_the_limit_says(shop: Path) -> None:
    limited = EvaluateSettings(limit=1, **{NAME: {"problems": None}})
    asked = tasks(EvaluationContext(limited, EvaluatedModel(), data=shop))
    assert len({task.task_id for task in asked}) == 1


def test_settings_choose(shop: Path) -> None:
    one = made(shop, contexts=["none"], problems=1, left_to_right=False)
    assert [task.fields["format"] for task in one] == ["psm_none"]
    assert made(shop, min_characters=30)[0].task_id == "repo/shop/till.py:5:16:price_of"


@pytest.mark.parametrize(
    ("ending", "first", "second"),
    [
        ("py", "def run(x):\n    return 1\n", "import a\nimport b\n\nfound = a.run(b.run(12345))\n"),
        (
            "ts",
            "export function run(x) {\n  return 1\n}\n",
            "import * as a from './a'\nimport * as b from './b'\n\nconst found = a.run(b.run(12345))\n",
        ),
    ],
)
def test_names_of_two_files_that_are_spelt_alike_in_one_line_are_two_problems(
    ending: str, first: str, second: str, tmp_path: Path
) -> None:
    for name, text in (("a", first), ("b", first), ("c", second)):
        (tmp_path / f"{name}.{ending}").write_text(text)
    asked = made(tmp_path, contexts=["none"], left_to_right=False)
    assert {task.expected.strip() for task in asked} == {"run(b.run(12345))", "run(12345))"}
    assert len({task.task_id for task in asked}) == 2
    rows = [
        {"task_id": task.task_id, "format": "psm_none", "layout": "psm", "files": "none"} for task in asked
    ]
    said = notes(rows, EvaluationContext(EvaluateSettings()))
    assert any("2 lines of 1 file;" in each for each in said)


@dataclass
class HeldoutFiles:
    """A corpus in which some files of one repository are held out."""

    heldout: tuple[str, ...]

    def documents(self, split: str, source: str) -> Any:
        rows = [
            document(text, path=path, repository="repo", language="python", license="own", kind="code")
            for path, text in SHOP.items()
            if (path in self.heldout) == (split == "heldout")
        ]
        return Table(rows)


class Table(list[Document]):
    fingerprint = "fingerprint"

    def values(self, column: str) -> list[str]:
        return [getattr(row, column) for row in self]


def test_held_out_files_use_what_was_trained_on() -> None:
    corpus: Any = HeldoutFiles(("shop/till.py",))
    context = EvaluationContext(EvaluateSettings(), EvaluatedModel(), corpus=corpus)
    asked = tasks(context)
    assert {task.task_id for task in asked} == {"repo/shop/till.py:5:16:price_of"}
    # No other file is asked, so there is no control.
    assert {task.fields["files"] for task in asked} == {"imported", "none", "similar"}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a.py": "def f():\n    return 1\n"}, r"1 python\) uses a name of another file .*A single file"),
        ({"a.py": "import os\n", "b.py": "os = 1\n"}, r"none of the files \(2 python\) uses a name"),
        ({"a.txt": "text"}, r"there are no files in python"),
    ],
)
def test_a_repository_without_such_lines_is_said(files: dict[str, str], said: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=said):
        made(tmp_path)


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (" price_of(item, 3)", (True, 1.0, True, 1.0)),
        ("price_of( item, 3 )", (False, None, True, 1.0)),
        ("price_of(thing, 3)", (False, None, False, 0.5)),
        ("", (False, 0.0, False, 0.0)),
        ("'price_of item'", (False, None, False, 0.0)),
    ],
)
def test_an_answer_is_judged_by_its_line_and_its_names(answer: str, wanted: tuple[Any, ...]) -> None:
    found = judge("price_of(item, 3) ", "python", first_line(answer + "\nrest"))
    for value, expected in zip(found.values(), wanted, strict=True):
        assert expected is None or value == expected


def test_figures_and_paired_gains() -> None:
    def row(number: int, files: str, right: bool, layout: str = "psm") -> dict[str, Any]:
        verdict = judge("made(1)", "python", "made(1)" if right else "")
        return {
            "task_id": f"r/a.py:{number}:1:made",
            "format": f"{layout}_{files}",
            "layout": layout,
            "files": files,
        } | verdict

    rows = [row(n, "none", n < 2) for n in range(8)] + [row(n, "imported", n < 6) for n in range(8)]
    rows += [row(n, "wrong", n < 2) for n in range(7)]
    rows += [row(n, "imported", n < 1, "left_to_right") for n in range(8)]
    found = metrics_of(scores(rows))
    assert found["exact_match"].value == 0.75 and found["exact_match_none"].value == 0.25
    assert found["exact_match_left_to_right"].value == 0.125
    gain = found["exact_match_gain"]
    assert gain.value == 0.5 and 0 < gain.low < 0.5 < gain.high <= 1 and gain.n == 8
    # Over the problems that have a control.
    assert found["exact_match_gain_wrong"].value == 0.0 and found["exact_match_gain_wrong"].n == 7
    assert "exact_match_gain_left_to_right" not in found
    said = notes(rows, EvaluationContext(EvaluateSettings(**{NAME: {"problems": 50}})))
    assert any("8 lines of 1 file;" in each for each in said)
    assert any("no more such lines than these 8, of 50" in each for each in said)
    assert any("1 of 8 lines have no control" in each for each in said)


def test_similar_parts_come_in_the_order_of_their_words() -> None:
    index = PartIndex(
        {"a.py": "apple = pear\n" * 10 + "plum = 1\n", "b.py": "apple = pear + plum\n", "c.py": "none\n"}
    )
    query = query_words("zebra\n" * 20 + "apple pear plum\n" * 10)
    assert [chunk.path for chunk in index.similar(query, "c.py", 5)] == ["a.py", "a.py", "b.py"]
    assert [chunk.text for chunk in index.similar(query, "b.py", 1)] == ["apple = pear\n" * 10]


def test_a_model_that_reads_the_other_files_gains(
    shop: Path, measure: Callable[..., Any], oracle: type[Any], tokenizer: Tokenizer
) -> None:
    def answer(prompt: str) -> str:
        # It knows a name's line only if its definition is before the prompt.
        if "def price_of" in prompt and "sum(" in prompt:
            return "price_of(item) for item in items)\nnext line"
        return "Stock().take(name)" if "class Stock" in prompt else "unknown()"

    result, rows = measure(NAME, oracle(tokenizer, answer), data={NAME: shop})
    found = {name: metric.value for name, metric in result.metrics.items()}
    assert found["exact_match"] == found["exact_match_left_to_right"] == found["exact_match_gain"] == 1.0
    assert found["exact_match_none"] == found["exact_match_wrong"] == 0.0
    assert BENCHMARKS[NAME].metric in found and len(rows) == 16
    told = {
        row["format"]: row
        for row in StoredRows(tasks_file(shop.parent / "evaluation", NAME))
        if "till" in row["task_id"]
    }
    assert {part["path"] for part in told["psm_imported"]["other_files"]} == {"shop/price.py"}
    assert "other_files" not in told["psm_none"]
    # The samples can be scored again from their file, whatever the layout.
    again, _ = measure(
        NAME,
        data={NAME: shop},
        samples={NAME: shop.parent / "evaluation/samples" / f"{NAME}.jsonl"},
        folder=shop.parent / "again",
    )
    assert again.metrics == result.metrics
