"""``infilling_heldout``: how gaps are asked, where answers end, and the figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from codecascade.evaluation.benchmarks.heldout.asking import heldout_layouts
from codecascade.evaluation.benchmarks.heldout.heldout import tasks
from codecascade.evaluation.benchmarks.heldout.settings import HeldoutSettings
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.cost import evaluation_tokens
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.notation import is_plain
from codecascade.evaluation.task import EvaluatedModel, EvaluationContext, InfillingPrompt, TextPrompt
from codecascade.ground.files.json_lines import write_jsonl

NAME = "infilling_heldout"


def settings(**own: Any) -> EvaluateSettings:
    return EvaluateSettings(infilling_heldout={"problems": 28, **own})


def test_every_layout_sees_the_same_file_and_ends_alike(corpus: Any) -> None:
    context = EvaluationContext(settings(unstopped=False), corpus=corpus)
    made = tasks(context)
    by_layout = {
        layout: [t for t in made if t.fields["format"] == layout] for layout in ("spm", "left_to_right")
    }
    assert len(made) == 56 and [len(some) for some in by_layout.values()] == [28, 28]
    for infilled, continued in zip(*by_layout.values(), strict=True):
        one, two = infilled.prompt, continued.prompt
        assert isinstance(one, InfillingPrompt) and isinstance(two, TextPrompt)
        assert infilled.task_id == continued.task_id and one.prefix == two.prompt
        assert one.editor_stops == two.editor_stops and one.editor_stops is not None
        assert one.editor_stops.suffix == one.suffix
        kind = infilled.fields["kind"]
        wanted = {"line": "single", "rest": "single", "block": "block", "function": "block", "span": "any"}
        assert one.editor_lines == wanted[kind]
        assert infilled.max_new_tokens == (64 if kind in ("line", "rest") else 256)
    unstopped = tasks(EvaluationContext(settings(), corpus=corpus))[0].prompt
    assert isinstance(unstopped, InfillingPrompt) and unstopped.editor_stops is None


def test_the_budget_of_the_context_is_kept(corpus: Any) -> None:
    corpus.texts = ["".join(corpus.texts)]
    small = EvaluatedModel(context_length=128, count_tokens=len)
    for model in (small, dataclasses.replace(small, context_length=None)):
        for task in tasks(EvaluationContext(settings(context_tokens=256), model, corpus=corpus)):
            prompt = task.prompt
            shown = prompt.prefix + prompt.suffix if isinstance(prompt, InfillingPrompt) else prompt.prompt
            context = model.context_length or 256
            assert len(shown) + min(task.max_new_tokens, context // 2) <= context


def test_the_true_middles_score_100_and_others_0(
    corpus: Any, tokenizer: Any, measure: Any, tmp_path: Any
) -> None:
    made = tasks(EvaluationContext(settings(), corpus=corpus))
    write_jsonl(
        tmp_path / "samples.jsonl",
        [
            {"task_id": task.task_id, "completion": text, "format": task.fields["format"]}
            for task in made
            for text in (task.expected, "((\n")
        ],
    )
    result, rows = measure(NAME, None, settings(), corpus=corpus, samples={NAME: tmp_path / "samples.jsonl"})
    assert [row["exact_match"] for row in rows] == [True, False] * 56
    right, wrong = rows[::2], rows[1::2]
    assert {(row["edit_similarity"], row["first_line"], row["parses"]) for row in right} == {
        (1.0, True, True)
    }
    assert not any(row["parses"] for row in wrong) and max(row["edit_similarity"] for row in wrong) < 1
    names = ("exact_match", "exact_match_line", "exact_match_function", "exact_match_span_left_to_right")
    assert [result.metrics[name].value for name in names] == [0.5] * 4
    assert not any("nats" in name or "unstopped" in name for name in result.metrics), (
        "nothing was generated here"
    )


def test_answers_are_judged_with_editor_stops_and_without(
    corpus: Any, tokenizer: Any, oracle: Any, measure: Any, tmp_path: Any
) -> None:
    chosen = settings(kinds=("line", "function"), layouts=(), format="psm")
    made = tasks(EvaluationContext(chosen, EvaluatedModel(infilling_formats=("psm",)), corpus=corpus))
    answers = {(task.prompt.prefix, task.prompt.suffix): task.expected for task in made}

    def ask(more: str) -> tuple[Any, list[Any]]:
        class Known(oracle):  # type: ignore[misc]
            def generate(self, requests: Sequence[Any]) -> Iterator[Any]:
                infilling = self.tokenizer.infilling
                for place, request in enumerate(requests):
                    ids = list(request.ids)
                    one, two = ids.index(infilling.suffix), ids.index(infilling.middle)
                    prefix = self.tokenizer.decode_continuation(ids[1:one]) + request.required.decode()
                    suffix = self.tokenizer.decode_continuation(ids[one + 1 : two])
                    self.answer = lambda prompt, key=(prefix, suffix): answers[key] + more
                    for completion in super().generate([request]):
                        yield dataclasses.replace(completion, request=place)

        return measure(NAME, Known(tokenizer, str), chosen, corpus=corpus, folder=tmp_path / str(len(more)))

    result, rows = ask("")
    figures = {name: result.metrics[name].value for name in ("exact_match", "exact_match_unstopped", "ended")}
    assert figures == {"exact_match": 1.0, "exact_match_unstopped": 1.0, "ended": 1.0}
    result, rows = ask("\n\n\nclass Another:\n    pass\n")
    assert result.metrics["exact_match"].value == 1.0 and result.metrics["exact_match_unstopped"].value == 0.0
    assert all(row["text"].startswith(row["completion"]) for row in rows)


def test_no_more_gaps_are_drawn_than_the_limit_says(corpus: Any) -> None:
    """``--limit`` takes back the benchmark's own number, and a large corpus has a million gaps."""
    limited = EvaluateSettings(limit=5, infilling_heldout={"problems": None})
    assert len({task.task_id for task in tasks(EvaluationContext(limited, corpus=corpus))}) == 5
    fewer = EvaluateSettings(limit=5, infilling_heldout={"problems": 3})
    assert len({task.task_id for task in tasks(EvaluationContext(fewer, corpus=corpus))}) == 3


def test_answers_that_were_cut_tell_nothing_of_who_ended_them(
    corpus: Any, tokenizer: Any, oracle: Any, measure: Any
) -> None:
    model = oracle(tokenizer, lambda prompt: "x")
    result, _ = measure(NAME, model, settings(unstopped=False), corpus=corpus)
    assert "exact_match" in result.metrics
    assert not {"ended", "exact_match_unstopped"} & result.metrics.keys()


def test_the_loss_of_the_true_middles_is_measured_once(
    corpus: Any, tokenizer: Any, scoring: Any, measure: Any
) -> None:
    model = scoring(tokenizer, lambda prompt: "")
    result, rows = measure(NAME, model, settings(), corpus=corpus)
    scored = scoring.scored
    assert len(rows) == 56 < scored <= 3 * 56, "each middle in each way to end it"
    infilled = rows[:28]
    for row, end in zip(
        rows, [tokenizer.infilling.end] * 28 + [tokenizer.end_of_document_id] * 28, strict=True
    ):
        assert row["end_nats"] == pytest.approx(end % 7 / 10)
        assert row["reference_tokens"] > 1 and row["reference_nats"] >= row["end_nats"]
        assert row["answer_nats"] <= row["reference_nats"], "one of the ways"
    assert any(row["answer_nats"] < row["reference_nats"] for row in rows)
    size = sum(row["bytes"] for row in infilled)
    middles, answers = (
        sum(row["reference_nats"] - row["end_nats"] for row in infilled),
        sum(row["answer_nats"] for row in infilled),
    )
    assert result.metrics["middle_nats_per_byte"].value == pytest.approx(middles / size)
    assert result.metrics["answer_nats_per_byte"].value == pytest.approx(answers / size)
    for name in ("middle_nats_per_byte", "answer_nats_per_byte"):
        assert name in BENCHMARKS[NAME].by_one_rule
        assert {f"{name}_line", f"{name}_left_to_right"} <= set(result.metrics)
        assert is_plain(f"{name}_rest_left_to_right") and not is_plain("exact_match_rest")
    assert "end_nats" in result.metrics and "end_nats_left_to_right" not in result.metrics
    measure(NAME, model, settings(), corpus=corpus)
    assert scoring.scored == scored


def test_what_is_scored_with_the_prompts_is_not_read_again(
    corpus: Any, tokenizer: Any, scoring: Any, measure: Any, tmp_path: Any
) -> None:
    def beside(self: Any, requests: Sequence[Any]) -> Iterator[Any]:
        """Scores each second reference as it answers, and stops once on its way."""
        for completion in answer(self, requests):
            scores = None
            if completion.request % 2:
                scores = tuple(
                    tuple(-(token % 7) / 10 for token in each.ids[each.first :])
                    for each in requests[completion.request].references
                )
            yield dataclasses.replace(completion, references=scores or None)
            if stops and stops.pop(0):
                raise KeyboardInterrupt

    alone, _ = measure(NAME, scoring(tokenizer, lambda prompt: ""), settings(), corpus=corpus)
    all_of_them = scoring.scored
    answer, scoring.generate = scoring.generate, beside
    scoring.scored, stops = 0, [False] * 20 + [True]
    model, folder = scoring(tokenizer, lambda prompt: ""), tmp_path / "beside"
    with pytest.raises(KeyboardInterrupt):
        measure(NAME, model, settings(), corpus=corpus, folder=folder)
    assert scoring.scored == 0
    result, rows = measure(NAME, model, settings(), corpus=corpus, folder=folder)
    assert 0 < scoring.scored < 0.7 * all_of_them, "the others came with their answers"
    for name in ("middle_nats_per_byte", "answer_nats_per_byte", "end_nats"):
        assert result.metrics[name] == alone.metrics[name]
    assert all(row["reference_tokens"] > 0 for row in rows)
    assert result.seconds < 60


def test_a_stopped_measurement_of_losses_goes_on(
    corpus: Any, tokenizer: Any, scoring: Any, measure: Any
) -> None:
    whole = scoring.log_probabilities

    def breaks(self: Any, sequences: Sequence[Sequence[int]]) -> Iterator[tuple[int, list[float]]]:
        for number, found in enumerate(whole(self, sequences)):
            if number == 20:
                raise KeyboardInterrupt
            yield found

    scoring.log_probabilities = breaks
    model = scoring(tokenizer, lambda prompt: "")
    with pytest.raises(KeyboardInterrupt):
        measure(NAME, model, settings(), corpus=corpus)
    asked, scoring.log_probabilities = model.asked, whole
    result, _ = measure(NAME, model, settings(), corpus=corpus)
    whole_of_it = scoring.scored - 21
    assert model.asked == asked == 56 and 20 < whole_of_it < 3 * 56 - 5, "what was complete is kept"
    assert result.metrics["middle_nats_per_byte"].n == result.metrics["answer_nats_per_byte"].n == 28


def test_a_model_that_cant_infill_continues(
    corpus: Any, plain_tokenizer: Any, oracle: Any, measure: Any
) -> None:
    result, rows = measure(NAME, oracle(plain_tokenizer, lambda prompt: ""), settings(), corpus=corpus)
    assert {row["format"] for row in rows} == {"left_to_right"} and len(rows) == 28
    assert all(name.endswith("_left_to_right") for name in result.metrics)
    assert "28 gaps in 6 held-out files (8 lines, 8 rests of lines, 4 blocks" in result.notes[0]
    assert "can't be asked to infill" in result.notes[1]


def test_few_lines_and_missing_grammars_are_said(
    corpus: Any, tokenizer: Any, oracle: Any, measure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codecascade.corpus.code.grammars._parser", lambda grammar: None)
    corpus.texts, corpus.language = ["int f(int a) {\n  return a + 1;\n}\n"], "c"
    result, rows = measure(NAME, oracle(tokenizer, lambda prompt: ""), EvaluateSettings(), corpus=corpus)
    said = " ".join(result.notes)
    assert "Of c only lines and spans were asked" in said and "codecascade[languages]" in said
    assert "500 gaps were wanted, and the held-out files have no more than 2" in said
    assert {row["parses"] for row in rows} == {None} and "parses" not in result.metrics


@pytest.mark.parametrize(
    ("known", "chosen", "asked"),
    [
        (("psm", "spm"), {}, ["spm", "left_to_right"]),
        (("psm",), {}, ["psm", "left_to_right"]),
        ((), {}, ["left_to_right"]),
        (("psm", "spm"), {"format": "psm", "layouts": ("spm",)}, ["psm", "spm"]),
        (("psm",), {"format": "spm", "layouts": ()}, ["psm"]),
        (("psm", "spm"), {"format": "left_to_right"}, ["left_to_right"]),
    ],
)
def test_layouts(known: tuple[str, ...], chosen: dict[str, Any], asked: list[str]) -> None:
    assert heldout_layouts(EvaluatedModel(infilling_formats=known), HeldoutSettings(**chosen)) == asked


def test_the_plan_knows_the_size() -> None:
    def tokens(**own: Any) -> tuple[int, int]:
        return evaluation_tokens(EvaluateSettings(benchmarks=(NAME,), infilling_heldout=own))

    assert tokens(problems=100)[0] * 5 == tokens(problems=500)[0] > 500 * 2048
    assert tokens(layouts=()) < tokens() < tokens(layouts=("psm", "left_to_right"))
    assert tokens(kinds=("line",))[1] < tokens(kinds=("function",))[1]
    assert BENCHMARKS[NAME].needs == {"corpus"}, "nothing is run"
