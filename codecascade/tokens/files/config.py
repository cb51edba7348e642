"""What the files beside a tokenizer's vocabulary say: its named tokens, its added tokens, its chat template."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Container, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from codecascade.ground.errors import UserError
from codecascade.ground.files.reading import decode_text, read_bytes, read_object
from codecascade.ground.files.values import flag, short
from codecascade.ground.format import listed
from codecascade.tokens import families
from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.files.checks import FLAGS, check_added_token
from codecascade.tokens.files.tokenizer_json import Spec

log = logging.getLogger(__name__)
NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")
_OTHER_NAMED_TOKENS = ("sep_token", "cls_token", "mask_token")
# Lists of more special tokens, or objects of them by names; the second is transformers 5's name of the first.
_SPECIAL_TOKENS = ("additional_special_tokens", "extra_special_tokens")
_CONFIG_FILE = "tokenizer_config.json"
_SPECIAL_TOKENS_FILE = "special_tokens_map.json"
_ADDED_TOKENS_FILE = "added_tokens.json"
_MOST_CONFIG = 16 << 20
_MOST_TEMPLATE = 1 << 20
_LONGEST_ID = 9
_Value = TypeVar("_Value")


def read_tokenizer_config(folder: Path) -> dict[str, Any]:
    """``tokenizer_config.json`` with what other files of the folder hold in its place.

    ``added_tokens_decoder`` is a list of entries as in ``tokenizer.json``; so is ``added_tokens.json``, with those of
    the file of that name.

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
    if "added_tokens_decoder" in config:
        config = {key: value for key, value in named.items() if key not in _SPECIAL_TOKENS} | config
    else:
        config |= named
    config.pop(_ADDED_TOKENS_FILE, None)
    template = _read_template(folder, config.pop("chat_template", None))
    if template is not None:
        config["chat_template"] = template
    if "added_tokens_decoder" in config:
        config["added_tokens_decoder"] = _with_file_named(
            folder / _CONFIG_FILE, lambda: _tokens_by_id(config["added_tokens_decoder"])
        )
    elif os.path.lexists(folder / _ADDED_TOKENS_FILE):
        added = read_object(folder / _ADDED_TOKENS_FILE, _MOST_CONFIG)
        keys = (*NAMED_TOKENS, *_OTHER_NAMED_TOKENS)
        special = {token_name(config.get(key)) for key in keys} | {
            token["content"] for token in _special_tokens(config)
        }
        config[_ADDED_TOKENS_FILE] = _with_file_named(
            folder / _ADDED_TOKENS_FILE, lambda: _tokens_by_name(added, special)
        )
    return config


def with_config_tokens(spec: Spec, config: Mapping[str, Any], source: str | Path) -> Spec:
    """``spec`` with the added tokens that the configuration lists, as transformers adds them on loading.

    Of a token in both, the flags in ``added_tokens_decoder`` count, but those in ``tokenizer.json`` before those in
    ``added_tokens.json``. A token that is special in one stays it. Special tokens that the configuration only names
    become added ones, too: without an id they get the next.

    Args:
        source: what holds the files, for messages.
    """
    stated = {token["content"]: token for token in config.get("added_tokens_decoder", ())}
    added = {
        token["content"]: _with_flags(token, stated.get(token["content"])) for token in spec["added_tokens"]
    }
    others = (*stated.values(), *config.get(_ADDED_TOKENS_FILE, ()))
    for token in sorted(others, key=lambda token: int(token["id"])):
        added.setdefault(token["content"], token)

    vocabulary = {**spec["model"]["vocab"], **{name: token["id"] for name, token in added.items()}}
    first = next_id = max(vocabulary.values()) + 1
    for token in _special_tokens(config):
        if token["content"] in added:
            continue
        token_id = vocabulary.get(token["content"], next_id)
        next_id += token_id == next_id
        added[token["content"]] = {**token, "id": token_id}
    if next_id > first:
        log.warning(
            "%s: the configuration names special tokens that are not in the vocabulary; as in transformers they get "
            "the ids from %d on: %s",
            source,
            first,
            listed([name for name, token in added.items() if token["id"] >= first]),
        )
    return {**spec, "added_tokens": list(added.values())}


def _with_flags(token: Spec, stated: Spec | None) -> Spec:
    if stated is None:
        return token
    return {**stated, "id": token["id"], "special": token["special"] or stated["special"]}


def _special_tokens(config: Mapping[str, Any]) -> list[Spec]:
    """The tokens of the lists of special ones, without their ids."""
    tokens = []
    for key in _SPECIAL_TOKENS:
        value = config.get(key) or ()
        for entry in value.values() if isinstance(value, dict) else value:
            token = entry if isinstance(entry, dict) else {"content": entry}
            if token["content"]:
                tokens.append(_added_token({**token, "id": 0}, special=True))
    return tokens


def _added_token(entry: Mapping[str, Any], *, special: bool) -> Spec:
    """An entry of ``added_tokens``, with transformers' defaults of the flags that are not stated."""
    token = tokenizer_json.added_token(entry["content"], int(entry["id"]), special=special)
    stated = {name: entry[name] for name in FLAGS if entry.get(name) is not None}
    return {**token, "normalized": not special, **stated, "special": special}


def token_name(value: Any) -> str | None:
    """The name of a token that is given as text, or as an object that holds it; None for an empty one."""
    name: str | None = value["content"] if isinstance(value, dict) else value
    return name or None


def saved_config(
    config: Mapping[str, Any],
    names: Mapping[str, str | None],
    adds_bos: bool,
    vocabulary: Mapping[str, int],
) -> dict[str, Any]:
    """The ``tokenizer_config.json`` of a tokenizer, as :meth:`Tokenizer.save` writes it.

    Lists of special tokens keep those in ``vocabulary``: transformers would add the others.
    """
    passing = {
        "added_tokens_decoder",
        _ADDED_TOKENS_FILE,
        "auto_map",
        "tokenizer_file",
        "sp_model_kwargs",
        "legacy",
    }
    special = {key: _kept(config[key], vocabulary) for key in _SPECIAL_TOKENS if config.get(key)}
    return {
        "clean_up_tokenization_spaces": False,
        "model_max_length": int(1e30),
        **{key: value for key, value in config.items() if key not in passing and key not in NAMED_TOKENS},
        **special,
        **{key: name for key, name in names.items() if name is not None},
        "add_bos_token": adds_bos,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def _kept(tokens: Any, vocabulary: Mapping[str, int]) -> Any:
    if isinstance(tokens, dict):
        return {key: token for key, token in tokens.items() if token_name(token) in vocabulary}
    return [token for token in tokens if token_name(token) in vocabulary]


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
    for key in _SPECIAL_TOKENS:
        tokens = values.get(key)
        if not isinstance(tokens, list | dict | None):
            raise UserError(f"must be a list (got {short(tokens)})", key=key)
        for token in tokens.values() if isinstance(tokens, dict) else tokens or ():
            if isinstance(token, dict):
                check_added_token({**token, "id": 0}, key)
            elif not isinstance(token, str):
                raise UserError(f"must hold texts (got {short(token)})", key=key)
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
        tokens.append(_added_token({**entry, "id": token_id}, special=flag(entry, "special")))
    return tokens


def _tokens_by_name(values: Mapping[str, Any], special: Container[str | None]) -> list[Spec]:
    for name, token_id in values.items():
        check_added_token({"content": name, "id": token_id}, short(name))
    entries = [{"content": name, "id": token_id} for name, token_id in values.items()]
    return [_added_token(entry, special=entry["content"] in special) for entry in entries]


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
