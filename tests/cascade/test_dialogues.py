"""The dialogues of a stage in a run: several sources with shares, and what a template can't hold, found at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codecascade.cascade.mixtures import Mixtures
from codecascade.cascade.run import run_cascade
from codecascade.cascade.run_folder import RunFolder
from codecascade.cascade.run_inputs import RunInputs
from codecascade.ground.errors import UserError
from codecascade.instruct.dialogues.settings import DialogueSource
from codecascade.recipe import make_recipe
from codecascade.tokens.chat import with_chat_format
from codecascade.tokens.training import train_tokenizer


class NoCorpus:
    """The tests here read no documents."""


def chat_only(data: dict[str, Any], dialogues: Any, **changes: Any) -> dict[str, Any]:
    chat = {**data["stage"][3], "parent": "base", "dialogues": dialogues, **changes}
    chat["mixture"] = [{"source": "dialogues", "share": 1}]
    return {**data, "stage": [chat]}


def mixtures(tmp_path: Path) -> Mixtures:
    return Mixtures(NoCorpus(), RunFolder(tmp_path / "run"))  # type: ignore[arg-type]


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_several_sources_by_their_shares(data: dict[str, Any], dialogues: Path, tmp_path: Path) -> None:
    more = write(tmp_path / "more.jsonl", *({"prompt": f"p{n}", "completion": "c" * 9} for n in range(50)))
    both = [{"source": str(dialogues), "share": 3}, {"source": str(more), "share": 1}]
    recipe = make_recipe(chat_only(data, both))
    tokenizer = with_chat_format(train_tokenizer(["What is it? It is. p c"], 300, "bytes"))
    stream = mixtures(tmp_path).stream(recipe["chat"], tokenizer)
    tokens: dict[str, int] = {}
    for _ in range(60):
        for name, count in stream.batch(range(recipe["chat"].rows)).counts.items():
            tokens[name] = tokens.get(name, 0) + count
    first, second = tokens[f"tokens/dialogues/{dialogues}"], tokens[f"tokens/dialogues/{more}"]
    # dialogues are not divided, and some wait, so that a short run holds the shares roughly
    assert first / (first + second) == pytest.approx(0.75, abs=0.08)
    one = mixtures(tmp_path).stream(make_recipe(chat_only(data, str(more)))["chat"], tokenizer)
    assert list(one.identity["sources"]) == ["dialogues"], (
        "the draws of one source stay those of earlier versions"
    )


def test_passes_over_few_dialogues_are_counted(data: dict[str, Any], tmp_path: Path) -> None:
    few = write(tmp_path / "few.jsonl", *({"prompt": "p" * 35, "completion": "c" * 35} for _ in range(3)))
    many = write(tmp_path / "many.jsonl", *({"prompt": "p" * 35, "completion": "c" * 35} for _ in range(300)))
    both = [{"source": str(few)}, {"source": str(many)}]
    stage = make_recipe(chat_only(data, both))["chat"]
    passes, name = mixtures(tmp_path).dialogue_passes(stage)
    # Half of the dialogues' tokens are read of three dialogues with two messages of 15 tokens each.
    mixture = {item.source: item.share for item in stage.mixture}
    tokens = (stage.total_steps or 0) * stage.batch_tokens * mixture["dialogues"] / sum(mixture.values())
    assert name == str(few) and passes == pytest.approx(tokens / 2 / (3 * 2 * 15))
    alone = make_recipe(chat_only(data, str(many)))["chat"]
    assert mixtures(tmp_path).dialogue_passes(alone)[0] == pytest.approx(tokens / (300 * 2 * 15))


TURN = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
WITHOUT_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
    "{{ m.content }}{{ eos_token }}{% endfor %}"
)


def test_what_a_template_can_not_hold_is_found_before_training(data: dict[str, Any], tmp_path: Path) -> None:
    system = {"messages": [{"role": "system", "content": "s"}, *TURN]}
    path = write(tmp_path / "a.jsonl", *[{"messages": TURN}] * 50, system)
    tokenizer = train_tokenizer(["x"], 300, "llama").with_chat_template(WITHOUT_SYSTEM)
    recipe = make_recipe(chat_only(data, str(path)))
    with pytest.raises(
        UserError, match=r"a\.jsonl:51: .*no system here; the first message of the dialogue: 's'; .*skip"
    ):
        mixtures(tmp_path).check_formats(recipe["chat"], tokenizer)


def test_what_a_template_can_not_hold_is_skipped_if_wanted(data: dict[str, Any], tmp_path: Path) -> None:
    system = {"messages": [{"role": "system", "content": "s"}, *TURN]}
    tokenizer = train_tokenizer(["x"], 300, "llama").with_chat_template(WITHOUT_SYSTEM)

    def checked(*rows: object) -> Mixtures:
        source = {"source": str(write(tmp_path / "a.jsonl", *rows)), "unusable": "skip"}
        stage, found = make_recipe(chat_only(data, source))["chat"], mixtures(tmp_path)
        found.check_formats(stage, tokenizer)
        ((_, read),) = found.read(stage)
        assert len(read.table) == 3 and all(len(each.messages) == 2 for each in read.table)
        assert list(read.skipped.items()) == [
            ("messages: the tokenizer's chat template refuses them: no system here", 2)
        ]
        return found

    checked(*[{"messages": TURN}] * 3, system, system)
    with pytest.raises(UserError, match=r"a\.jsonl: holds no dialogue that can be used: .*no system here"):
        checked(system)


def test_skipped_lines_are_told(
    data: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[object] = [{"prompt": f"p{n}", "completion": "c"} for n in range(5)]
    path = write(tmp_path / "a.jsonl", *rows, {"prompt": "p", "completion": ""})
    recipe = make_recipe(chat_only(data, {"source": str(path), "unusable": "skip"}))
    ((name, read),) = mixtures(tmp_path).read(recipe["chat"])
    assert (name, len(read.table), read.skipped.total()) == (str(path), 5, 1)
    broken = make_recipe(chat_only(data, str(path)))
    with pytest.raises(UserError, match=r"a\.jsonl:6: completion: must not be empty"):
        mixtures(tmp_path).check(broken, list(broken.stage))


def test_changed_files_of_a_source_are_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "talks"
    (folder / "b").mkdir(parents=True)
    for name in ("a.jsonl", "b/c.jsonl"):
        write(folder / name, {"prompt": "p", "completion": "c"})
    (tmp_path / "run").mkdir()
    source = DialogueSource(source=str(folder))
    RunInputs(RunFolder(tmp_path / "run")).check_dialogues(source)
    RunInputs(RunFolder(tmp_path / "run")).check_dialogues(source)
    write(folder / "b" / "c.jsonl", {"prompt": "p", "completion": "other"})
    with pytest.raises(
        UserError, match=r"the dialogues .*talks have changed since this run began: b/c\.jsonl"
    ):
        RunInputs(RunFolder(tmp_path / "run")).check_dialogues(source)


def test_a_run_in_the_steps_of_code_llama_70b(data: dict[str, Any], dialogues: Path, tmp_path: Path) -> None:
    """The control token gets a row of the model, and the folder is talked to in the format that it was trained in."""
    from codecascade.model.folder import load_folder
    from codecascade.tokens.chat import Message, encode_chat

    changes = {
        "chat_format": "step",
        "chat": {"loss": "last", "system": "Be brief."},
        "document_masks": True,
        "sequence_length": 128,
    }
    recipe = make_recipe(chat_only(data, str(dialogues), **changes))
    recipe = recipe.model_copy(update={"evaluate": recipe.evaluate.model_copy(update={"benchmarks": ()})})
    chat = recipe.stage[0].model_copy(update={"evaluate": recipe.evaluate})
    run_cascade(recipe.model_copy(update={"stage": (chat,)}), tmp_path / "run")
    made = load_folder(tmp_path / "run" / "models" / "chat")
    assert made.tokenizer.chat_format == "step"
    assert made.tokenizer.vocabulary["<step>"] < made.model.config.vocab_size
    assert made.tokenizer.vocabulary["<step>"] in encode_chat(made.tokenizer, [Message("user", "x")])


def test_a_corpus_without_examples_that_pass_has_no_dialogues_to_mine(
    data: dict[str, Any], tmp_path: Path
) -> None:
    """The stage is named, not the empty file that the run has written."""
    stage = make_recipe(chat_only(data, "mined"))["chat"]
    found = mixtures(tmp_path)
    mined = RunFolder(tmp_path / "run").made_dialogues("chat", "mined")
    mined.parent.mkdir(parents=True)
    mined.touch()
    with pytest.raises(UserError, match=r"^stage\.chat\.dialogues: none are left: no example in a docstring"):
        found.read(stage)
