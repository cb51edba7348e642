"""Comparing two evaluations: the right problems, the right test, and a refusal where it would mean nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from evaluations import Page, sample, write_evaluation

from codecascade.cli import main
from codecascade.evaluation.analysis.compare import compare
from codecascade.evaluation.analysis.evaluation_folder import read_evaluation
from codecascade.evaluation.analysis.per_problem import scores_of
from codecascade.evaluation.analysis.significance import MCNEMAR, SIGN_FLIP, mcnemar
from codecascade.evaluation.metrics import Metric, bootstrap_mean, bootstrap_ratio, pass_at_k, rate
from codecascade.ground.errors import UserError
from codecascade.reports.comparison import write_comparison
from codecascade.reports.evaluation.report import write_evaluation_report

FIRST, SECOND = {0, 1, 2, 3}, {2, 3, 4, 5, 6, 7, 8, 9}


def solved(which: set[int], of: int = 20) -> list[dict[str, object]]:
    return [sample(f"HumanEval/{n}", n in which) for n in range(of)]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return (
        write_evaluation(tmp_path / "a", {"humaneval": solved(FIRST)}, model="before"),
        write_evaluation(tmp_path / "b", {"humaneval": solved(SECOND)}, model="after"),
    )


def test_gained_lost_and_the_exact_test(folders: tuple[Path, Path]) -> None:
    found = compare(*folders)
    (humaneval,) = found.benchmarks
    assert [place.name for place in humaneval.gained] == [f"HumanEval/{n}" for n in range(4, 10)]
    assert [place.name for place in humaneval.lost] == ["HumanEval/0", "HumanEval/1"]
    (row,) = humaneval.differences
    assert (row.difference.value, row.difference.n) == (pytest.approx(0.2), 20)
    assert row.difference.low < 0.2 < row.difference.high
    assert (row.p_value, row.test, row.verdict) == (mcnemar(6, 2), MCNEMAR, "")
    assert found.names == ("before", "after")


def test_it_turns_round(folders: tuple[Path, Path]) -> None:
    there, back = compare(*folders).benchmarks[0], compare(*reversed(folders)).benchmarks[0]
    assert there.gained[0].key == back.lost[0].key
    assert there.differences[0].difference.value == -back.differences[0].difference.value
    assert there.differences[0].p_value == back.differences[0].p_value


def test_a_clear_difference_is_called_so(tmp_path: Path) -> None:
    folders = [
        write_evaluation(tmp_path / name, {"humaneval": solved(set(range(passed)))})
        for name, passed in (("a", 2), ("b", 18))
    ]
    found = compare(*folders)
    assert found.benchmarks[0].differences[0].verdict == "better"
    assert compare(*reversed(folders)).benchmarks[0].differences[0].verdict == "worse"
    # The models have the same name.
    assert found.names == ("a", "b")


def test_order_of_the_second_does_not_matter(tmp_path: Path) -> None:
    first = write_evaluation(tmp_path / "a", {"humaneval": solved(FIRST)})
    second = write_evaluation(tmp_path / "b", {"humaneval": solved(FIRST)[::-1]})
    (row,) = compare(first, second).benchmarks[0].differences
    assert (row.difference.value, row.p_value) == (0, 1)


def test_several_samples_are_compared_by_the_estimator(tmp_path: Path) -> None:
    def evaluation(name: str, passes: list[int]) -> Path:
        rows = [sample(f"t{n}", s < c, sample=s) for n, c in enumerate(passes) for s in range(10)]
        figures = {f"pass@{k}": bootstrap_mean([pass_at_k(10, c, k) for c in passes]) for k in (1, 10)}
        return write_evaluation(tmp_path / name, {"mbpp": rows}, metrics={"mbpp": figures})

    rng = np.random.default_rng(0)
    before = [int(c) for c in rng.integers(0, 6, 40)]
    after = [min(10, c + 3) if n % 2 else c for n, c in enumerate(before)]
    compared = compare(evaluation("a", before), evaluation("b", after)).benchmarks[0]
    one, ten = compared.differences
    assert one.test == SIGN_FLIP
    assert one.difference.value == pytest.approx(0.15)
    assert 0 < one.p_value < 0.001
    # Of ten samples it is yes or no.
    assert (ten.metric, ten.test) == ("pass@10", MCNEMAR)
    assert {place.key[0] for place in compared.gained} == {
        f"t{n}" for n, c in enumerate(before) if n % 2 and c == 0
    }


def test_a_metric_finds_its_rows_by_their_fields(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [
        {
            "task_id": f"{language}/{n}",
            "completion": "x",
            "language": language,
            "format": layout,
            "exact_match": bool(rng.random() < share),
        }
        for language, share in (("python", 0.7), ("java", 0.4))
        for layout in ("psm", "spm")
        for n in range(12)
    ]

    def of(**fields: str) -> list[dict[str, object]]:
        return [row for row in rows if all(row[name] == value for name, value in fields.items())]

    figures = {
        "exact_match": rate([row["exact_match"] for row in of(format="psm")]),
        "exact_match_java_spm": rate([row["exact_match"] for row in of(language="java", format="spm")]),
        "exact_match_python": rate([row["exact_match"] for row in of(language="python", format="psm")]),
        "made_up": Metric(0.5, 0.4, 0.6, 9),
        "pass@1": Metric(0.0, 0.0, 1.0, 0),
        # Not what the rows say.
        "exact_match_python_spm": Metric(0.123, 0.1, 0.2, 9),
    }
    folder = write_evaluation(
        tmp_path, {"multilingual_infilling": rows}, metrics={"multilingual_infilling": figures}
    )
    measured = read_evaluation(folder).benchmarks["multilingual_infilling"]
    counts = {}
    for name in figures:
        found = scores_of(measured).get(name)
        counts[name] = None if found is None else len(found.keys)
    assert counts == {
        "exact_match": 24,
        "exact_match_java_spm": 12,
        "exact_match_python": 12,
        "made_up": None,
        "pass@1": None,
        "exact_match_python_spm": None,
    }
    compared = compare(folder, folder).benchmarks[0]
    assert len(compared.left_out) == 3 and "pass@1 (not run)" in compared.left_out
    assert "made_up (not a mean over problems)" in compared.left_out


def test_losses_are_ratios_and_lower_is_better(tmp_path: Path) -> None:
    def evaluation(name: str, scale: float, tokens: int = 100) -> Path:
        rows = [
            {"task_id": f"d{n}", "nats": scale * (50 + n), "tokens": tokens + n, "bytes": 400}
            for n in range(30)
        ]
        nats = [row["nats"] for row in rows]
        figures = {
            "bits_per_byte": bootstrap_ratio(np.array(nats) / np.log(2), [400] * 30),
            "loss": bootstrap_ratio(nats, [row["tokens"] for row in rows]),
        }
        about = {"validation": {"higher_is_better": False}}
        return write_evaluation(
            tmp_path / name, {"validation": rows}, metrics={"validation": figures}, about=about
        )

    before = evaluation("a", 1.0)
    compared = compare(before, evaluation("b", 0.9)).benchmarks[0]
    assert [row.verdict for row in compared.differences] == ["better", "better"]
    assert compared.differences[1].difference.value == pytest.approx(-0.1 * (50 + 14.5) / 114.5)
    other_tokenizer = compare(before, evaluation("c", 0.9, tokens=90)).benchmarks[0]
    assert [row.metric for row in other_tokenizer.differences] == ["bits_per_byte"]
    assert "different tokenizers" in other_tokenizer.left_out[0]


def test_perplexities_are_compared_by_files_in_all_and_by_stretch(tmp_path: Path) -> None:
    def evaluation(name: str, late: float, scored_bytes: int = 900) -> Path:
        rows = []
        for n in range(12):
            # The first file ends within the first stretch.
            tokens = 1500 + n if n else 700
            nats = {
                "1024": min(1024, tokens) * (1.2 + n / 50),
                "2000": max(0, tokens - 1024) * (1.0 + n / 50) * late,
            }
            rows.append({"task_id": f"f{n}", "tokens": tokens, "scored_bytes": scored_bytes, "nats": nats})
        both = [(sum(row["nats"].values()), row["tokens"]) for row in rows]
        ends = [(row["nats"]["2000"], row["tokens"] - 1024) for row in rows[1:]]
        figures = {
            metric: Metric(np.exp(sum(a for a, _ in pairs) / sum(b for _, b in pairs)), 1, 9, len(pairs))
            for metric, pairs in (("perplexity", both), ("perplexity@2000", ends))
        }
        about = {"perplexity": {"higher_is_better": False}}
        return write_evaluation(
            tmp_path / name, {"perplexity": rows}, metrics={"perplexity": figures}, about=about
        )

    before = evaluation("a", 1.0)
    compared = compare(before, evaluation("b", 0.9)).benchmarks[0]
    assert [(row.metric, row.difference.n) for row in compared.differences] == [
        ("perplexity", 12),
        ("perplexity@2000", 11),
    ]
    for row in compared.differences:
        assert row.difference.value == pytest.approx(row.second.value - row.first.value)
        assert row.difference.low < row.difference.value < row.difference.high < 0
        assert (row.test, row.verdict) == (SIGN_FLIP, "better")
    other_tokenizer = compare(before, evaluation("c", 0.9, scored_bytes=800)).benchmarks[0]
    assert not other_tokenizer.differences and "different tokenizers" in other_tokenizer.left_out[0]


def test_other_problems_are_refused(tmp_path: Path) -> None:
    first = write_evaluation(tmp_path / "a", {"humaneval": solved(FIRST)})
    second = write_evaluation(tmp_path / "b", {"humaneval": solved(FIRST, of=15)})
    with pytest.raises(
        UserError, match=r"humaneval: not the same problems: .*20.*15, and 15 are in both .*--limit"
    ):
        compare(first, second)


def test_another_layout_is_another_task(tmp_path: Path) -> None:
    def evaluation(name: str, layout: str) -> Path:
        return write_evaluation(
            tmp_path / name, {"infilling_single_line": [sample("L0", True, format=layout)]}
        )

    with pytest.raises(UserError, match=r"other layouts \(left_to_right; psm\)"):
        compare(evaluation("a", "left_to_right"), evaluation("b", "psm"))


def test_nothing_in_common_is_refused(tmp_path: Path) -> None:
    first = write_evaluation(tmp_path / "a", {"humaneval": solved(FIRST)})
    second = write_evaluation(tmp_path / "b", {"mbpp": solved(FIRST)})
    with pytest.raises(UserError, match=r"nothing to compare: .*humaneval.*mbpp"):
        compare(first, second)
    with pytest.raises(UserError, match="has no mbpp; it has humaneval"):
        compare(first, second, ["mbpp"])


def test_what_only_one_has_is_said(tmp_path: Path) -> None:
    first = write_evaluation(tmp_path / "a", {"humaneval": solved(FIRST), "apps": solved(FIRST)})
    second = write_evaluation(tmp_path / "b", {"humaneval": solved(FIRST), "gsm8k": solved(FIRST)})
    found = compare(first, second)
    assert (found.only_first, found.only_second) == (("apps",), ("gsm8k",))


def test_page_links_lead_to_both_evaluations(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for folder in folders:
        write_evaluation_report(folder)
    output = tmp_path / "elsewhere" / "deep"
    write_comparison(compare(*folders), output)
    page = Page((output / "comparison.html").read_text())
    assert page.open == []
    assert "script" not in page.seen
    assert "../../a/problems/humaneval/001.html#p5" in page.links
    for link in page.links:
        target, _, anchor = link.partition("#")
        there = Page((output / target).read_text()) if target else page
        assert anchor in there.ids, link
    text = (output / "comparison.md").read_text()
    assert "| HUMANEVAL | pass@1 | 20.0 | 40.0 | +20.0 (" in text
    assert re.search(r"Lost 2: HumanEval/0, HumanEval/1", text)


def test_command_prints_a_table_or_json(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["compare", *map(str, folders)]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for words in ("before", "after", "+20.0", "0.29", "6 gained: HumanEval/4", "2 lost: HumanEval/0"):
        assert words in shown, words
    with pytest.raises(SystemExit):
        main([*arguments, "--json"])
    value = json.loads(capsys.readouterr().out)
    metric = value["benchmarks"]["humaneval"]["metrics"]["pass@1"]
    assert metric["difference"]["value"] == pytest.approx(0.2)
    assert metric["test"] == MCNEMAR
    assert value["benchmarks"]["humaneval"]["lost"] == ["HumanEval/0", "HumanEval/1"]


def test_command_refuses_in_one_sentence(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(folders[0]), str(tmp_path / "nowhere")])
    assert ended.value.code == 2
    assert "nowhere: is not an evaluation" in capsys.readouterr().err
