"""Recipes in, recipes out, and every mistake in one sentence."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trial_recipe import RECIPE

from codecascade.evaluation.benchmarks.code.humaneval import HumanEvalSettings
from codecascade.evaluation.benchmarks.long_context.key_retrieval import KeyRetrievalSettings
from codecascade.ground.errors import UserError
from codecascade.plan.plan import make_plan
from codecascade.recipe import make_recipe, read_recipe, write_recipe
from codecascade.recipe.difference import difference
from codecascade.recipe.reading import with_steps
from codecascade.recipe.settings import to_data


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[2].glob("recipes/*.toml")), ids=lambda path: path.stem
)
def test_written_recipe_reads_back_equal(path: Path, tmp_path: Path) -> None:
    recipe = read_recipe(path)
    write_recipe(recipe, tmp_path / "recipe.toml")
    assert read_recipe(tmp_path / "recipe.toml") == recipe


def test_every_value_is_written(recipe_file: Path, tmp_path: Path) -> None:
    write_recipe(read_recipe(recipe_file), tmp_path / "recipe.toml")
    code, chat, long = tomllib.loads((tmp_path / "recipe.toml").read_text())["stage"]
    assert (code["learning_rate"], code["batch_tokens"], code["sequence_length"]) == (3e-4, 4_194_304, 4096)
    assert [item["share"] for item in code["mixture"]] == [0.85, 0.08, 0.07]
    assert code["evaluate"]["humaneval"]["problems"] == "all"
    assert code["warmup_steps"] == 1000
    assert chat["mined_dialogues"] == 2000
    assert long["rope_theta"] == 1e6


def test_checkpointing_is_said_in_one_place(recipe_file: Path) -> None:
    """Older recipes say it as a switch, which is still understood, or in [parallel], which names the key of today."""
    for value, meant in (("true", "full"), ("false", "none"), ("'selective'", "selective")):
        recipe = read_recipe(recipe_file, [f"stage.code.activation_checkpointing={value}"])
        assert recipe["code"].activation_checkpointing == meant
    with pytest.raises(UserError, match="must be 'none', 'selective' or 'full'"):
        read_recipe(recipe_file, ["stage.code.activation_checkpointing=1"])
    for key in ("parallel.checkpointing", "stage.code.parallel.checkpointing"):
        with pytest.raises(UserError, match=r"parallel\.checkpointing: .* activation_checkpointing = 'full'"):
            read_recipe(recipe_file, [f"{key}='full'"])


def test_a_benchmarks_settings_stand_in_its_own_table(recipe_file: Path, tmp_path: Path) -> None:
    """A stage's table changes only what it names of the recipe's; a flat key of earlier versions is told the new."""
    recipe_file.write_text(
        RECIPE
        + "[stage.evaluate.key_retrieval]\nexamples = 2\n[evaluate.key_retrieval]\nlengths = [64]\nexamples = 9\n"
    )
    recipe = read_recipe(recipe_file, ["evaluate.humaneval.problems=40"])
    assert recipe.evaluate.own(KeyRetrievalSettings) == KeyRetrievalSettings(lengths=(64,), examples=9)
    stage = recipe.stage[-1].evaluate
    assert stage.own(KeyRetrievalSettings) == KeyRetrievalSettings(lengths=(64,), examples=2)
    assert stage.own(HumanEvalSettings).problems == 40
    for wrong, words in (
        (
            "evaluate.humaneval_problems=3",
            "evaluate.humaneval_problems: .* table of their own now: humaneval.problems",
        ),
        ("evaluate.infilling_span_max_new_tokens=3", r": infilling\.span_max_new_tokens"),
        (
            "stage.code.evaluate.lcc_long_context=true",
            r"stage\[0\]\.evaluate\.lcc_long_context: .*: lcc\.long_context",
        ),
        (
            "evaluate.humaneval.problem=3",
            r"evaluate\.humaneval\.problem: unknown key; did you mean 'problems'",
        ),
        ("evaluate.humanevil.problems=3", r"evaluate\.humanevil: unknown key; did you mean 'humaneval'"),
        ("evaluate.humaneval.problems=0", r"evaluate\.humaneval\.problems: must be > 0 \(got 0\)"),
        ("evaluate.humaneval=3", r"evaluate\.humaneval: must be a table \(got 3\)"),
    ):
        with pytest.raises(UserError, match=words):
            read_recipe(recipe_file, [wrong])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["code", "python", "long_context"]),
            st.integers(1, 10**12),
            st.floats(1e-9, 1.0),
            st.floats(0.0, 1.0),
            st.integers(0, 5),
        ),
        min_size=1,
        max_size=5,
    ),
    st.text(st.characters(blacklist_categories=["Cs"]), min_size=1).filter(str.strip),
)
@settings(max_examples=40, deadline=None)
def test_round_trip_of_any_tree(
    tmp_path_factory: pytest.TempPathFactory,
    stages: list[tuple[str, int, float, float, int]],
    corpus: str,
) -> None:
    data = {
        "name": "any",
        "base": "tiny",
        "corpus": corpus,
        "stage": [
            {
                "name": f"s{number}",
                "kind": kind,
                "parent": "base" if parent >= number else f"s{parent}",
                "tokens": tokens,
                "learning_rate": rate,
                "infilling": {"rate": share},
            }
            for number, (kind, tokens, rate, share, parent) in enumerate(stages)
        ],
    }
    recipe = make_recipe(data)
    path = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    write_recipe(recipe, path)
    assert read_recipe(path) == recipe
    assert make_recipe(to_data(recipe)) == recipe


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tokens = 500e9", "tokens = -5", "stage[0].tokens: must be > 0 (got -5)"),
        ("tokens = 500e9", "tokens = 0.5", "stage[0].tokens: must be an integer (got 0.5)"),
        ("tokens = 500e9", 'tokens = "many"', "stage[0].tokens: must be an integer (got 'many')"),
        ("tokens = 500e9", "tokns = 5", "stage[0].tokns: unknown key; did you mean 'tokens'?"),
        ("tokens = 500e9", "", "stage[0]: give exactly one of steps, tokens and minutes (got none)"),
        (
            "tokens = 500e9",
            "tokens = 5\nsteps = 5",
            "stage[0]: give exactly one of steps, tokens and minutes (got steps, tokens)",
        ),
        ("tokens = 500e9", "steps = 3\nwarmup_steps = 3", "stage[0]: warmup_steps (3) must be less than"),
        ("minutes = 3", "minutes = inf", "stage[1].minutes: must be a finite number (got inf)"),
        ('name = "trial"', 'nam = "trial"', "nam: unknown key; did you mean 'name'?"),
        ('name = "trial"', 'name = "a/b"', "name: must be of letters, digits, '.', '_' and '-' (got 'a/b')"),
        ('name = "trial"', "name = true", "name: must be a string (got True)"),
        ('base = "tiny"', "", "base: is missing"),
        ('base = "tiny"', 'base = ""', "base: must be a string that is not empty (got '')"),
        ('corpus = "stdlib"', "corpus = []", "corpus: must be a list that is not empty (got [])"),
        (
            'kind = "code"',
            'kind = "cod"',
            "stage[0].kind: must be 'code', 'python', 'long_context' or 'instruct'",
        ),
        (
            'parent = "base"',
            'parent = "long"',
            "no stage before this one is called 'long'; there is base",
        ),
        (
            'name = "chat"',
            'name = "code"',
            "stage[1].name: 'code' is the name of another stage; choose another",
        ),
        ('name = "chat"', 'name = "base"', "stage[1].name: 'base' is the name of the model that comes in"),
        ('dialogues = "mined"', "", "stage[1].dialogues: is missing: a file of JSON lines with `messages`"),
        (
            'dialogues = "mined"',
            'dialogues = "mined"\nrope_theta = 5',
            "stage[1].rope_theta: only a long_context",
        ),
        (
            "steps = 100",
            "steps = 100\nmax_position_embeddings = 5",
            "stage[2].max_position_embeddings: must be at least sequence_length, 16,384 (got 5)",
        ),
        (
            "steps = 100",
            "steps = 100\nsequence_length = 1000",
            "stage[2]: batch_tokens (2,097,152) must be a multiple of sequence_length (1,000)",
        ),
        (
            "steps = 100",
            "steps = 100\nkeep_infilling_tokens = false",
            "stage[2].keep_infilling_tokens: must be true in a stage with infilling (rate 0.9)",
        ),
        (
            "steps = 100",
            "steps = 100\n[stage.infilling]\nrat = 1",
            "stage[2].infilling.rat: unknown key; did you mean 'rate'?",
        ),
        (
            "steps = 100",
            "steps = 100\n[[stage.mixture]]\nsource = 'code'\nshare = 0",
            "stage[2].mixture[0].share: must be > 0.0 (got 0)",
        ),
        (
            "steps = 100",
            "steps = 100\n[[stage.mixture]]\nsource = 'code'\nshare = 1e308",
            "stage[2].mixture[0].share: must be <= 1000000000.0 (got",
        ),
        (
            "steps = 100",
            "steps = 100\n[stage.evaluate]\nbenchmarks = ['mbpq']",
            "stage[2].evaluate.benchmarks: there is no benchmark 'mbpq'; did you mean 'mbpp'?",
        ),
        ("steps = 100", "steps = 100\nmixture = 3", "stage[2].mixture: must be a list (got 3)"),
        ("[[stage]]", "[stage", "is not valid TOML"),
    ],
)
def test_mistakes(recipe_file: Path, old: str, new: str, message: str) -> None:
    recipe_file.write_text(RECIPE.replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        read_recipe(recipe_file)
    assert str(caught.value).startswith(str(recipe_file))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_file_no_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        read_recipe(tmp_path / "absent.toml")
    with pytest.raises(UserError, match="can't be read"):
        read_recipe(tmp_path)
    for content, told in {
        b"\xff\xfe": "is not UTF-8 text",
        b"a = ": "is not valid TOML",
        b"a = " + b"9" * 5000: "is not valid TOML",
        b"a = " + b"[" * 5000: "is not valid TOML",
    }.items():
        (tmp_path / "broken.toml").write_bytes(content)
        with pytest.raises(UserError, match=told):
            read_recipe(tmp_path / "broken.toml")


def test_a_byte_order_mark_is_no_text(recipe_file: Path) -> None:
    plain = read_recipe(recipe_file)
    recipe_file.write_bytes(b"\xef\xbb\xbf" + recipe_file.read_bytes())
    assert read_recipe(recipe_file) == plain


@pytest.mark.parametrize(
    "change",
    [
        *(
            f"{key}={value}"
            for key in ("seed", "stage.code.seed", "evaluate.seed")
            for value in ("1e30", 2**63)
        ),
        "evaluate.seed=-1e30",
        "evaluate.temperature=inf",
        "evaluate.key_retrieval_lengths=[4096, 1e30]",
        "stage.code.steps=1e30",
        "stage.code.infilling.middle_weight=inf",
        "stage.code.infilling.rest_weight=nan",
        "stage.code.minutes=1e300",
        "stage.code.lora_rank=1e12",
        "stage.code.stream_workers=1e12",
        "corpus_build.mean_line=inf",
        "corpus_build.max_bytes=1e30",
        f"name={'x' * 101}",
        f"stage.code.name={'x' * 101}",
        f"seed={'9' * 5000}",
        f"seed={'[' * 5000}",
    ],
)
def test_values_beyond_what_anything_takes(recipe_file: Path, change: str) -> None:
    """They ended in tracebacks of the libraries that they reached, some of them after the training."""
    with pytest.raises(UserError, match=change.partition("=")[0].rpartition(".")[2]) as caught:
        read_recipe(recipe_file, [change])
    assert len(str(caught.value)) < 400


def test_what_a_timed_stage_was_trained_with_may_not_change(recipe_file: Path) -> None:
    """Its warm-up may be shorter than the recipe's, since its steps were not known."""
    recipe = read_recipe(recipe_file, ["stage.chat.warmup_steps=7"])
    for steps, warmup in ((77, 7), (5, 4)):
        timed = with_steps(recipe, "chat", steps)
        assert timed["chat"].warmup_steps == warmup
        assert difference(timed, recipe) is None
        changed = difference(timed, read_recipe(recipe_file, ["stage.chat.warmup_steps=2"]))
        assert changed == f"stage.chat.warmup_steps {warmup}, now 2"
    assert difference(timed, with_steps(recipe, "chat", 30)) == "stage.chat.steps 5, now 30"


def test_another_budget_replaces_one_that_was_timed(recipe_file: Path, tmp_path: Path) -> None:
    write_recipe(with_steps(read_recipe(recipe_file), "chat", 77), tmp_path / "used.toml")
    again = read_recipe(tmp_path / "used.toml", ["stage.chat.minutes=4"])["chat"]
    assert (again.steps, again.timed_minutes, again.minutes) == (None, None, 4)


def test_a_run_may_go_on_only_with_the_same_recipe(recipe_file: Path) -> None:
    recipe = read_recipe(recipe_file)
    assert difference(recipe, recipe) is None
    timed = with_steps(recipe, "chat", 77)
    assert (timed["chat"].steps, timed["chat"].timed_minutes, timed["chat"].minutes) == (77, 3, None)
    assert difference(timed, recipe) is None, "a budget that was timed is the same budget"
    assert difference(recipe, timed) is None
    changed = difference(timed, read_recipe(recipe_file, ["stage.chat.minutes=4"]))
    assert changed == "stage.chat.minutes 3.0, now 4.0"

    changed = difference(recipe, read_recipe(recipe_file, ["seed=5"]))
    assert changed == "seed 0, now 5"
    changed = difference(recipe, read_recipe(recipe_file, ["stage.long.learning_rate=1"]))
    assert changed == "stage.long.learning_rate 2e-05, now 1.0"
    for free in (
        "stage.code.micro_batch_rows=2",
        "stage.code.checkpoint_every=9",
        "evaluate.humaneval.problems=3",
    ):
        assert difference(recipe, read_recipe(recipe_file, [free])) is None

    recipe_file.write_text(RECIPE + '[[stage]]\nname = "more"\nkind = "python"\nparent = "code"\nsteps = 5\n')
    longer = read_recipe(recipe_file)
    assert difference(recipe, longer) is None, "a run may grow"
    assert difference(longer, recipe) == "stage[3]: 'more' is missing in the recipe"


def test_the_minutes_that_were_timed_are_of_steps(recipe_file: Path, tmp_path: Path) -> None:
    """A recipe that a run has written may be changed by hand."""
    write_recipe(with_steps(read_recipe(recipe_file), "chat", 77), tmp_path / "used.toml")
    text = (tmp_path / "used.toml").read_text()
    for instead in ("", "tokens = 4_000_000", "minutes = 4"):
        (tmp_path / "odd.toml").write_text(text.replace("steps = 77", instead))
        with pytest.raises(UserError, match=r"timed_minutes|exactly one of steps"):
            read_recipe(tmp_path / "odd.toml")


def test_a_shape_that_no_model_has_is_named_with_its_stage(recipe_file: Path) -> None:
    longest = ["stage.long.sequence_length=1e18", "stage.long.batch_tokens=1e18"]
    with pytest.raises(
        UserError, match=r"x\.toml: stage\[2\]\.max_position_embeddings: must be at most 2,147,483,648"
    ):
        make_plan(read_recipe(recipe_file, [*longest, "base=smollm2-135m"]), file=recipe_file)
