"""Text to ids and back, for every kind of byte-pair tokenizer that Llama-architecture models use."""

from __future__ import annotations

import copy
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import atomic_write, write_json
from codecascade.ground.files.reading import read_json
from codecascade.ground.files.values import first_words, short
from codecascade.ground.format import listed
from codecascade.tokens import families
from codecascade.tokens.families import InfillingTokens
from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.files.checks import check_spec, without_missing_unknown
from codecascade.tokens.files.config import (
    NAMED_TOKENS,
    chat_format,
    control_token_ids,
    read_tokenizer_config,
    saved_config,
    token_name,
    with_config_tokens,
)
from codecascade.tokens.files.sentencepiece import read_sentencepiece
from codecascade.tokens.files.tokenizer_json import Spec

log = logging.getLogger(__name__)
_MOST_VOCABULARY = 64 << 20
_GUESSES = {"bos_token": ("<s>",), "eos_token": ("</s>", "<|endoftext|>", "<|end_of_text|>")}

_LONG = 10_000
"""Characters of a text that takes milliseconds to encode."""


class Tokenizer:
    """A tokenizer and what its family does around a text. Immutable: changes make a new one.

    Text is always text: what spells a control token (``</s>``, ``<|im_end|>``, ``▁<PRE>``) is encoded as the
    characters it is made of. Control tokens are put into prompts as ids, by the layouts of this package.
    ``backend`` encodes without the dummy prefix and without BOS: those are added here.

    Args:
        spec: the content of a ``tokenizer.json`` whose model is a byte-pair encoding.
        config: the content of its ``tokenizer_config.json``.
        ends: more ids that end a generation; see :meth:`with_ends`.

    Raises:
        UserError: the model is not a byte-pair encoding, or nothing ends a document.
    """

    def __init__(self, spec: Spec, config: Mapping[str, Any], ends: Iterable[int] = ()) -> None:
        if spec["model"].get("type", "BPE") != "BPE":
            raise UserError(f"is a {spec['model']['type']} model; only byte-pair encodings are supported")
        spec = {**spec, "model": without_missing_unknown(spec["model"])}
        added = {token["content"]: token["id"] for token in spec["added_tokens"]}
        self.vocabulary: dict[str, int] = {**spec["model"]["vocab"], **added}
        self.vocab_size: int = max(self.vocabulary.values()) + 1
        names = {key: token_name(config.get(key)) for key in NAMED_TOKENS}
        for key in ("pad_token", "unk_token"):
            # nothing asks for them, so that a vocabulary without them does no harm
            names[key] = names[key] if names[key] in self.vocabulary else None
        control = control_token_ids(spec, self.vocabulary, names.values())
        for key, guesses in _GUESSES.items():
            if key not in config:
                names[key] = next((name for name in guesses if name in control), None)
        self.special_ids = frozenset(control.values())
        self.backend = tokenizers.Tokenizer.from_str(json.dumps(tokenizer_json.for_encoding(spec, control)))
        # what spells a special token is text
        self.backend.encode_special_tokens = True
        # the library numbers added tokens itself, without gaps
        for name, token_id in added.items():
            if self.backend.token_to_id(name) != token_id:
                raise UserError(
                    f"added token {short(name)} can't have id {token_id}: the ids before it are not all taken"
                )
        self._dummy_prefix = tokenizer_json.dummy_prefix(spec)

        self.bos_id = self._id_of(names["bos_token"], "bos_token")
        self.eos_id = self._id_of(names["eos_token"], "eos_token")
        end = families.end_of_document(control, names["eos_token"])
        if end is None:
            raise UserError("names no eos_token, and no end-of-text token is in its vocabulary")
        self.end_of_document_id: int = end
        pad = self._id_of(names["pad_token"], "pad_token")
        self.pad_id: int = next(token_id for token_id in (pad, self.eos_id, end) if token_id is not None)
        self.infilling: InfillingTokens | None = families.infilling_tokens(control, end)
        self.ends = tuple(dict.fromkeys(ends))
        named = (self.eos_id, end, self.infilling.end if self.infilling else None)
        self.stop_ids = tuple(
            dict.fromkeys(
                token_id
                for token_id in (*named, *families.stop_ids(control), *self.ends)
                if token_id is not None
            )
        )

        first = tokenizer_json.token_put_first(spec.get("post_processor"))
        template_adds_bos = first is not None and first == self.bos_id
        wanted = config.get("add_bos_token")
        self.adds_bos: bool = self.bos_id is not None and (
            template_adds_bos if wanted is None else bool(wanted)
        )
        if self.adds_bos != template_adds_bos:
            post = (
                tokenizer_json.bos_template(str(names["bos_token"]), *self.bos()) if self.adds_bos else None
            )
            spec = {**spec, "post_processor": post}
        self.spec = spec
        self.config = saved_config(config, names, self.adds_bos, self.vocabulary)
        self.chat_format = chat_format(self.config.get("chat_template"), control)

    def _id_of(self, name: str | None, key: str) -> int | None:
        if name is None:
            return None
        if name not in self.vocabulary:
            raise UserError(f"{short(name)} is not in the vocabulary", file="tokenizer_config.json", key=key)
        return self.vocabulary[name]

    # ---------------------------------------------------------------- text to ids

    def encode(self, text: str, *, bos: bool = False) -> list[int]:
        """The family's encoding of a text, with BOS in front if ``bos`` is set and the family adds one."""
        ids = self.encode_continuation(self._with_prefix(text))
        return [*self.bos(), *ids] if bos else ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """:meth:`encode` of many texts, on all the library's threads."""
        prefixed = [well_formed(self._with_prefix(text)) for text in texts]
        try:
            encodings = self.backend.encode_batch_fast(prefixed, add_special_tokens=False)
        except BaseException as error:
            raise library_error(error, "the tokenizer can't encode a text") from None
        return [encoding.ids for encoding in encodings]

    def encode_continuation(self, text: str) -> list[int]:
        """The ids of a text that continues another: no dummy prefix (an infilling's suffix and middle)."""
        text = well_formed(text)
        try:
            if len(text) > _LONG:
                # Other threads of Python go on while the library encodes a batch, and no others.
                (encoding,) = self.backend.encode_batch_fast([text], add_special_tokens=False)
            else:
                encoding = self.backend.encode(text, add_special_tokens=False)
        except BaseException as error:
            raise library_error(error, "the tokenizer can't encode this text") from None
        ids: list[int] = encoding.ids
        return ids

    def encode_after_special(self, text: str) -> list[int]:
        """The ids of a text between special tokens, as rendering a chat template and encoding it would give."""
        prefixed = self._dummy_prefix is not None and self._dummy_prefix.after_special
        return self.encode(text) if prefixed else self.encode_continuation(text)

    def bos(self) -> list[int]:
        """The ids that come before every document and prompt: BOS, or nothing where the family adds none."""
        return [self.bos_id] if self.adds_bos and self.bos_id is not None else []

    def _with_prefix(self, text: str) -> str:
        return text if self._dummy_prefix is None else self._dummy_prefix.add(text)

    # ---------------------------------------------------------------- ids to text

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids that :meth:`encode` gave; special tokens are left out."""
        text = self.decode_continuation(ids)
        return text.removeprefix(" ") if self._dummy_prefix else text

    def decode_continuation(self, ids: Iterable[int]) -> str:
        """The text of ids in the middle of a text: leading spaces stay; special tokens are left out."""
        return b"".join(map(self.token_bytes, ids)).decode(errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token adds in the middle of a text: none for special tokens and for padding rows."""
        return self.pieces[token_id] if 0 <= token_id < self.vocab_size else b""

    @cached_property
    def pieces(self) -> list[bytes]:
        """:meth:`token_bytes` of every id."""
        byte_level = tokenizer_json.is_byte_level(self.spec)
        literal = {token["id"] for token in self.spec["added_tokens"]} if byte_level else set()
        pieces = [b""] * self.vocab_size
        for piece, token_id in self.vocabulary.items():
            # an added token is written as it is, not in the byte alphabet
            if token_id in literal:
                pieces[token_id] = piece.encode()
            else:
                pieces[token_id] = tokenizer_json.piece_bytes(piece, byte_level=byte_level)
        for token_id in self.special_ids:
            pieces[token_id] = b""
        return pieces

    # ---------------------------------------------------------------- changed copies, folders

    def with_vocabulary(self, added: Sequence[Spec], *, drop: Iterable[int] = ()) -> Tokenizer:
        """A tokenizer with more added tokens (their ids in order, from the next free one) and without ``drop``."""
        dropped = set(drop)
        ends = [token_id for token_id in self.ends if token_id not in dropped]
        kept = [token for token in self.spec["added_tokens"] if token["id"] not in dropped]
        model = self.spec["model"]
        if dropped & set(model["vocab"].values()):
            vocab = {piece: token_id for piece, token_id in model["vocab"].items() if token_id not in dropped}
            model = {**model, "vocab": vocab, "merges": tokenizer_json.merges_within(model["merges"], vocab)}
        return Tokenizer({**self.spec, "added_tokens": [*kept, *added], "model": model}, self.config, ends)

    def with_ends(self, ids: Iterable[int], source: str | Path) -> Tokenizer:
        """A tokenizer whose generations also end on ``ids``; what ends a document in training stays as it is.

        Args:
            source: what names them, for the message where an id is no token's.
        """
        named = tuple(dict.fromkeys(ids))
        if beyond := [token_id for token_id in named if not 0 <= token_id < self.vocab_size]:
            log.warning(
                "%s: eos_token_id: %s is passed over: there are %d tokens",
                source,
                listed(beyond),
                self.vocab_size,
            )
        more = [token_id for token_id in named if 0 <= token_id < self.vocab_size]
        other = copy.copy(self)
        other.ends = tuple(dict.fromkeys((*self.ends, *more)))
        other.stop_ids = tuple(dict.fromkeys((*self.stop_ids, *more)))
        return other

    def within(self, rows: int, source: str | Path) -> Tokenizer:
        """A tokenizer without the tokens that have no row in a model of so many: they can't be asked for nor written.

        Args:
            source: the model's name, for messages.

        Raises:
            UserError: what ends a document, or begins every text, is among them.
        """
        if self.vocab_size <= rows:
            return self
        beyond = {name: token_id for name, token_id in self.vocabulary.items() if token_id >= rows}
        for key, token_id in {"eos_token": self.eos_id, "bos_token": self.bos_id}.items():
            if token_id is not None and token_id >= rows:
                raise UserError(
                    f"{short(self.config[key])} has the id {token_id}, but the model only {rows:,} rows",
                    file=source,
                    key=key,
                )
        names = sorted(beyond, key=beyond.__getitem__)
        log.warning(
            "%s: %d tokens from id %d on have no row in the model and are left out: %s",
            source,
            len(beyond),
            rows,
            listed(names),
        )
        return self.with_vocabulary([], drop=beyond.values())

    def with_chat_template(self, template: str) -> Tokenizer:
        """A tokenizer whose folder carries this ``chat_template``."""
        return Tokenizer(self.spec, {**self.config, "chat_template": template}, self.ends)

    def without_chat_template(self) -> Tokenizer:
        """A tokenizer whose folder carries none; its vocabulary alone tells the format."""
        config = {key: value for key, value in self.config.items() if key != "chat_template"}
        return Tokenizer(self.spec, config, self.ends)

    def save(self, folder: str | Path) -> None:
        """Write ``tokenizer.json``, ``tokenizer_config.json`` and ``special_tokens_map.json`` into ``folder``.

        transformers 4 and 5, vLLM and llama.cpp's converter read them: the class is named
        ``PreTrainedTokenizerFast`` because transformers 5 lets that one take ``tokenizer.json`` as it is,
        while its ``LlamaTokenizer`` puts a pipeline of its own in place of the file's.
        """
        folder = Path(folder)
        fields = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
        decoder = {str(t["id"]): {field: t[field] for field in fields} for t in self.spec["added_tokens"]}
        atomic_write(folder / "tokenizer.json", json.dumps(self.spec, ensure_ascii=False))
        write_json(folder / "tokenizer_config.json", {**self.config, "added_tokens_decoder": decoder})
        write_json(
            folder / "special_tokens_map.json",
            {key: self.config[key] for key in NAMED_TOKENS if self.config.get(key) is not None},
        )


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer of a Hugging Face folder: ``tokenizer.json``, else ``tokenizer.model`` alone.

    Raises:
        UserError: neither file is there, or one can't be read.
    """
    folder = Path(folder)
    file, model = folder / "tokenizer.json", folder / "tokenizer.model"
    config = read_tokenizer_config(folder)
    if os.path.lexists(file):
        spec = tokenizer_json.complete(read_json(file, _MOST_VOCABULARY))
    elif os.path.lexists(model):
        file = model
        spec, names = read_sentencepiece(model)
        config = {**names, **config}
    else:
        raise UserError("holds neither tokenizer.json nor tokenizer.model", file=folder)
    try:
        check_spec(spec)
        return Tokenizer(with_config_tokens(spec, config, folder), config)
    except UserError as error:
        raise UserError(
            error.message, file=folder / error.file if error.file else file, key=error.key
        ) from None
    except BaseException as error:
        raise library_error(error, "is not a tokenizer that can be read", file) from None


def library_error(error: BaseException, message: str, file: Path | None = None) -> BaseException:
    """What to raise for an error of the tokenizers library: it raises plain Exceptions, and panics of Rust's."""
    if isinstance(error, Exception) or type(error).__name__ == "PanicException":
        return UserError(f"{message} ({type(error).__name__}: {first_words(error)})", file=file)
    return error


def well_formed(text: str) -> str:
    """``text`` with U+FFFD for lone surrogates: JSON and command lines can hold them, UTF-8 can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
