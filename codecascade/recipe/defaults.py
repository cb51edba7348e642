"""The values that a recipe may leave out. They depend on a stage's kind, its parent and its length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from codecascade.evaluation.evaluate_settings import is_judge_setting
from codecascade.instruct.dialogues.settings import as_sources
from codecascade.recipe.bases import as_tokenizer, with_base_defaults
from codecascade.recipe.compare import as_compare
from codecascade.recipe.like import with_copied_settings
from codecascade.recipe.self_instruct import KEY, KIND, as_self_instruct, merged_self_instruct
from codecascade.recipe.settings import RecipeData
from codecascade.training.schedule import default_warmup


def _mixture(**shares: float) -> list[RecipeData]:
    return [{"source": source, "share": share} for source, share in shares.items() if share]


_CODE = _mixture(code=0.85, natural_language_code=0.08, natural_language=0.07)
_PYTHON = _mixture(python=0.75, code=0.10, natural_language_code=0.10, natural_language=0.05)

DEFAULTS: dict[str, RecipeData] = {
    "code": {
        "learning_rate": 3e-4,
        "batch_tokens": 2**22,
        "sequence_length": 4096,
        "mixture": _CODE,
        "infilling": {"rate": 0.9},
    },
    "python": {
        "learning_rate": 1e-4,
        "batch_tokens": 2**22,
        "sequence_length": 4096,
        "mixture": _PYTHON,
        "infilling": {"rate": 0.0},
    },
    "long_context": {
        "learning_rate": 2e-5,
        "batch_tokens": 2**21,
        "sequence_length": 16_384,
        "rope_theta": 1e6,
        "mixture": _CODE,
        "infilling": {"rate": 0.0},
    },
    "instruct": {
        "learning_rate": 2e-5,
        "batch_tokens": 2**19,
        "sequence_length": 4096,
        "infilling": {"rate": 0.0},
    },
}
"""The defaults of each kind of stage: Table 1 and sections 2.2 to 2.6 of the paper. It does not state the batch of
the Python stage, nor the learning rate and sequence length of the instruct stage; those are ours."""

FROM_PARENT = {"long_context": ("mixture", "infilling"), "instruct": ("infilling",)}
"""Keys whose default is the parent's value, where the parent is a stage. This is ours: code that is rehearsed is
infilled as it was when it was learnt."""

REHEARSAL = {"rehearsal_code": 0.06, "rehearsal_natural_language": 0.02}
"""Shares of an instruct stage's tokens (paper, section 2.5). The other tokens are of dialogues."""


MOST_MINED = 2000
"""Dialogues that are mined of a corpus, at most."""


def with_defaults(data: Mapping[str, Any]) -> RecipeData:
    """A recipe's data, as TOML has it, with the defaults of all stages filled in.

    A value of a wrong type is left as it is, and validation then names it.

    Raises:
        UserError: a stage is ``like`` one that is not there.
    """
    data = {"seed": 0, "evaluate": {}, **data}
    if isinstance(data.get("corpus"), str):
        data["corpus"] = [data["corpus"]]
    if KEY in data:
        data[KEY] = as_self_instruct(data[KEY])
    data["evaluate"] = _merged({"seed": data["seed"]}, data["evaluate"])
    if "tokenizer" in data:
        data["tokenizer"] = as_tokenizer(data["tokenizer"])
    if "compare" in data:
        data["compare"] = as_compare(data["compare"])
    if isinstance(data.get("bases"), dict):
        data["bases"] = {name: _base(base, data) for name, base in data["bases"].items()}
    if isinstance(data.get("stage"), list):
        stages: list[Any] = []
        for stage in with_copied_settings(data["stage"]):
            stages.append(_stage(stage, stages, data) if isinstance(stage, dict) else stage)
        data["stage"] = stages
    return data


def _first_with_its_data(name: Any, before: Sequence[Any]) -> Any:
    """The stage whose own name its data are drawn by, of a stage that may have those of an earlier one itself."""
    return next(
        (
            other.get("same_data_as", name)
            for other in before
            if isinstance(other, dict) and other.get("name") == name
        ),
        name,
    )


def _base(base: Any, recipe: RecipeData) -> Any:
    full = with_base_defaults(base, recipe)
    if isinstance(full, dict):
        own = full.get("evaluate", {})
        full["evaluate"] = _merged(_without_other_judges(recipe["evaluate"], own), own)
    return full


def _stage(stage: RecipeData, before: Sequence[Any], recipe: RecipeData) -> RecipeData:
    kind = stage["kind"] if isinstance(stage.get("kind"), str) else ""
    defaults = {"seed": recipe["seed"], "evaluate": recipe["evaluate"], **DEFAULTS.get(kind, {})}
    if "parallel" in recipe:
        defaults["parallel"] = recipe["parallel"]
    parent = next(
        (other for other in before if isinstance(other, dict) and other.get("name") == stage.get("parent")),
        {},
    )
    defaults |= {key: parent[key] for key in FROM_PARENT.get(kind, ()) if key in parent}
    full = {**defaults, **stage}
    if not {"minutes", "timed_minutes"} & full.keys():
        # earlier versions left it in a run's recipe beside the steps that --set had given
        full.pop("minutes_fp32", None)
    if "same_data_as" in full:
        full["same_data_as"] = _first_with_its_data(full["same_data_as"], before)
    full["evaluate"] = _merged(
        _without_other_judges(defaults["evaluate"], full["evaluate"]), full["evaluate"]
    )
    if "parallel" in full:
        full["parallel"] = _merged(defaults.get("parallel"), full["parallel"])
    if kind in FROM_PARENT:
        full["infilling"] = _merged(defaults["infilling"], full["infilling"])
    if kind == "instruct" and "mixture" not in full:
        full = _with_rehearsal(full)
    if "dialogues" in full:
        full["dialogues"] = as_sources(full["dialogues"])
    if "mined" in _names_of(full.get("dialogues")):
        full.setdefault("mined_dialogues", MOST_MINED)
    if _makes_own(full):
        full[KEY] = merged_self_instruct(recipe.get(KEY, {}), full.get(KEY, {}), full["seed"])
    steps = _steps(full)
    if steps is not None:
        # in code training 1,000 (paper), but at most a tenth of a short run
        full.setdefault("warmup_steps", min(1000, steps // 10) if kind == "code" else default_warmup(steps))
    return full


def _without_other_judges(defaults: Any, table: Any) -> Any:
    """``defaults`` without the settings of a judge in whose place ``table`` names another one."""
    if not isinstance(defaults, dict) or not isinstance(table, dict):
        return defaults

    def is_another(name: str, inner: dict[str, Any]) -> bool:
        own = table.get(name)
        return isinstance(own, dict) and "judge" in own and own["judge"] != inner.get("judge", "rule")

    return {
        name: {key: value for key, value in inner.items() if not is_judge_setting(f"{name}.{key}")}
        if isinstance(inner, dict) and is_another(name, inner)
        else inner
        for name, inner in defaults.items()
    }


def _makes_own(stage: RecipeData) -> bool:
    """Whether it has the dialogues of self-instruct, wherever they are named."""
    mixture = stage.get("mixture")
    items = mixture if isinstance(mixture, list | tuple) else []
    named = [item.get("corpus") for item in items if isinstance(item, dict)]
    return KIND in [*_names_of(stage.get("dialogues")), *named]


def _names_of(sources: Any) -> list[Any]:
    tables = sources if isinstance(sources, list) else []
    return [table.get("source") for table in tables if isinstance(table, dict)]


def _with_rehearsal(stage: RecipeData) -> RecipeData:
    """The stage with a mixture in place of the two shares of rehearsal. Wrong shares are left for validation."""
    shares = {key: stage.get(key, default) for key, default in REHEARSAL.items()}
    if not all(isinstance(share, int | float) and 0 <= share < 0.5 for share in shares.values()):
        return {**stage, "mixture": _mixture(dialogues=1.0)}
    code, prose = shares.values()
    rest = {key: value for key, value in stage.items() if key not in shares}
    return {
        **rest,
        "mixture": _mixture(dialogues=round(1 - code - prose, 9), code=code, natural_language=prose),
    }


def _merged(defaults: Any, table: Any) -> Any:
    """``table`` with the missing keys of ``defaults``, in nested tables too."""
    if not isinstance(defaults, dict) or not isinstance(table, dict):
        return table
    return {**defaults, **{key: _merged(defaults.get(key), value) for key, value in table.items()}}


def _steps(stage: RecipeData) -> int | None:
    steps, tokens, batch = (stage.get(key) for key in ("steps", "tokens", "batch_tokens"))
    if isinstance(tokens, int) and isinstance(batch, int) and batch > 0:
        return -(-tokens // batch)
    return steps if isinstance(steps, int) else None
