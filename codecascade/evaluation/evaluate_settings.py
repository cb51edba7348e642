"""All settings of an evaluation: those that the benchmarks share, and a table for each benchmark's own."""

from __future__ import annotations

import json
import re
from typing import Any, Self

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails

from codecascade.evaluation.benchmark_settings import BenchmarkSettings, CommonSettings
from codecascade.evaluation.benchmarks.table import BENCHMARKS, own_settings
from codecascade.evaluation.judges.settings import JUDGE_SETTINGS, JudgeSettings
from codecascade.generation.served.settings import OWN, VLLM, ServerSettings
from codecascade.ground.errors import UserError


class EvaluateSettings(CommonSettings):
    """``[evaluate]`` of a recipe. Its tables are the benchmarks' own settings: ``[evaluate.humaneval] problems =
    40``. Only ``[evaluate.server]`` is no benchmark's.

    A setting that is left out has its default. Which tables there may be is looked up in the table of benchmarks when
    settings are read, so a new benchmark needs no change here.
    """

    model_config = ConfigDict(extra="allow")

    engine: str = Field(
        OWN,
        description="what computes a model's answers: own, vllm (started here), or the address of a server",
    )
    server: ServerSettings = Field(ServerSettings(), description="how vLLM is started, or a server asked")
    data: tuple[str, ...] = Field(
        (),
        description="local copies of the benchmarks' data, as --data takes them: PATH, or NAME=PATH; one or a list",
    )

    @field_validator("engine")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in (OWN, VLLM) and not re.match(r"https?://[^/]", value):
            raise ValueError(
                f"must be '{OWN}', '{VLLM}' or a server's address, such as http://localhost:8000"
            )
        return value

    @field_validator("data", mode="before")
    @classmethod
    def _one_or_a_list(cls, value: object) -> object:
        # a tuple, for what comes out of here is no JSON any more
        return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _read_tables(self) -> Self:
        given = self.model_extra
        assert given is not None
        known = own_settings()
        wrong = [_unknown(key, value, known) for key, value in given.items() if key not in known]
        read: dict[str, BenchmarkSettings] = {}
        for key, kind in known.items():
            value = given.get(key, {})
            try:
                read[key] = (
                    value
                    if isinstance(value, kind)
                    else kind.model_validate_json(json.dumps(value, default=str), strict=True)
                )
            except ValidationError as error:
                wrong += [
                    InitErrorDetails(
                        type=each["type"],
                        loc=(key, *each["loc"]),
                        input=each["input"],
                        ctx=each.get("ctx", {}),
                    )
                    for each in error.errors()
                ]
        if wrong:
            raise ValidationError.from_exception_data(type(self).__name__, wrong)
        given.clear()
        given.update(read)
        self._check_engine()
        return self

    def _check_engine(self) -> None:
        """Raise UserError for an engine that can't measure one of the benchmarks."""
        if self.engine == OWN or self.server.prompts == "ids":
            return
        if self.engine == VLLM:
            raise UserError("must be 'ids' for vLLM, which takes token ids", key="server.prompts")
        if scored := [
            name for name in self.benchmarks if name in BENCHMARKS and "scores" in BENCHMARKS[name].needs
        ]:
            raise UserError(
                f"must be 'ids' for {', '.join(scored)}: a server that is asked for texts tells no probabilities",
                key="server.prompts",
            )


def setting_names(table: str = "") -> list[str]:
    """The names of the settings of ``[evaluate]``, or of one of its tables."""
    own = own_settings()
    if table == "server":
        return list(ServerSettings.model_fields)
    return list(own[table].model_fields) if table in own else [*EvaluateSettings.model_fields, *own]


def is_judge_setting(name: str) -> bool:
    """Whether a setting (``toxigen.judge_model``) says what judges a benchmark's answers."""
    table, _, field = name.rpartition(".")
    kind = own_settings().get(table)
    return kind is not None and issubclass(kind, JudgeSettings) and field in JUDGE_SETTINGS


def nest_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Turn ``{"humaneval.problems": 4}``, the form of results, into ``{"humaneval": {"problems": 4}}``.

    Names that are not known are left out.
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        table, _, field = name.rpartition(".")
        if field in setting_names(table) and (not table or table in own_settings()):
            table_settings = found.setdefault(table, {}) if table else found
            table_settings[field] = value
    return found


def _unknown(key: str, value: Any, known: dict[str, type[BenchmarkSettings]]) -> InitErrorDetails:
    """What is wrong with an unknown key. For a key of an earlier version it says where the setting is now."""
    for table, kind in known.items():
        name = key.removeprefix(f"{table}_")
        if name != key and name in kind.model_fields:
            sentence = ValueError(
                f"the settings of a benchmark have a table of their own now: {table}.{name}"
            )
            return InitErrorDetails(type="value_error", loc=(key,), input=value, ctx={"error": sentence})
    return InitErrorDetails(type="extra_forbidden", loc=(key,), input=value)
