"""Texts that are instances of a grammar: which tokens may come next, by the ``llguidance`` library.

The library bounds its own work: the size of a grammar, and the items and states of each step. A grammar beyond the
limits is refused where a request arrives; one that turns out to be too complex later ends its text.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from codecascade.generation.grammar import Grammar
from codecascade.ground.errors import UserError
from codecascade.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    import llguidance

_LIMITS: dict[str, Any] = {
    # about 20 ms of work on regular expressions when a grammar is compiled, 7 ms in each step
    "initial_lexer_fuel": 1_000_000,
    "step_lexer_fuel": 100_000,
    "step_max_items": 50_000,
    "max_items_in_row": 2_000,
    # 1 to 2 KiB each
    "max_lexer_states": 50_000,
    "max_grammar_size": 100_000,
}
_CACHED = 16
"""Compiled grammars that are kept: clients send the same one again and again."""
_ANY_OBJECT = '{"type": "object"}'


class GrammarMatcher:
    """Follows one text."""

    def __init__(self, matcher: llguidance.LLMatcher, eos_id: int, vocab_size: int) -> None:
        self._matcher, self._eos_id = matcher, eos_id
        self._words = -(-vocab_size // 32)

    def copy(self) -> GrammarMatcher:
        """Another text that begins as this one."""
        other = GrammarMatcher.__new__(GrammarMatcher)
        other.__dict__.update(self.__dict__, _matcher=self._matcher.deep_copy())
        return other

    @property
    def is_broken(self) -> bool:
        """Whether the text can't go on, because the grammar became too complex."""
        return self._matcher.is_error()

    @property
    def is_finished(self) -> bool:
        """Whether the text is an instance to which nothing can be added."""
        return self._matcher.is_stopped()

    def mask(self, stop_ids: Sequence[int]) -> NDArray[np.int32]:
        """The tokens that may come next, as bits of (vocabulary / 32, rounded up) numbers, the lowest first.

        Args:
            stop_ids: the tokens that end the text; allowed where it may end.
        """
        mask = np.zeros(self._words, dtype=np.int32)
        if self._matcher.is_error() or self._matcher.is_stopped():
            ends = True
        else:
            self._matcher.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)
            ends = bool(_bit(mask, self._eos_id)) or self._matcher.is_error()
        for token in {*stop_ids, self._eos_id}:
            _set_bit(mask, token, ends and token in stop_ids)
        return mask

    def push(self, token: int) -> None:
        """The text has one more token, which the mask allowed; not one that ended it."""
        self._matcher.consume_token(token)


class GrammarCompiler:
    """Makes matchers for one tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._library_tokenizer: llguidance.LLTokenizer | None = None
        self._compiled: OrderedDict[Grammar, GrammarMatcher] = OrderedDict()
        # requests are checked where they arrive, beside the engine's thread
        self._lock = threading.Lock()

    def matcher(self, grammar: Grammar) -> GrammarMatcher:
        """A matcher of a text that has not begun.

        Raises:
            UserError: the grammar can't be read or is beyond the limits, or the library is not installed.
        """
        with self._lock:
            if grammar not in self._compiled:
                self._compiled[grammar] = self._compile(grammar)
                if len(self._compiled) > _CACHED:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(grammar)
            return self._compiled[grammar].copy()

    def _compile(self, grammar: Grammar) -> GrammarMatcher:
        try:
            import llguidance
        except ImportError:
            raise UserError(
                "needs the llguidance package; install codecascade[grammar]", key=f"grammar {grammar.kind}"
            ) from None
        if self._library_tokenizer is None:
            self._library_tokenizer = _library_tokenizer(self._tokenizer)
        matcher_class = llguidance.LLMatcher
        try:
            if grammar.kind == "regex":
                source = matcher_class.grammar_from_regex(grammar.text)
            elif grammar.kind == "lark":
                source = matcher_class.grammar_from_lark(grammar.text)
            else:
                # White space is free in JSON, and a model that may write it without end does.
                source = matcher_class.grammar_from_json_schema(
                    grammar.text or _ANY_OBJECT, overrides={"whitespace_pattern": r"[ \n]{0,20}"}
                )
            limits = llguidance.LLParserLimits(**_LIMITS, verbose_errors=False)
            matcher = matcher_class(self._library_tokenizer, source, log_level=0, limits=limits)
            error = matcher.get_error() if matcher.is_error() else ""
        except (ValueError, RuntimeError, RecursionError) as failure:
            error = str(failure)
        if error:
            raise UserError(f"can't be used: {_first_line(error)}", key=f"grammar {grammar.kind}")
        return GrammarMatcher(matcher, _eos_id(self._tokenizer), self._tokenizer.vocab_size)


def _library_tokenizer(tokenizer: Tokenizer) -> llguidance.LLTokenizer:
    import llguidance

    class Wrapper:
        eos_token_id = _eos_id(tokenizer)
        bos_token_id = tokenizer.bos_id
        # A token without bytes can't be part of a text.
        tokens = tokenizer.pieces
        special_token_ids = sorted(tokenizer.special_ids)

        def __call__(self, text: str | bytes) -> list[int]:
            whole = text.decode(errors="replace") if isinstance(text, bytes) else text
            return tokenizer.encode_continuation(whole)

    wrapper: Any = llguidance.TokenizerWrapper(Wrapper())
    return llguidance.LLTokenizer(wrapper, n_vocab=tokenizer.vocab_size, eos_token=_eos_id(tokenizer))


def _eos_id(tokenizer: Tokenizer) -> int:
    return tokenizer.end_of_document_id if tokenizer.eos_id is None else tokenizer.eos_id


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0]


def _bit(mask: NDArray[np.int32], token: int) -> int:
    return int(mask.view(np.uint32)[token // 32]) >> token % 32 & 1


def _set_bit(mask: NDArray[np.int32], token: int, value: bool) -> None:
    words = mask.view(np.uint32)
    bit = np.uint32(1 << token % 32)
    words[token // 32] = words[token // 32] | bit if value else words[token // 32] & ~bit
