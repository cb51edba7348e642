"""What a cascade is: a recipe's typed settings, read from TOML and written back with every value explicit.

A recipe is flat: no expressions, no inclusion of other files. What it leaves out is filled in when it is read, from
the stage's kind (:data:`DEFAULTS`; the paper's values where the paper states one) and, where the paper says so, from
the stage's parent; so a :class:`Recipe` in memory and ``RUN/recipe.toml`` hold nothing implicit.
"""

from __future__ import annotations

import difflib
import json
import math
import reprlib
import tomllib
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from codecascade.corpus.settings import CorpusSettings
from codecascade.errors import UserError
from codecascade.evaluation.settings import EvaluateSettings
from codecascade.files import atomic_write
from codecascade.settings import Settings
from codecascade.training.settings import TrainingSettings
from codecascade.training.stream_settings import InfillingSettings, MixtureItem

BASE = "base"
"""The name, among the models of a cascade, of the one that comes in."""

Kind = Literal["code", "python", "long_context", "instruct"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Data = dict[str, Any]

LENGTHS = ("tokens", "steps", "minutes")
# What may change between two runs in one folder: it says how the work is done or what is measured, not what is trained.
FREE = frozenset(
    {
        "activation_checkpointing",
        "checkpoint_every",
        "compile",
        "evaluate",
        "loss_chunk_tokens",
        "micro_batch_rows",
        "sandbox",
        "stream_workers",
    }
)


class TokenizerSettings(Settings):
    """A tokenizer that is trained on the corpus, for a model that starts from scratch."""

    vocabulary: int = Field(gt=0, description="ids, control tokens and bytes included")
    kind: Literal["llama", "bytes"] = Field("llama", description="laid out as Llama 2's, or as SmolLM2's")
    characters: int = Field(20_000_000, gt=0, description="of training code that it is trained on, at most")


class Stage(TrainingSettings):
    """One training run of the cascade, from its parent's model folder to its own."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: Name = Field(description="of the stage, its model folder and its log")
    kind: Kind = Field(description="chooses the defaults")
    parent: str = Field(description=f"an earlier stage, or {BASE!r}: the model that it starts from")
    mixture: tuple[MixtureItem, ...] = Field(
        min_length=1, description="what it is trained on, and in which shares"
    )
    infilling: InfillingSettings = Field(description="of the mixture's documents; rate 0 is off")
    evaluate: EvaluateSettings = Field(
        description="what is measured after it; default: the recipe's [evaluate]"
    )
    keep_infilling_tokens: bool = Field(
        True,
        description="false, in a stage without infilling: drop the parent's infilling tokens and their rows",
    )
    rope_theta: float | None = Field(None, gt=0, description="long_context: the base of the rotary positions")
    max_position_embeddings: int | None = Field(
        None, gt=0, description="long_context: default: sequence_length, or the parent's where that is larger"
    )
    dialogues: str | None = Field(
        None, description="instruct: JSON lines of `messages`, or 'mined': from the corpus"
    )
    mined_dialogues: int = Field(2000, gt=0, description="instruct: how many are mined, at most")
    chat_format: Literal["llama2", "chatml"] | None = Field(
        None, description="instruct: default: the tokenizer's own, else llama2"
    )
    rehearsal_code: float | None = Field(
        None, ge=0, lt=1, description="instruct without [[stage.mixture]]: share of code; default 0.06"
    )
    rehearsal_natural_language: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="instruct without [[stage.mixture]]: share of natural language; default 0.02",
    )
    timed_minutes: float | None = Field(
        None, gt=0, description="written by a run: the budget in minutes that `steps` was timed for"
    )

    @property
    def uses_infilling(self) -> bool:
        """Whether documents are filled in, so that the tokenizer must have infilling tokens."""
        return self.infilling.rate > 0 and any(item.source != "dialogues" for item in self.mixture)


class Recipe(Settings):
    """A cascade: a base model, a corpus, and a tree of stages in the order in which they are trained."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: Name = Field(description="of the run; its folder is runs/<name>")
    base: str = Field(min_length=1, description="a model folder, GGUF file, hub name or preset")
    corpus: tuple[str, ...] = Field(
        min_length=1,
        description="a folder of shards; or sources to build one from: folders, files, stdlib, installed",
    )
    seed: int = Field(0, ge=0, description="of every random draw")
    dtype: Literal["f32", "bf16"] = Field("f32", description="of the weights in the stages' model folders")
    sandbox: Literal["strict", "weak"] = Field(
        "strict", description="weak: run programs even where unconfined"
    )
    corpus_build: CorpusSettings = Field(CorpusSettings(), description="how sources become a corpus")
    tokenizer: TokenizerSettings | None = Field(
        None, description="for a preset as base: train it from scratch"
    )
    evaluate: EvaluateSettings = Field(description="what is measured on the base")
    stage: tuple[Stage, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_a_tree(self) -> Recipe:
        before = [BASE]
        for index, stage in enumerate(self.stage):
            key = f"stage[{index}]"
            if stage.name in before:
                taken = "the model that comes in" if stage.name == BASE else "another stage"
                raise UserError(f"{stage.name!r} is the name of {taken}; choose another", key=f"{key}.name")
            if stage.parent not in before:
                raise UserError(
                    f"no stage before this one is called {stage.parent!r}; {_nearest(stage.parent, before)}",
                    key=f"{key}.parent",
                )
            _check_stage(stage, key)
            before.append(stage.name)
        return self

    def __getitem__(self, name: str) -> Stage:
        return next(stage for stage in self.stage if stage.name == name)

    def line(self, stage: Stage) -> list[Stage]:
        """The stages from the base to ``stage``, itself included."""
        above = [] if stage.parent == BASE else self.line(self[stage.parent])
        return [*above, stage]

    def identity(self, stage: Stage) -> Data:
        """All that decides what ``stage`` becomes: nested and JSON-able, to compare and to hash."""
        of_run = {key: value for key, value in to_data(self).items() if key not in FREE | {"name", "stage"}}
        line = {one.name: _without_free(to_data(one)) for one in self.line(stage)}
        return {**of_run, "stage": line}

    def fingerprint(self, stage: Stage) -> str:
        """A hash of :meth:`identity`."""
        text = json.dumps(self.identity(stage), sort_keys=True)
        return blake2b(text.encode(), digest_size=16).hexdigest()

    def with_steps(self, name: str, steps: int) -> Recipe:
        """The recipe with a stage's ``minutes`` turned into ``steps``; ``timed_minutes`` remembers them."""
        data = to_data(self)
        for stage in data["stage"]:
            if stage["name"] == name:
                stage |= {"steps": steps, "timed_minutes": stage.pop("minutes")}
                if "warmup_steps" in stage:
                    stage["warmup_steps"] = min(stage["warmup_steps"], steps - 1)
        return make_recipe(data)


# ---- defaults -------------------------------------------------------------------------------------------------

_4M, _2M = 2**22, 2**21


def _mixture(**shares: float) -> list[Data]:
    return [{"source": source, "share": share} for source, share in shares.items() if share]


DEFAULTS: dict[str, Data] = {
    "code": {
        "learning_rate": 3e-4,
        "batch_tokens": _4M,
        "sequence_length": 4096,
        "mixture": _mixture(code=0.85, natural_language_code=0.08, natural_language=0.07),
        "infilling": {"rate": 0.9},
    },
    "python": {
        "learning_rate": 1e-4,
        "batch_tokens": _4M,
        "sequence_length": 4096,
        "mixture": _mixture(python=0.75, code=0.10, natural_language_code=0.10, natural_language=0.05),
        "infilling": {"rate": 0.0},
    },
    "long_context": {
        "learning_rate": 2e-5,
        "batch_tokens": _2M,
        "sequence_length": 16_384,
        "rope_theta": 1e6,
        "mixture": _mixture(code=0.85, natural_language_code=0.08, natural_language=0.07),
        "infilling": {"rate": 0.0},
    },
    "instruct": {
        "learning_rate": 2e-5,
        "batch_tokens": 2**19,
        "sequence_length": 4096,
        "infilling": {"rate": 0.0},
    },
}
"""What a stage's kind stands for: Table 1 and sections 2.2 to 2.6 of the paper; ours where it is silent. Mixture (of
long_context) and infilling (of long_context and instruct) are the parent stage's where there is one."""
_FROM_PARENT = {"long_context": ("mixture", "infilling"), "instruct": ("infilling",)}
_REHEARSAL = {"rehearsal_code": 0.06, "rehearsal_natural_language": 0.02}


def with_defaults(data: Mapping[str, Any]) -> Data:
    """A recipe's data with all defaults that depend on a stage's kind, parent or length written out.

    What has a wrong type is left alone: reading it is what finds the mistake.
    """
    data = dict(data)
    if isinstance(data.get("corpus"), str):
        data["corpus"] = [data["corpus"]]
    seed = data.setdefault("seed", 0)
    data["evaluate"] = _merged({"seed": seed}, data.get("evaluate", {}))
    if isinstance(data.get("stage"), list):
        stages: list[Any] = []
        for stage in data["stage"]:
            stages.append(_stage_with_defaults(stage, stages, data) if isinstance(stage, dict) else stage)
        data["stage"] = stages
    return data


def _stage_with_defaults(stage: Data, before: Sequence[Any], recipe: Data) -> Data:
    kind = stage.get("kind")
    kind = kind if isinstance(kind, str) else ""
    defaults = dict(DEFAULTS.get(kind, {}))
    parent = next(
        (one for one in before if isinstance(one, dict) and one.get("name") == stage.get("parent")), {}
    )
    for key in _FROM_PARENT.get(kind, ()):
        if key in parent:
            defaults[key] = parent[key]
    stage = {**defaults, "seed": recipe["seed"], **stage}
    stage["evaluate"] = _merged(recipe["evaluate"], stage.get("evaluate", {}))
    if kind in _FROM_PARENT:
        stage["infilling"] = _merged(defaults["infilling"], stage["infilling"])
    if kind == "instruct" and "mixture" not in stage:
        shares = {key: stage.get(key, default) for key, default in _REHEARSAL.items()}
        if all(isinstance(share, int | float) and 0 <= share < 1 for share in shares.values()):
            code, prose = shares.values()
            mixture = _mixture(dialogues=round(1 - code - prose, 9), code=code, natural_language=prose)
            stage = {key: value for key, value in stage.items() if key not in shares} | {"mixture": mixture}
        else:
            stage["mixture"] = _mixture(dialogues=1.0)
    steps = _steps(stage)
    if steps is not None:  # 1,000 in code training (paper), unless that is a good part of a short run
        stage.setdefault("warmup_steps", min(1000, steps // (10 if kind == "code" else 50)))
    return stage


def _merged(defaults: Any, table: Any) -> Any:
    return {**defaults, **table} if isinstance(defaults, dict) and isinstance(table, dict) else table


def _steps(stage: Data) -> int | None:
    steps, tokens, batch = (stage.get(key) for key in ("steps", "tokens", "batch_tokens"))
    if isinstance(tokens, int) and isinstance(batch, int) and batch > 0:
        return math.ceil(tokens / batch)
    return steps if isinstance(steps, int) else None


def _check_stage(stage: Stage, key: str) -> None:
    """Raise UserError for settings that do not go together."""
    sources = [item.source for item in stage.mixture]
    if len(set(sources)) < len(sources):
        raise UserError(f"names a source twice ({', '.join(sources)})", key=f"{key}.mixture")
    if stage.kind != "long_context":
        for name in ("rope_theta", "max_position_embeddings"):
            if getattr(stage, name) is not None:
                raise UserError("only a long_context stage changes it", key=f"{key}.{name}")
    elif stage.max_position_embeddings is not None and stage.max_position_embeddings < stage.sequence_length:
        raise UserError(
            f"must be at least sequence_length, {stage.sequence_length:,} (got {stage.max_position_embeddings:,})",
            key=f"{key}.max_position_embeddings",
        )
    if stage.kind == "instruct" and "dialogues" not in sources:
        raise UserError("an instruct stage needs the source 'dialogues'", key=f"{key}.mixture")
    if stage.dialogues is None and any(
        item.source == "dialogues" and item.corpus is None for item in stage.mixture
    ):
        raise UserError(
            "is missing: a file of JSON lines with `messages`, or 'mined'", key=f"{key}.dialogues"
        )
    if stage.dialogues is not None and "dialogues" not in sources:
        raise UserError("the mixture has no source 'dialogues'", key=f"{key}.dialogues")
    for name in _REHEARSAL:
        if getattr(stage, name) is not None:
            raise UserError(
                "is for an instruct stage without [[stage.mixture]]; give the share there",
                key=f"{key}.{name}",
            )
    if not stage.keep_infilling_tokens and stage.infilling.rate > 0:
        raise UserError(
            f"must be true in a stage with infilling (rate {stage.infilling.rate})",
            key=f"{key}.keep_infilling_tokens",
        )


# ---- reading --------------------------------------------------------------------------------------------------


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a TOML file, after ``overrides`` such as ``base=MODEL`` or ``stage.code.tokens=100000``.

    A value is read as TOML; what is not TOML is a string. Setting one of ``tokens``, ``steps`` and ``minutes``
    replaces the other two.

    Raises:
        UserError: with the file, the key and what is wrong with it.
    """
    data = read_toml(path)
    for override in overrides:
        _override(data, override)
    return make_recipe(data, path)


def make_recipe(data: Mapping[str, Any], file: str | Path | None = None) -> Recipe:
    """The recipe that ``data`` (as TOML has it) describes. Raises as :func:`read_recipe`."""
    return validated(Recipe, with_defaults(_plain(data)), file)


def read_toml(path: str | Path) -> Data:
    """The content of a TOML file.

    Raises:
        UserError: it is missing or is not TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError("there is no such file", file=path) from None
    except OSError as error:
        raise UserError(f"can't be read ({error.strerror})", file=path) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"is not valid TOML ({error})", file=path) from None


def parse_override(text: str) -> tuple[list[str], Any]:
    """``a.b=value`` as a path and a value.

    Raises:
        UserError: there is no ``=``.
    """
    key, equals, value = text.partition("=")
    if not equals or not all(parts := key.strip().split(".")):
        raise UserError(f"must be key=value (got {text!r})", file="--set")
    return parts, _value(value)


def _override(data: Data, text: str) -> None:
    parts, value = parse_override(text)
    place: Any = data
    if parts[0] == "stage":
        place, parts = _stage_called(data, parts), parts[2:]
        if parts[0] in LENGTHS:
            for length in LENGTHS:
                place.pop(length, None)
    for part in parts[:-1]:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise UserError(f"{part!r} is not a table with keys of its own", file=f"--set {text}")
    place[parts[-1]] = value


def _stage_called(data: Data, parts: Sequence[str]) -> Data:
    stages = {one.get("name"): one for one in data.get("stage", []) if isinstance(one, dict)}
    if len(parts) < 3:
        raise UserError("must be stage.NAME.KEY=value", file=f"--set {'.'.join(parts)}")
    if parts[1] not in stages:
        known = [str(name) for name in stages]
        raise UserError(
            f"there is no stage {parts[1]!r}; {_nearest(parts[1], known)}", file=f"--set {'.'.join(parts)}"
        )
    found: Data = stages[parts[1]]
    return found


def _value(text: str) -> Any:
    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text.strip()
    return read["value"] if len(read) == 1 else text


def _plain(value: Any) -> Any:
    """TOML's values as JSON's: whole floats such as 500e9 are integers, and "all" in [evaluate] is None's word."""
    if isinstance(value, Mapping):
        plain = {key: _plain(item) for key, item in value.items()}
        if isinstance(evaluate := plain.get("evaluate"), dict):
            plain["evaluate"] = {key: None if item == "all" else item for key, item in evaluate.items()}
        return plain
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def to_data(model: BaseModel) -> Data:
    """The settings as plain data that :func:`make_recipe` reads back; what is None is left out."""
    data = model.model_dump(mode="json", exclude_none=True)
    evaluate = getattr(model, "evaluate", None)
    if isinstance(evaluate, EvaluateSettings):  # there None means "all", and is not the default
        data["evaluate"] = {
            key: "all" if item is None else item for key, item in evaluate.model_dump(mode="json").items()
        }
    if isinstance(model, Recipe):
        data["stage"] = [to_data(stage) for stage in model.stage]
    if isinstance(model, Stage):
        first = ("name", "kind", "parent", *LENGTHS)
        data = {key: data[key] for key in (*(key for key in first if key in data), *(data.keys() - {*first}))}
    return data


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write ``recipe`` with all its values; :func:`read_recipe` gives an equal one back."""
    atomic_write(
        path, "# The recipe as it was used: every value is explicit.\n" + tomli_w.dumps(to_data(recipe))
    )
