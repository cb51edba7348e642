"""What the files beside a tokenizer's vocabulary say: its named tokens, its added tokens, its chat template."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from codecascade.ground.errors import UserError
from codecascade.ground.files.reading import decode_text, read_bytes, read_object
from codecascade.ground.files.values import flag, short
from codecascade.ground.format import listed
from codecascade.tokens import families
from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.files.checks import check_added_token
from codecascade.tokens.files.tokenizer_json import Spec

NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")
_CONFIG_FILE = "tokenizer_config.json"
_SPECIAL_TOKENS_FILE = "special_tokens_map.json"
_ADDED_TOKENS_FILE = "added_tokens.json"
_MOST_CONFIG = 16 << 20
_MOST_TEMPLATE = 1 << 20
_LONGEST_ID = 9
_Value = TypeVar("_Value")


def read_tokenizer_config(folder: Path) -> dict[str, Any]:
    """``tokenizer_config.json`` with what other files of the folder hold in its place.

    ``added_tokens_decoder`` is a list of entries as in ``tokenizer.json``.

    Raises:
        UserError: a file can't be read, or a value that counts here is of another type; file and key are named.
    """
    named: dict[str, Any] = {}
    config: dict[str, Any] = {}
    for name, values in ((_SPECIAL_TOKENS_FILE, named), (_CONFIG_FILE, config)):
        if os.path.lexists(folder / name):
            values |= read_object(folder / name, _MOST_CONFIG)
            _with_file_named(folder / name, partial(_check_named_tokens, values))
    # as for transformers 5, whose own folders have this key: in older ones the other file counts for more
    config = {**named, **config} if "added_tokens_decoder" in config else {**config, **named}
    template = _read_template(folder, config.pop("chat_template", None))
    if template is not None:
        config["chat_template"] = template
    if "added_tokens_decoder" in config:
        config["added_tokens_decoder"] = _with_file_named(
            folder / _CONFIG_FILE, lambda: _tokens_by_id(config["added_tokens_decoder"])
        )
    elif os.path.lexists(folder / _ADDED_TOKENS_FILE):
        added = read_object(folder / _ADDED_TOKENS_FILE, _MOST_CONFIG)
        config["added_tokens_decoder"] = _with_file_named(
            folder / _ADDED_TOKENS_FILE, lambda: _tokens_by_name(added)
        )
    return config


def with_config_tokens(spec: Spec, config: Mapping[str, Any]) -> Spec:
    """``spec`` with the added tokens that only the configuration lists, as transformers adds them on loading."""
    known = {token["content"] for token in spec["added_tokens"]}
    listed = sorted(config.get("added_tokens_decoder", ()), key=lambda token: int(token["id"]))
    return {
        **spec,
        "added_tokens": [*spec["added_tokens"], *(t for t in listed if t["content"] not in known)],
    }


def token_name(value: Any) -> str | None:
    """The name of a token that is given as text, or as an object that holds it; None for an empty one."""
    name: str | None = value["content"] if isinstance(value, dict) else value
    return name or None


def saved_config(
    config: Mapping[str, Any], names: Mapping[str, str | None], adds_bos: bool
) -> dict[str, Any]:
    """The ``tokenizer_config.json`` of a tokenizer, as :meth:`Tokenizer.save` writes it."""
    passing = {"added_tokens_decoder", "auto_map", "tokenizer_file", "sp_model_kwargs", "legacy"}
    return {
        "clean_up_tokenization_spaces": False,
        "model_max_length": int(1e30),
        **{key: value for key, value in config.items() if key not in passing and key not in NAMED_TOKENS},
        **{key: name for key, name in names.items() if name is not None},
        "add_bos_token": adds_bos,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def chat_format(template: str | None, control: Mapping[str, int]) -> str | None:
    """The dialogue format that a folder's template, or else its control tokens, speak of.

    "llama2", "chatml", "step" (Code Llama 70B's) or, for a template of any other kind, "template"; None without any.
    """
    if template is None:
        if "<step>" in control:
            return "step"
        return "chatml" if "<|im_start|>" in control and "<|im_end|>" in control else None
    if "<<SYS>>" in template and "[INST]" in template:
        return "llama2"
    return "chatml" if "<|im_start|>" in template else "template"


def _check_named_tokens(values: Mapping[str, Any]) -> None:
    for key in NAMED_TOKENS:
        value = values.get(key)
        name = value.get("content", 0) if isinstance(value, dict) else value
        if not isinstance(name, str | None):
            raise UserError(f"must be text (got {short(value)})", key=key)
    flag(values, "add_bos_token")


def _read_template(folder: Path, value: Any) -> str | None:
    """The folder's chat template: a file of its own, or what ``tokenizer_config.json`` says (``value``)."""
    file = folder / "chat_template.jinja"
    if os.path.lexists(file):
        return decode_text(read_bytes(file, _MOST_TEMPLATE), file)
    if value is not None:
        return _with_file_named(folder / _CONFIG_FILE, lambda: named_template(value))
    # transformers 4 wrote it there for models that also read images
    file = folder / "chat_template.json"
    if os.path.lexists(file):
        content = read_object(file, _MOST_CONFIG).get("chat_template")
        return _with_file_named(file, lambda: named_template(content))
    return None


def named_template(value: Any) -> str | None:
    """A chat template that is given as text or as a list of named ones: the one named "default", or the only one.

    Raises:
        UserError: it is neither, too long, or none of several is the default.
    """
    if isinstance(value, dict):
        value = [{"name": name, "template": template} for name, template in value.items()]
    if isinstance(value, list):
        if not all(isinstance(entry, dict) for entry in value):
            raise UserError("must be text, or a list of named templates", key="chat_template")
        named = [entry.get("template") for entry in value if entry.get("name") == "default"] or [
            entry.get("template") for entry in value
        ]
        if len(named) > 1:
            names = listed([short(entry.get("name")) for entry in value])
            raise UserError(f"must have one template named 'default' (has {names})", key="chat_template")
        value = named[0] if named else None
    if not isinstance(value, str | None):
        raise UserError(f"must be text (got {short(value)})", key="chat_template")
    if value is not None and len(value) > _MOST_TEMPLATE:
        raise UserError(f"is longer than {_MOST_TEMPLATE:,} characters", key="chat_template")
    return value


def _tokens_by_id(value: Any) -> list[Spec]:
    if not isinstance(value, dict):
        raise UserError("must be an object", key="added_tokens_decoder")
    tokens = []
    for token_id, entry in value.items():
        key = f"added_tokens_decoder.{short(token_id)}"
        if not (token_id.isdecimal() and token_id.isascii() and len(token_id) <= _LONGEST_ID):
            raise UserError("is no id", key=key)
        if not isinstance(entry, dict):
            raise UserError("must be an object", key=key)
        check_added_token({**entry, "id": int(token_id)}, key)
        special = flag(entry, "special")
        tokens.append(tokenizer_json.added_token(entry["content"], int(token_id), special=special))
    return tokens


def _tokens_by_name(values: Mapping[str, Any]) -> list[Spec]:
    for name, token_id in values.items():
        check_added_token({"content": name, "id": token_id}, short(name))
    return [tokenizer_json.added_token(name, int(token_id)) for name, token_id in values.items()]


def _with_file_named(file: Path, read: Callable[[], _Value]) -> _Value:
    """What ``read`` gives; its errors name the file."""
    try:
        return read()
    except UserError as error:
        raise UserError(error.message, file=file, key=error.key) from None


def control_token_ids(
    spec: Spec, vocabulary: Mapping[str, int], named: Iterable[str | None]
) -> dict[str, int]:
    """Control tokens by name: flagged special, named in the configuration, or known from a family."""
    added = {
        token["content"]
        for token in spec["added_tokens"]
        if token["special"] or families.is_control(token["content"])
    }
    known = families.control_pieces(vocabulary)
    return {name: vocabulary[name] for name in (*added, *known, *named) if name in vocabulary}
