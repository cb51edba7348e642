"""Texts drawn at temperature 1 from a random model are instances of their grammar."""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from slow_grammars import slow_grammars

from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.generator import LocalGenerator
from codecascade.generation.engine.sampling import grammar_compiler, grammar_matcher
from codecascade.generation.engine.sampling.grammar_compiler import GrammarCompiler
from codecascade.generation.engine.sampling.grammar_matcher import GrammarMatcher
from codecascade.generation.grammar import Grammar, GrammarKind
from codecascade.generation.requests import (
    Completion,
    Request,
    SamplingParams,
    chat_request,
    completion_request,
)
from codecascade.generation.streaming import QueueFull
from codecascade.ground.errors import UserError
from codecascade.model.llama import Llama
from codecascade.tokens.chat import Message, with_chat_format
from codecascade.tokens.tokenizer import Tokenizer

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 5},
        "size": {"type": "integer", "minimum": 3, "maximum": 40},
        "kind": {"enum": ["a", "bc"]},
        "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 2},
    },
    "required": ["name", "size", "kind", "tags"],
    "additionalProperties": False,
}


def sampled(
    model: Llama, tokenizer: Tokenizer, grammar: Grammar, samples: int = 8, tokens: int = 80
) -> list[Completion]:
    sampling = SamplingParams(max_new_tokens=tokens, temperature=1.0, seed=3)
    request = Request(
        tuple(tokenizer.encode("x = ", bos=True)),
        sampling,
        samples=samples,
        grammar=grammar,
        beyond_context=True,
    )
    return list(LocalGenerator(model, tokenizer).generate([request, request]))


def test_json_of_a_schema(model: Llama, tokenizer: Tokenizer) -> None:
    completions = sampled(model, tokenizer, Grammar("json_schema", json.dumps(SCHEMA)), tokens=300)
    ended = [one for one in completions if one.finish_reason == "stop"]
    assert len(ended) > 2
    for one in ended:
        value = json.loads(one.text)
        assert set(value) == {"name", "size", "kind", "tags"}
        assert isinstance(value["name"], str) and len(value["name"]) <= 5
        assert value["kind"] in ("a", "bc") and 3 <= value["size"] <= 40
        assert len(value["tags"]) <= 2 and all(isinstance(tag, bool) for tag in value["tags"])
    assert len({one.text for one in ended}) > 1


def test_json_objects(model: Llama, tokenizer: Tokenizer) -> None:
    completions = sampled(model, tokenizer, Grammar("json_object"), tokens=100)
    texts = [one.text for one in completions if one.finish_reason == "stop"]
    assert texts
    for text in texts:
        assert isinstance(json.loads(text), dict)
    assert all(one.text.lstrip().startswith("{") for one in completions)


@pytest.mark.parametrize("pattern", [r"[a-c]{2,5}-(\d\d|é)", r"x", r"(ab)*c?"])
def test_regular_expressions(model: Llama, tokenizer: Tokenizer, pattern: str) -> None:
    for one in sampled(model, tokenizer, Grammar("regex", pattern)):
        assert one.finish_reason == "length" or re.fullmatch(pattern, one.text)


def test_grammars_in_larks_notation(model: Llama, tokenizer: Tokenizer) -> None:
    grammar = Grammar("lark", 'start: pair ("," pair)* "!"\npair: NAME "=" NAME\nNAME: /[xy]{1,2}/')
    texts = {one.text for one in sampled(model, tokenizer, grammar) if one.finish_reason == "stop"}
    assert texts
    for text in texts:
        assert re.fullmatch(r"[xy]{1,2}=[xy]{1,2}(,[xy]{1,2}=[xy]{1,2})*!", text)


def test_a_text_that_may_end_ends_on_any_stop_token_of_its_request(
    model: Llama, tokenizer: Tokenizer
) -> None:
    matcher = GrammarCompiler(tokenizer).matcher(Grammar("regex", "a?b*"))
    stop_ids = sorted(tokenizer.stop_ids)
    mask = matcher.mask(stop_ids)
    allowed = {token for token in range(tokenizer.vocab_size) if int(mask[token // 32]) >> token % 32 & 1}
    assert set(stop_ids) <= allowed and not allowed & (tokenizer.special_ids - set(stop_ids))
    matcher.push(tokenizer.encode_continuation("b")[0])
    assert not matcher.is_finished
    assert not int(matcher.mask(())[stop_ids[0] // 32]) >> stop_ids[0] % 32 & 1


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("json_schema", "{no"),
        ("json_schema", '"text"'),
        ("json_schema", '{"type": "unheard"}'),
        ("json_schema", '{"$ref": "http://example.com/schema"}'),
        ("json_schema", "[" * 100_000),
        ("json_schema", '{"not": ' * 2000 + "{}" + "}" * 2000),
        ("regex", "(a"),
        ("lark", "start: missing"),
    ],
    ids=range(8),
)
def test_what_cannot_be_used_is_refused_in_one_sentence(tokenizer: Tokenizer, kind: str, text: str) -> None:
    with pytest.raises(UserError, match=f"grammar {kind}") as error:
        GrammarCompiler(tokenizer).matcher(Grammar(kind, text))
    assert len(str(error.value)) < 1000 and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("regex", "(((a{1000}){1000}){1000})"),
        ("regex", "(a|aa|aaa|b*)*" * 30 + "c"),
        ("lark", 'start: a a a a a a a a\na: a a | "x" |'),
        ("json_schema", '{"anyOf": [' + ",".join(f'{{"const": "{n:0200}"}}' for n in range(500)) + "]}"),
        ("json_schema", json.dumps({"type": "array", "items": {"$ref": "#"}, "maxItems": 10**9})),
    ],
    ids=range(5),
)
def test_hostile_grammars_cost_a_bounded_work(tokenizer: Tokenizer, kind: str, text: str) -> None:
    start = time.process_time()
    with contextlib.suppress(UserError):
        matcher = GrammarCompiler(tokenizer).matcher(Grammar(kind, text))
        for _ in range(5):
            mask = matcher.mask(())
            allowed = [
                token for token in range(tokenizer.vocab_size) if int(mask[token // 32]) >> token % 32 & 1
            ]
            if not allowed or matcher.is_broken or matcher.is_finished:
                break
            matcher.push(allowed[-1])
    assert time.process_time() - start < 20


def test_the_engine_refuses_a_request_with_a_broken_grammar(model: Llama, tokenizer: Tokenizer) -> None:
    with pytest.raises(UserError, match="grammar regex"):
        sampled(model, tokenizer, Grammar("regex", "(a"))


def test_the_library_is_named_where_it_is_missing(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name == "llguidance":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"codecascade\[grammar\]"):
        GrammarCompiler(tokenizer).matcher(Grammar("json_object"))


@pytest.mark.parametrize(
    ("kind", "text"),
    [("json_object", "{}"), ("regex", ""), ("lark", " "), ("gbnf", "x"), ("regex", "a" * 2_000_000)],
)
def test_grammars_that_say_nothing_are_refused(kind: str, text: str) -> None:
    with pytest.raises(UserError, match="grammar"):
        Grammar(kind, text)


def test_a_grammar_and_healing_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="grammar"):
        Request((1,), required=b"x", grammar=Grammar("json_object"))


def test_a_grammar_is_read_once_however_many_threads_ask(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Grammar] = []
    original = grammar_compiler._matcher

    def counted(grammar: Grammar, library_tokenizer: Any, begun: threading.Event) -> Any:
        read.append(grammar)
        time.sleep(0.05)
        return original(grammar, library_tokenizer, begun)

    monkeypatch.setattr(grammar_compiler, "_matcher", counted)
    compiler = GrammarCompiler(tokenizer)
    grammars = [Grammar("regex", f"a{{{n}}}") for n in (1, 2)]
    with ThreadPoolExecutor(8) as threads:
        matchers = list(threads.map(compiler.matcher, grammars * 8))
    assert sorted(read, key=str) == grammars
    assert len(set(map(id, matchers))) == 2


def test_a_grammar_that_is_not_read_in_time_is_refused_and_may_come_again(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = slow_grammars(monkeypatch)
    compiler = GrammarCompiler(tokenizer, seconds=0.05)
    with pytest.raises(UserError, match=r"grammar regex: can't be used: takes longer than 0\.05 s"):
        compiler.matcher(Grammar("regex", "a"))
    ready.set()
    compiler = GrammarCompiler(tokenizer)
    assert not compiler.matcher(Grammar("regex", "a")).is_broken


class SlowMatcher:
    """The library's matcher, as far as it is used; its masks allow everything, and from the third on take long."""

    def __init__(self, words: int) -> None:
        self.words, self.masks, self.ready = words, 0, threading.Event()

    def deep_copy(self) -> SlowMatcher:
        return SlowMatcher(self.words)

    def is_error(self) -> bool:
        return False

    def is_stopped(self) -> bool:
        return False

    def consume_token(self, token: int) -> None: ...

    def unsafe_compute_mask_ptr(self, address: int, size: int) -> None:
        self.masks += 1
        if self.masks > 2:
            self.ready.wait(3)
        ctypes.memset(address, 0xFF, size)


def test_a_text_that_waits_too_long_for_its_masks_stays_unfinished(
    model: Llama, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grammar_matcher, "_SECONDS", 0.3)
    slow = SlowMatcher(-(-tokenizer.vocab_size // 32))
    matcher = GrammarMatcher(slow, tokenizer.end_of_document_id, tokenizer.vocab_size)  # type: ignore[arg-type]
    engine = Engine(model, tokenizer)
    request = Request((5, 6, 7), SamplingParams(20), stop_ids=frozenset({3}), grammar=Grammar("regex", "x"))
    engine.add_request(request, matcher)
    other = engine.add_request(Request((5, 6, 7), SamplingParams(20), stop_ids=frozenset()))
    done = {}
    while engine.has_work:
        for output in engine.step():
            if output.completion is not None:
                done[output.request] = output.completion
    ended = done.pop(0)
    assert (ended.finish_reason, ended.stopped_by, len(ended.ids)) == ("length", None, 2)
    assert len(done[other].ids) == 20


def test_a_grammar_leaves_the_prompt_whole(tokenizer: Tokenizer) -> None:
    grammar, prompt = Grammar("regex", "x+"), "def f(x):\n    retur"
    healed = completion_request(tokenizer, prompt, SamplingParams())
    whole = completion_request(tokenizer, prompt, SamplingParams(), grammar=grammar)
    assert healed.required and not whole.required
    assert list(whole.ids) == tokenizer.encode(prompt, bos=True) and whole.grammar == grammar


@pytest.mark.parametrize("prefill", ["", "```\nretur"])
def test_a_reply_may_be_an_instance_of_a_grammar(tokenizer: Tokenizer, prefill: str) -> None:
    chatting = with_chat_format(tokenizer, "llama2")
    grammar = Grammar("regex", "x+")
    messages = [Message("user", "hi")]
    request = chat_request(chatting, messages, SamplingParams(), prefill=prefill, grammar=grammar)
    assert request.grammar == grammar and not request.required


@pytest.mark.parametrize("kind", ["completion", "llama2"])
def test_an_instance_keeps_the_space_that_it_begins_with(
    model: Llama, tokenizer: Tokenizer, kind: str
) -> None:
    """A family may put a space before a text; a grammar is told it, so it is no part of the spelling."""
    grammar = Grammar("regex", " (yes|no)")
    sampling = SamplingParams(20, temperature=1.0)
    if kind == "completion":
        request = completion_request(tokenizer, "", sampling, grammar=grammar, samples=4)
    else:
        tokenizer = with_chat_format(tokenizer, kind)
        request = chat_request(tokenizer, [Message("user", "hi")], sampling, grammar=grammar, samples=4)
    texts = [one.text for one in LocalGenerator(model, tokenizer).generate([request])]
    assert len(texts) == 4 and set(texts) <= {" yes", " no"}


CHAINS = {
    "json_schema": json.dumps(
        {
            "$defs": {f"a{n}": {"$ref": f"#/$defs/a{n + 1}"} for n in range(3000)}
            | {"a3000": {"type": "string"}}
        }
        | {"$ref": "#/$defs/a0"}
    ),
    "lark": "start: x0\n" + "".join(f'x{n}: x{n + 1} "b"\n' for n in range(6000)) + 'x6000: "a"',
}


@pytest.mark.parametrize("kind", CHAINS)
def test_references_to_references_do_not_end_the_process(tokenizer: Tokenizer, kind: GrammarKind) -> None:
    """In a thread of the usual stack the library would run over its end."""
    matcher = GrammarCompiler(tokenizer, seconds=120).matcher(Grammar(kind, CHAINS[kind]))
    assert matcher.mask(()).any() and not matcher.is_broken


def test_grammars_that_wait_for_others_are_refused_as_a_full_queue(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's own grammar is not called too slow because those of others are."""
    ready = slow_grammars(monkeypatch)
    compiler = GrammarCompiler(tokenizer, seconds=0.2)
    # as many as are read at a time, which take longer than they may, and go on
    slow_ones = [compiler.compile(Grammar("regex", "a" * n)) for n in range(1, 5)]
    assert all(isinstance(each.exception(), UserError) for each in slow_ones)
    with pytest.raises(QueueFull, match="try again"):
        compiler.matcher(Grammar("regex", "b"))
    ready.set()
    assert not GrammarCompiler(tokenizer).matcher(Grammar("regex", "b")).is_broken
