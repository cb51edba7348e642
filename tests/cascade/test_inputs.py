"""A run goes on only with what it began with: base, tokenizer, corpus, dialogues, and the models of its stages."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codecascade.cascade.run import run_cascade
from codecascade.corpus.build import build_corpus
from codecascade.corpus.settings import CorpusSettings
from codecascade.ground.errors import UserError
from codecascade.ground.files.json_lines import write_jsonl
from codecascade.model.folder import save_folder
from codecascade.model.presets import PRESETS, build, initialise
from codecascade.recipe import Recipe, make_recipe
from codecascade.tokens.training import train_tokenizer

SMALL = {"batch_tokens": 128, "sequence_length": 64, "learning_rate": 1e-3, "steps": 1, "precision": "fp32"}


def write_base(folder: Path, seed: int) -> None:
    model = build(PRESETS["tiny"])
    initialise(model, seed)
    save_folder(folder, model, model.config, train_tokenizer(["def f(x): return x\n"] * 50, 300))


def build_small_corpus(sources: Path, folder: Path, **settings: Any) -> None:
    build_corpus([str(sources)], folder, CorpusSettings(heldout_share=0.2, **settings))


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory, sources: Path) -> Path:
    """A folder with a base, a corpus, dialogues, and a run of which the first of two stages is done."""
    place: Path = tmp_path_factory.mktemp("half")
    write_base(place / "base", 0)
    build_small_corpus(sources, place / "corpus")
    turn = [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "That."}]
    write_jsonl(place / "dialogues.jsonl", [{"messages": turn}])
    run_cascade(recipe_in(place), place / "run", until="code")
    return place


def recipe_in(place: Path) -> Recipe:
    code = {"name": "code", "kind": "code", "parent": "base", **SMALL}
    code["mixture"] = [{"source": "python", "share": 1.0}]
    chat = {"name": "chat", "kind": "instruct", "parent": "code", **SMALL}
    return make_recipe(
        {
            "name": "small",
            "base": str(place / "base"),
            "corpus": str(place / "corpus"),
            "evaluate": {"benchmarks": []},
            "stage": [
                code,
                chat | {"dialogues": str(place / "dialogues.jsonl"), "train": "lora", "lora_rank": 2},
            ],
        }
    )


@pytest.fixture
def place(half: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That folder, moved as a whole: its recipe and account name the new place."""
    copy = shutil.copytree(half, tmp_path / "copy")
    for name in ("recipe.toml", "inputs.json"):
        file = copy / "run" / name
        file.write_text(file.read_text().replace(str(half), str(copy)))
    return copy


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-40:-8] = bytes(byte ^ 1 for byte in content[-40:-8])
    path.write_bytes(content)


def other_seed(place: Path) -> None:
    write_base(place / "base", 1)


def flipped_base(place: Path) -> None:
    flip(place / "base" / "model.safetensors")


def other_tokenizer(place: Path) -> None:
    train_tokenizer(["class Other:\n    pass\n"] * 50, 300).save(place / "base")


def flipped_stage(place: Path) -> None:
    flip(place / "run" / "models" / "code" / "model.safetensors")


def cut_stage(place: Path) -> None:
    file = place / "run" / "models" / "code" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def other_texts(place: Path) -> None:
    """The shards alone: the manifest says what it said before."""
    (shard,) = (place / "corpus" / "train").glob("*.parquet")
    import pyarrow.parquet as pq

    table = pq.read_table(shard)
    texts = ["x = 1\n" + text for text in table["text"].to_pylist()]
    pq.write_table(table.set_column(table.column_names.index("text"), "text", [texts]), shard)


CHANGES: dict[Callable[[Path], None], str] = {
    other_seed: r"the base .*base has changed since this run began: model.safetensors has another content "
    r"\(.*put the old files back; or start a new run",
    flipped_base: "the base .* has changed .* model.safetensors has another content",
    other_tokenizer: "the base .* has changed .* tokenizer.json has another content",
    flipped_stage: "models/code: has changed since it was trained: model.safetensors .* delete this folder to train",
    cut_stage: "models/code: has changed since it was trained: model.safetensors .* now 1,000",
    other_texts: r"the corpus .* has changed since this run began: train/.*parquet has another content",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_has_changed_is_refused_in_words(place: Path, change: Callable[[Path], None]) -> None:
    change(place)
    with pytest.raises(UserError, match=CHANGES[change]):
        run_cascade(recipe_in(place), place / "run")
    assert not (place / "run" / "models" / "chat").exists()


def test_a_corpus_that_was_built_anew_says_how_it_differs(place: Path, sources: Path) -> None:
    shutil.rmtree(place / "corpus")
    build_small_corpus(sources, place / "corpus", include_docstrings=False, near_duplicates=False)
    with pytest.raises(UserError) as caught:
        run_cascade(recipe_in(place), place / "run")
    told = str(caught.value)
    assert "train had " in told
    assert "include_docstrings true, now false" in told
    assert "near_duplicates true, now false" in told
    assert "put the old one back; or start a new run in another folder with -o" in told


def test_dialogues_are_remembered_from_their_first_use(place: Path) -> None:
    file = place / "dialogues.jsonl"
    run = place / "run"
    known = json.loads((run / "inputs.json").read_text())
    assert "dialogues" not in known, "no stage that has run read them"
    run_cascade(recipe_in(place), run)
    shutil.rmtree(run / "models" / "chat")
    file.write_text(file.read_text() * 2)
    with pytest.raises(UserError, match=r"the dialogues .*dialogues.jsonl have changed since this run began"):
        run_cascade(recipe_in(place), run)


@pytest.mark.parametrize(
    "damage",
    [
        "",
        '{"base": ',
        "[1]",
        '{"base": 3}',
        '{"base": {"BASE": {"config.json": 3}}}',
        '{"corpus": {"CORPUS": {"documents": 3}}}',
        '{"models": {"code": {"config.json": []}}}',
    ],
)
def test_without_its_account_a_run_goes_on_and_says_so(
    place: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    damage = damage.replace("BASE", str(place / "base")).replace("CORPUS", str(place / "corpus"))
    (place / "run" / "inputs.json").write_text(damage)
    with caplog.at_level(logging.WARNING):
        assert run_cascade(recipe_in(place), place / "run", until="code") is False
        shutil.rmtree(place / "run" / "models" / "code")
        assert run_cascade(recipe_in(place), place / "run", until="code")
    assert "is not known; a new file is begun" in caplog.text
    assert set(json.loads((place / "run" / "inputs.json").read_text())) == {"base", "corpus", "models"}


@pytest.mark.parametrize("content", ["", "{}", '{"training": 3}', '{"training": {"steps": 1}}'])
def test_a_damaged_account_of_a_stage_is_a_sentence(place: Path, content: str) -> None:
    (place / "run" / "models" / "code" / "codecascade.json").write_text(content)
    with pytest.raises(UserError, match=r"codecascade.json: is damaged; .* delete this folder"):
        run_cascade(recipe_in(place), place / "run")


def test_until_needs_nothing_of_the_stages_after_it(place: Path) -> None:
    (place / "dialogues.jsonl").unlink()
    shutil.rmtree(place / "run")
    assert run_cascade(recipe_in(place), place / "run", until="code")
    with pytest.raises(UserError, match=r"chat: there is no .*dialogues.jsonl"):
        run_cascade(recipe_in(place), place / "run")
    with pytest.raises(UserError, match=r"--until: there is no stage 'coed'; did you mean 'code'\?"):
        run_cascade(recipe_in(place), place / "run", until="coed")


@pytest.mark.parametrize("name", ["corpus", "models", "logs"])
def test_a_stage_may_have_the_name_of_a_part_of_the_run_folder(place: Path, name: str) -> None:
    """The message of a missing file of a stage called corpus was taken for one of the corpus, which was there."""
    recipe = recipe_in(place)
    code, chat = recipe.stage
    recipe = recipe.model_copy(update={"stage": (code, chat.model_copy(update={"name": name}))})
    dialogues = place / "dialogues.jsonl"
    dialogues.rename(place / "away.jsonl")
    with pytest.raises(UserError, match=rf"stage\.{name}: there is no .*dialogues.jsonl"):
        run_cascade(recipe, place / "other")
    (place / "away.jsonl").rename(dialogues)
    if name == "corpus":
        assert run_cascade(recipe, place / "other")
        assert (place / "other" / "models" / name / "model.safetensors").is_file()
