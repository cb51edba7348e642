"""Checks what ``results.json`` says of a benchmark. The file may be edited by hand, or of another version.

Unknown names are ignored. Values of known names have the right type afterwards, so that no reader of them fails.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from codecascade.evaluation.evaluate_settings import EvaluateSettings, nest_settings
from codecascade.ground.errors import UserError

_Number = Annotated[int, Field(ge=0)]
_Finite = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Model = TypeVar("_Model", bound=BaseModel)


class _Stored(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class StoredShare(_Stored):
    """``n`` out of ``of``."""

    n: _Number
    of: _Number


class Conditions(_Stored):
    """See :mod:`codecascade.evaluation.running.conditions`."""

    asked_in_chat: bool = False
    healed_prompts: StoredShare | None = None
    unasked: StoredShare | None = None
    cut_answers: StoredShare | None = None
    cut_inputs: StoredShare | None = None
    unrun: StoredShare | None = None
    other_problems: StoredShare | None = None
    judge: str = ""
    unjudged: StoredShare | None = None
    confinement: str = ""
    quantisation: str | None = None
    endpoint: bool = False
    source: str = ""


class Contamination(_Stored):
    """The ids of the ``tasks`` whose text is in a corpus, out of ``of`` that were looked for."""

    tasks: tuple[str, ...] = ()
    of: _Number | None = None


class StoredBenchmark(_Stored):
    """What ``results.json`` has besides a benchmark's figures."""

    title: str | None = None
    metric: str | None = None
    higher_is_better: bool = True
    command: str = ""
    settings: dict[str, Any] = {}
    version: int = 1
    conditions: Conditions | None = None
    tasks: _Number | None = None
    tasks_total: _Number | None = None
    missing: _Number | None = None
    notes: tuple[str, ...] = ()
    seconds: _Finite | None = None
    source: str = ""
    licence: str = ""
    judge: str = ""
    judge_prompt: str = ""
    contamination: Contamination | None = None


def checked_benchmark(about: Mapping[str, Any], path: Path, key: str) -> StoredBenchmark:
    """What the file says of a benchmark.

    Args:
        key: the benchmark's key in the file, for errors.

    Raises:
        UserError: a value has another type, or a setting has an impossible value (file and key are named).
    """
    found = _valid(StoredBenchmark, about, path, key)
    _valid(EvaluateSettings, nest_settings(found.settings), path, f"{key}.settings")
    return found


def _valid(model: type[_Model], value: Mapping[str, Any], path: Path, key: str) -> _Model:
    try:
        return model.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key_path = ".".join([key, *map(str, first["loc"])])
        raise UserError(f"{first['msg'][0].lower()}{first['msg'][1:]}", file=path, key=key_path) from None
