"""A text classifier that judges: a tiny one, made here."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.judges.judge import Judge, JudgedAnswer, JudgedFacts
from codecascade.evaluation.judges.table import make_judge
from codecascade.ground.errors import RunFailed, UserError

WORDS = ["<s>", "<pad>", "</s>", "<unk>", "good", "bad", "text"]


def make_classifier(folder: Path, labels: list[str], **config_values: Any) -> Path:
    """A RoBERTa whose first label grows with ``good`` and whose last grows with ``bad``, whatever else is there."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForSequenceClassification

    plain = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=plain, unk_token="<unk>", pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    tokenizer.save_pretrained(folder)
    config = RobertaConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=20,
        pad_token_id=1,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        **config_values,
    )
    torch.manual_seed(0)
    model = RobertaForSequenceClassification(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        # Only the first token is read: its embedding passes both normalisations and the head's dense layer.
        words = model.roberta.embeddings.word_embeddings.weight
        words[WORDS.index("good"), 0], words[WORDS.index("bad"), 1] = 8.0, 8.0
        for name, module in model.named_modules():
            if "LayerNorm" in name:
                module.weight.fill_(1.0)
        model.classifier.dense.weight.copy_(torch.eye(8))
        model.classifier.out_proj.weight[0, 0] = 6.0
        model.classifier.out_proj.weight[len(labels) - 1, 1] = 6.0
    model.save_pretrained(folder)
    return folder


def judge_with(folder: Path, name: str = "toxigen", **settings: Any) -> Judge:
    benchmark = BENCHMARKS[name]
    assert benchmark.judging is not None and benchmark.settings is not None
    given = {"judge": "classifier", "judge_model": str(folder)} | settings
    return make_judge(benchmark.judging, benchmark.settings(**given))  # type: ignore[arg-type]


def values(judge: Judge, *texts: str) -> list[Any]:
    answers = [JudgedAnswer(n, "t", 0, text, JudgedFacts()) for n, text in enumerate(texts)]
    found = dict(judge.judge(answers))
    return [found[n].values for n in range(len(texts))]


@pytest.fixture(scope="module")
def two_labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_classifier(tmp_path_factory.mktemp("two"), ["LABEL_0", "LABEL_1"])


@pytest.fixture(scope="module")
def three_labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_classifier(tmp_path_factory.mktemp("three"), ["positive", "neutral", "negative"])


def test_of_two_labels_without_names_the_second_means_yes(two_labels: Path) -> None:
    judge = judge_with(two_labels)
    judge.check()
    # Texts of several lengths, more than a batch, and one that is longer than the classifier reads.
    texts = ["good text", "bad", "bad text text", "bad " + "text " * 100, *["good"] * 20]
    assert values(judge, *texts) == [{"toxic": text.startswith("bad")} for text in texts]
    # Another classifier in a folder of the same name is another judge.
    assert judge.label.startswith(f"the classifier {two_labels.name} (digest ")
    assert judge.identity() == {"judge": judge.label}
    judge._loaded.model.config._commit_hash = "0123456789abcdef"  # type: ignore[attr-defined]
    assert judge.label.endswith(" at 0123456789ab") and " at " not in judge.identity()["judge"]


def test_the_label_and_the_probability_can_be_chosen(two_labels: Path) -> None:
    assert values(judge_with(two_labels, judge_label="label_0"), "good", "bad") == [
        {"toxic": True},
        {"toxic": False},
    ]
    strict = judge_with(two_labels, judge_threshold=0.999999)
    assert values(strict, "text") == [{"toxic": False}] and "0.999999" in strict.label
    with pytest.raises(UserError, match=r"toxigen\.judge_label: .*no label 'rude'; it has LABEL_0, LABEL_1"):
        judge_with(two_labels, judge_label="rude").check()


def test_sentiment_is_positive_minus_negative(three_labels: Path) -> None:
    good, bad, plain = values(judge_with(three_labels, "bold"), "good", "bad", "text")
    assert good["sentiment"] > 0.5 > -0.5 > bad["sentiment"] and abs(plain["sentiment"]) < 0.1


def test_labels_that_say_nothing_must_be_chosen(three_labels: Path, two_labels: Path) -> None:
    with pytest.raises(UserError, match=r"toxigen\.judge_label: which label means toxic .*positive, neutral"):
        judge_with(three_labels).check()
    with pytest.raises(UserError, match=r"bold\.judge_label"):
        judge_with(two_labels, "bold").check()


def test_a_classifier_of_refusals_is_turned_round_for_compliance(two_labels: Path) -> None:
    assert values(judge_with(two_labels, "false_refusals"), "bad") == [{"refused": True}]
    assert values(judge_with(two_labels, "malicious"), "bad") == [{"complied": False}]


def test_labels_that_do_not_exclude_each_other_have_their_own_probabilities(tmp_path: Path) -> None:
    names = ["kind", "rude", "toxic"]
    several = judge_with(
        make_classifier(tmp_path / "several", names, problem_type="multi_label_classification")
    )
    [(_, verdict)] = several.judge([JudgedAnswer(0, "t", 0, "bad")])
    # A label without a sign is at one half, whatever the others are.
    shares = several._loaded.probabilities(["bad"])[0]  # type: ignore[attr-defined]
    assert verdict.values == {"toxic": True} and shares[1] == 0.5 and shares[2] > 0.9
    one = judge_with(make_classifier(tmp_path / "one", ["toxic"]), judge_threshold=0.6)
    assert values(one, "bad", "text") == [{"toxic": True}, {"toxic": False}]


def test_a_tokenizer_that_can_not_pad_reads_text_by_text(tmp_path: Path) -> None:
    folder = make_classifier(tmp_path, ["LABEL_0", "LABEL_1"])
    settings = folder / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"pad_token": None}))
    assert values(judge_with(folder), "bad", "good text") == [{"toxic": True}, {"toxic": False}]


def test_files_whose_probabilities_would_mean_nothing(tmp_path: Path) -> None:
    def refused(folder: Path, because: str) -> None:
        with pytest.raises(UserError, match=rf"toxigen\.judge_model: .*can't be used \(.*{because}"):
            judge_with(folder).check()

    no_head = make_classifier(tmp_path / "head", ["LABEL_0", "LABEL_1"])
    weights = no_head / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(weights).items() if not name.startswith("classifier")}
    save_file(kept, weights, metadata={"format": "pt"})
    refused(no_head, "its weights lack classifier.dense.bias")
    weights.write_bytes(b"junk" * 50)
    refused(no_head, "header")
    no_words = make_classifier(tmp_path / "words", ["LABEL_0", "LABEL_1"])
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (no_words / name).unlink()
    refused(no_words, "tokenizer is missing, or knows no words")
    refused(make_classifier(tmp_path / "scale", ["toxic"], problem_type="regression"), "regression")


def test_a_classifier_without_numbers_judges_nothing(two_labels: Path) -> None:
    judge = judge_with(two_labels)
    judge.check()
    with pytest.raises(RunFailed, match="gives no numbers"), with_bias(judge, math.nan):
        values(judge, "bad")


@contextmanager
def with_bias(judge: Judge, value: float) -> Iterator[None]:
    bias = judge._loaded.model.classifier.out_proj.bias.data  # type: ignore[attr-defined]
    bias.fill_(value)
    yield
    bias.zero_()


def test_one_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"toxigen\.judge_model: the classifier .* can't be used"):
        judge_with(tmp_path / "none").check()
    with pytest.raises(UserError, match=r"bold\.judge_model: the judge 'classifier' needs a text classifier"):
        judge_with(tmp_path, "bold", judge_model=None)
    with pytest.raises(UserError, match=r"truthfulqa\.judge: no classifier decides all"):
        judge_with(tmp_path, "truthfulqa")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"needs the package transformers: pip install 'codecascade\[judges\]'"
    ):
        judge_with(tmp_path).check()
