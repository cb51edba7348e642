"""The dialogues of a stage: a name, a table, or a list of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trial_recipe import RECIPE

from codecascade.ground.errors import UserError
from codecascade.instruct.dialogues.settings import DialogueSource
from codecascade.recipe import Stage, make_recipe, read_recipe, write_recipe
from codecascade.recipe.shapes import missing_texts


def stage_with(tmp_path: Path, dialogues: str, more: str = "") -> Stage:
    path = tmp_path / "x.toml"
    path.write_text(RECIPE.replace('dialogues = "mined"', f"dialogues = {dialogues}\n{more}"))
    recipe = read_recipe(path)
    write_recipe(recipe, tmp_path / "again.toml")
    assert read_recipe(tmp_path / "again.toml") == recipe
    return recipe["chat"]


def test_one_source_or_several(tmp_path: Path) -> None:
    mined = DialogueSource(source="mined")
    assert stage_with(tmp_path, '"mined"').dialogue_sources == (mined,)
    assert stage_with(tmp_path, '{ source = "mined" }').dialogue_sources == (mined,)
    several = stage_with(
        tmp_path,
        '["mined", "a.jsonl", { source = "hub:a/b", share = 3, format = "sharegpt", unusable = "skip",'
        ' repair = ["join_same_role"], columns = { messages = "talk" }, roles = { bot = "assistant" } }]',
    )
    assert [source.kind for source in several.dialogue_sources] == ["mined", "files", "hub"]
    assert several.makes("mined") and several.mined_dialogues == 2000
    hub = several.dialogue_sources[2]
    assert (hub.share, hub.format, hub.unusable, hub.repair) == (3, "sharegpt", "skip", ("join_same_role",))
    files = stage_with(tmp_path, '"a.jsonl"')
    assert not files.makes("mined") and files.mined_dialogues is None


def test_a_mixtures_own_file_comes_before_the_stages() -> None:
    data: dict[str, Any] = {
        "name": "chat", "kind": "instruct", "parent": "base", "steps": 3,
        "mixture": [{"source": "dialogues", "share": 1, "corpus": "b.jsonl"}],
    }  # fmt: skip
    recipe = make_recipe({"name": "x", "base": "tiny", "corpus": "stdlib", "stage": [data]})
    assert recipe["chat"].dialogue_sources == (DialogueSource(source="b.jsonl"),)


WRONG = {
    '{ source = "a", shar = 1 }': r"dialogues\[0\]\.shar: unknown key; did you mean 'share'",
    '{ source = "a", share = 0 }': r"dialogues\[0\]\.share: must be > 0",
    '{ source = "a", format = "vicuna" }': r"dialogues\[0\]\.format: must be 'messages', 'sharegpt'",
    '{ source = "a", roles = { bot = "robot" } }': r"dialogues\[0\]\.roles\.bot: must be 'system'",
    '{ source = "a", columns = { question = "q" } }': r"dialogues\[0\]\.columns\.question",
    '{ share = 1 }': r"dialogues\[0\]\.source: is missing",
    '["a", "b", "a"]': r"stage\[1\]\.dialogues: names 'a' twice; give it one share",
    "[]": r"dialogues: must be a list that is not empty",
    "5": r"dialogues: must be a list",
    '["a", 5]': r"dialogues\[1\]: must be a table",
    '""': r"dialogues\[0\]\.source: must be a string that is not empty",
    '{ source = "mined", format = "alpaca" }': "format is for files",
}  # fmt: skip


@pytest.mark.parametrize("dialogues", WRONG)
def test_mistakes_are_named(tmp_path: Path, dialogues: str) -> None:
    with pytest.raises(UserError, match=WRONG[dialogues]):
        stage_with(tmp_path, dialogues)


def test_how_dialogues_are_trained_on(tmp_path: Path) -> None:
    chat = stage_with(tmp_path, '"mined"').chat
    assert (chat.loss, chat.too_long, chat.system) == ("all", "cut", None)
    chat = stage_with(
        tmp_path, '"mined"', '[stage.chat]\nloss = "last"\ntoo_long = "drop"\nsystem = "s"'
    ).chat
    assert (chat.loss, chat.too_long, chat.system) == ("last", "drop", "s")
    with pytest.raises(UserError, match=r"stage\[1\]\.chat\.loss: must be 'all' or 'last'"):
        stage_with(tmp_path, '"mined"', '[stage.chat]\nloss = "first"')
    assert stage_with(tmp_path, '"mined"', 'chat_format = "step"').chat_format == "step"


def test_files_that_are_not_there_are_missed(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("x")
    path = tmp_path / "x.toml"
    there = f'["mined", "hub:a/b", "{tmp_path}/a.jsonl", "{tmp_path}/*.jsonl", "{tmp_path}/b*.jsonl"]'
    path.write_text(RECIPE.replace('dialogues = "mined"', f"dialogues = {there}"))
    recipe = read_recipe(path)
    assert missing_texts(recipe, [recipe["chat"]])[-1:] == [f"stage.chat: there is no {tmp_path}/b*.jsonl"]
    assert len([text for text in missing_texts(recipe, [recipe["chat"]]) if "jsonl" in text]) == 1
    # several stages that lack the same file are told so once
    path.write_text(
        path.read_text() + '\n[[stage]]\nlike = "chat"\nname = "more"\nparent = "chat"\nsteps = 1\n'
    )
    missed = [text for text in missing_texts(read_recipe(path)) if "jsonl" in text]
    assert missed == [f"stage.chat, stage.more: there is no {tmp_path}/b*.jsonl"]


@pytest.mark.parametrize(("key", "value"), [("mined_dialogues", "5"), ("chat", "{ loss = 'last' }")])
def test_settings_of_dialogues_are_for_stages_that_have_some(recipe_file: Path, key: str, value: str) -> None:
    with pytest.raises(UserError, match=rf"stage\[0\]\.{key}: is not used"):
        read_recipe(recipe_file, [f"stage.code.{key}={value}"])
    assert read_recipe(recipe_file, [f"stage.chat.{key}={value}"])
    # whoever takes dialogues of their own in place of mined ones need not take out how many were mined
    files = read_recipe(recipe_file, [f"stage.chat.{key}={value}", "stage.chat.dialogues='a.jsonl'"])
    assert not files["chat"].makes("mined")
