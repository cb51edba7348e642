"""Reads recipes from TOML and writes them. Every mistake is named by file and key."""

from __future__ import annotations

import json
import math
import reprlib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from codecascade.corpus.settings import CorpusSettings, LanguageFilter
from codecascade.evaluation.evaluate_settings import EvaluateSettings, setting_names
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import atomic_write
from codecascade.ground.files.reading import read_text
from codecascade.ground.nearest import nearest
from codecascade.instruct.dialogues.settings import DialogueSource
from codecascade.instruct.self_instruct.questions.settings import QuestionSettings, QuestionSource
from codecascade.recipe.bases import BaseSettings, TokenizerSettings
from codecascade.recipe.compare import ComparedFigure, CompareSettings
from codecascade.recipe.defaults import with_defaults
from codecascade.recipe.named import recipe_file, recipe_names
from codecascade.recipe.self_instruct import StageSelfInstruct, TeacherSettings
from codecascade.recipe.settings import (
    LENGTH_KEYS,
    Recipe,
    RecipeData,
    RunSettings,
    Stage,
    replaced_by,
    to_data,
)
from codecascade.training.parallel.settings import ParallelSettings
from codecascade.training.stream.settings import ChatSettings, InfillingSettings, MixtureItem
from codecascade.training.trackers.settings import LogSettings

SettingsModel = TypeVar("SettingsModel", bound=BaseModel)

_TABLES: dict[str, type[BaseModel]] = {
    "stage": Stage,
    "infilling": InfillingSettings,
    "mixture": MixtureItem,
    "dialogues": DialogueSource,
    "self_instruct": StageSelfInstruct,
    "question": QuestionSettings,
    "sources": QuestionSource,
    "teacher": TeacherSettings,
    "questions_from": TeacherSettings,
    "chat": ChatSettings,
    "corpus_build": CorpusSettings,
    "parallel": ParallelSettings,
    "filters": LanguageFilter,
    "tokenizer": TokenizerSettings,
    "bases": BaseSettings,
    "compare": CompareSettings,
    "figures": ComparedFigure,
    "log": LogSettings,
    "run": RunSettings,
}

_MOVED: dict[tuple[str, ...], str] = {
    ("parallel", "checkpointing"): "is a setting of stages now; give each stage that needs it "
    "activation_checkpointing = 'full' or 'selective'",
}
"""What keys of older recipes are called today, by the table that they were in."""


# ---- reading and writing --------------------------------------------------------------------------------------


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a TOML file, after ``overrides`` such as ``base=MODEL`` or ``stage.code.tokens=100000``.

    Args:
        path: the file, or the name of a recipe that comes with codecascade, such as ``quickstart``.

    Raises:
        UserError: with the file, the key and what is wrong with it.
    """
    path = recipe_file(path)
    data = read_toml(path)
    for override in overrides:
        apply_override(data, override)
    return make_recipe(data, path)


def make_recipe(data: Mapping[str, Any], file: str | Path | None = None) -> Recipe:
    """The recipe that ``data`` (as TOML has it) describes. Raises as :func:`read_recipe`."""
    try:
        full = with_defaults(_as_json(data))
        return validated(Recipe, full, file)
    except UserError as error:
        raise UserError(error.message, file=error.file or file, key=error.key) from None
    except RecursionError:
        raise UserError("its tables are nested too deeply", file=file) from None


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write ``recipe`` with all its values; :func:`read_recipe` then gives an equal one."""
    atomic_write(path, "# The recipe as it was used: nothing is implicit.\n" + tomli_w.dumps(to_data(recipe)))


def with_steps(recipe: Recipe, name: str, steps: int) -> Recipe:
    """``recipe`` with ``steps`` in place of a stage's ``minutes``, which are kept as ``timed_minutes``."""
    data = to_data(recipe)
    stage = next(stage for stage in data["stage"] if stage["name"] == name)
    stage |= {"steps": steps, "timed_minutes": stage.pop("minutes")}
    if "warmup_steps" in stage:
        stage["warmup_steps"] = min(stage["warmup_steps"], steps - 1)
    return make_recipe(data)


def read_toml(path: str | Path) -> RecipeData:
    """The content of a TOML file.

    Raises:
        UserError: it is missing, can't be read or is not TOML.
    """
    try:
        named = [name for name in recipe_names() if name.rpartition("/")[2] == Path(path).stem]
        if named and not Path(path).exists():
            hint = f"; the recipe that comes with codecascade is called {named[0]}"
            raise UserError(f"there is no such file{hint}", file=path)
        return tomllib.loads(read_text(path))
    except RecursionError:
        raise UserError("is not valid TOML (lists are nested too deeply)", file=path) from None
    except ValueError as error:
        # a TOMLDecodeError, or an integer of thousands of digits
        raise UserError(f"is not valid TOML ({error})", file=path) from None


# ---- --set ----------------------------------------------------------------------------------------------------


def apply_override(data: RecipeData, text: str) -> None:
    """Put ``key=value`` into a recipe's data; stages are named, as in ``stage.code.tokens=100000``.

    The value is read as TOML; what is not TOML is a string. One of ``tokens``, ``steps`` and ``minutes`` replaces
    the others, and what there was beside these (``minutes_fp32``; ``most_passes`` where it is not ``minutes``).

    Raises:
        UserError: it is not ``key=value``, or the recipe has no such stage.
    """
    parts, value = parse_override(text)
    parts = _with_whole_names(data, parts)
    table: Any = data
    if parts[0] == "stage":
        table, parts = _stage_called(data, parts), parts[2:]
        if parts[0] in LENGTH_KEYS:
            for length in replaced_by(parts[0]):
                table.pop(length, None)
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise UserError(f"{part!r} is not a table with keys of its own", file=f"--set {text}")
    table[parts[-1]] = value


def parse_override(text: str) -> tuple[list[str], Any]:
    """``a.b=value`` as the path ``["a", "b"]`` and the value.

    Raises:
        UserError: it has no ``=`` or an empty key.
    """
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise UserError("must be key=value", file=f"--set {text}")
    try:
        read = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):
        # no TOML, or too many digits or brackets for Python
        read = {}
    return parts, read["value"] if len(read) == 1 else value.strip()


def _with_whole_names(data: RecipeData, parts: list[str]) -> list[str]:
    """The path with the name of a stage or base as one part, whatever dots it has; the longest known name counts."""
    names = {"stage": _stages(data), "bases": data.get("bases")}.get(parts[0])
    for end in range(len(parts) - 1, 2, -1):
        if isinstance(names, dict) and (name := ".".join(parts[1:end])) in names:
            return [parts[0], name, *parts[end:]]
    return parts


def _stages(data: RecipeData) -> dict[str, RecipeData]:
    listed = data.get("stage")
    stages = listed if isinstance(listed, list) else []
    return {str(one.get("name")): one for one in stages if isinstance(one, dict)}


def _stage_called(data: RecipeData, parts: Sequence[str]) -> RecipeData:
    option, stages = f"--set {'.'.join(parts)}", _stages(data)
    if len(parts) < 3 or not stages:
        raise UserError("must be stage.NAME.KEY, with the name of a stage of the recipe", file=option)
    if parts[1] not in stages:
        raise UserError(f"there is no stage {parts[1]!r}; {nearest(parts[1], stages)}", file=option)
    return stages[parts[1]]


# ---- validation -----------------------------------------------------------------------------------------------


def validated(
    model: type[SettingsModel], data: Mapping[str, Any], file: str | Path | None = None
) -> SettingsModel:
    """``data`` as settings. Types are not converted: a quoted number is no number.

    Raises:
        UserError: names the first mistake. An unknown key comes before all others.
    """
    try:
        made = model.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        # a key is often missing because of another mistake, such as a misspelt key or an unknown kind
        order = {"extra_forbidden": 0, "missing": 2}
        first = min(error.errors(), key=lambda one: order.get(one["type"], 1))
        raise UserError(_sentence(first, model), file=file, key=_key(first["loc"])) from None
    except UserError as error:
        raise UserError(error.message, file=file, key=error.key) from None
    for keys, problem in _unusable_texts(data):
        raise UserError(problem, file=file, key=_key(keys))
    return made


def _unusable_texts(
    value: Any, keys: tuple[int | str, ...] = ()
) -> Iterator[tuple[tuple[int | str, ...], str]]:
    """The keys of texts that can be no path, and what is wrong. An empty path would mean the current folder."""
    if isinstance(value, str):
        if not value.strip():
            yield keys, "is empty; give a value, or leave the setting out"
        elif "\0" in value:
            yield keys, f"has a character that no path can have, NUL (got {reprlib.repr(value)})"
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _unusable_texts(item, (*keys, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _unusable_texts(item, (*keys, index))


def _as_json(value: Any) -> Any:
    """TOML's values as JSON's: floats such as 500e9 as integers, dates as text, "all" in [evaluate] as null."""
    if isinstance(value, Mapping):
        plain = {key: _as_json(item) for key, item in value.items()}
        if isinstance(evaluate := plain.get("evaluate"), dict):
            plain["evaluate"] = without_limits(evaluate)
        return plain
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    return value if isinstance(value, str | int | float | None) else str(value)


def without_limits(evaluate: Any) -> Any:
    """``[evaluate]`` with None in place of "all"."""
    if isinstance(evaluate, Mapping):
        return {key: without_limits(item) for key, item in evaluate.items()}
    return None if evaluate == "all" else evaluate


def _key(keys: Sequence[int | str]) -> str | None:
    """``("stage", 1, "tokens")`` as ``stage[1].tokens``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in keys).lstrip(".") or None


def _known(keys: Sequence[int | str], model: type[BaseModel]) -> Iterable[str]:
    """The known keys of the table at ``keys``."""
    tables = [part for part in keys if isinstance(part, str)]
    if model is EvaluateSettings or "evaluate" in tables:
        return setting_names(tables[-1] if tables else "")
    return next((_TABLES[table] for table in reversed(tables) if table in _TABLES), model).model_fields


def _sentence(error: ErrorDetails, model: type[BaseModel]) -> str:
    """What is wrong, as a sentence of ours."""
    kind, context, given = error["type"], error.get("ctx", {}), reprlib.repr(error["input"])
    if kind == "extra_forbidden":
        if (moved := _MOVED.get(tuple(map(str, error["loc"][-2:])))) is not None:
            return moved
        return f"unknown key; {nearest(str(error['loc'][-1]), _known(error['loc'][:-1], model))}"
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return str(context["error"])
    limits = {"greater_than": ">", "greater_than_equal": ">=", "less_than": "<", "less_than_equal": "<="}
    if kind in limits:
        (limit,) = context.values()
        return f"must be {limits[kind]} {limit} (got {given})"
    needs = {
        "int_type": "an integer",
        "int_from_float": "an integer",
        "float_type": "a number",
        "finite_number": "a finite number",
        "string_type": "a string",
        "bool_type": "true or false",
        "tuple_type": "a list",
        "model_type": "a table",
        "dict_type": "a table",
        "model_attributes_type": "a table",
        "string_too_short": "a string that is not empty",
        "too_short": "a list that is not empty",
        "literal_error": context.get("expected"),
        "string_pattern_mismatch": "of letters, digits, '.', '_' and '-'",
        "string_too_long": f"of at most {context.get('max_length')} characters",
    }
    return f"must be {needs[kind]} (got {given})" if kind in needs else f"{error['msg']} (got {given})"
