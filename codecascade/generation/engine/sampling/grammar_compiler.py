"""Reads grammars for the ``llguidance`` library, away from the threads that must not wait.

The library bounds the size of a grammar, and the items and states of each step. A grammar beyond the limits, or one
that is not read, with its first mask, before its deadline, is refused where a request arrives.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

from codecascade.generation.engine.sampling.grammar_matcher import GrammarMatcher
from codecascade.generation.grammar import Grammar
from codecascade.generation.streaming import QueueFull
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
SECONDS = 10.0
"""How long a grammar may take to be read."""
_CACHED = 16
"""Grammars that are kept, with those that were refused: clients send the same one again and again."""
_BUSY = "too many other grammars are being read; try again"
_ANY_OBJECT = '{"type": "object"}'
_READERS, _MOST_WAITING = 4, 64
"""Grammars that are read at a time, and those that are read or wait; more are refused, to come back later."""
_STACK = 1 << 28
"""Bytes of a reader's stack, of which only what is used takes memory: the library follows references, and rules that
name rules, by calling itself, and ends the whole process where its stack ends."""


class GrammarCompiler:
    """Makes matchers for one tokenizer; any thread may ask it.

    Args:
        seconds: how long a grammar may take to be read.
    """

    def __init__(self, tokenizer: Tokenizer, seconds: float = SECONDS) -> None:
        self._tokenizer, self._seconds = tokenizer, seconds
        # These only wait for the readers.
        self._threads = ThreadPoolExecutor(_MOST_WAITING, "grammar")
        self._waiting = 0
        # One that is read at once counts down while it is noted.
        self._lock = threading.RLock()
        self._library_tokenizer: llguidance.LLTokenizer | None = None
        self._library_lock = threading.Lock()
        self._compiled: OrderedDict[Grammar, Future[GrammarMatcher]] = OrderedDict()

    def compile(self, grammar: Grammar) -> Future[GrammarMatcher]:
        """The matcher of a text that has not begun, once it is there. It is shared: take copies of it.

        Its exception is what :meth:`matcher` raises.

        Raises:
            QueueFull: too many others are being read.
        """
        with self._lock:
            if grammar not in self._compiled:
                if self._waiting >= _MOST_WAITING:
                    raise QueueFull(_BUSY)
                self._waiting += 1
                self._compiled[grammar] = self._threads.submit(self._read, grammar)
                self._compiled[grammar].add_done_callback(self._count_down)
                if len(self._compiled) > _CACHED:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(grammar)
            return self._compiled[grammar]

    def matcher(self, grammar: Grammar) -> GrammarMatcher:
        """The same, waited for.

        Raises:
            UserError: the grammar can't be read, takes too long or is beyond the limits, or the library is not
                installed.
            QueueFull: too many others are being read.
        """
        return self.compile(grammar).result()

    def _count_down(self, read: Future[GrammarMatcher]) -> None:
        with self._lock:
            self._waiting -= 1

    def _read(self, grammar: Grammar) -> GrammarMatcher:
        try:
            import llguidance  # noqa: F401
        except ImportError:
            raise UserError(
                "needs the llguidance package; install codecascade[grammar]", key=f"grammar {grammar.kind}"
            ) from None
        with self._library_lock:
            # This takes seconds for a large vocabulary, once, and is no grammar's fault.
            if self._library_tokenizer is None:
                self._library_tokenizer = _library_tokenizer(self._tokenizer)
            tokenizer = self._library_tokenizer
        begun = threading.Event()
        call = _readers().submit(_matcher, grammar, tokenizer, begun)
        if not begun.wait(self._seconds) and call.cancel():
            self._forget(grammar)
            raise QueueFull(_BUSY)
        try:
            matcher, error = call.result(self._seconds)
        except TimeoutError:
            # Perhaps the machine was busy: it may be tried again.
            self._forget(grammar)
            error = f"takes longer than {self._seconds:g} s to read; make it simpler, with fewer repetitions"
        if error:
            raise UserError(f"can't be used: {_first_line(error)}", key=f"grammar {grammar.kind}")
        assert matcher is not None
        return GrammarMatcher(matcher, _eos_id(self._tokenizer), self._tokenizer.vocab_size)

    def _forget(self, grammar: Grammar) -> None:
        with self._lock:
            self._compiled.pop(grammar, None)


@cache
def _readers() -> ThreadPoolExecutor:
    """Threads with a large stack; all begin now, for the size of a stack is that of all threads that begin."""
    before = threading.stack_size(_STACK)
    try:
        pool, begun = ThreadPoolExecutor(_READERS, "grammar reading"), threading.Barrier(_READERS)
        for each in [pool.submit(begun.wait) for _ in range(_READERS)]:
            each.result()
    finally:
        threading.stack_size(before)
    return pool


def _matcher(
    grammar: Grammar, tokenizer: llguidance.LLTokenizer, begun: threading.Event
) -> tuple[llguidance.LLMatcher | None, str]:
    """The library's matcher, or why there is none."""
    import llguidance

    begun.set()
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
        matcher = matcher_class(tokenizer, source, log_level=0, limits=limits)
        if not matcher.is_error():
            # What a grammar costs shows in its first mask, which reads what was only noted before.
            matcher.compute_bitmask()
        return matcher, matcher.get_error() if matcher.is_error() else ""
    except (ValueError, RuntimeError, RecursionError) as failure:
        return None, str(failure) or type(failure).__name__


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
