"""A template is a program that comes with a model: whatever it does, it ends, and with a sentence."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from codecascade.ground.errors import UserError
from codecascade.tokens.chat import Message, chat_stop_ids, encode_chat, encode_dialogue, with_chat_format
from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.templates.control_text import control_text
from codecascade.tokens.templates.renderer import Renderer
from codecascade.tokens.tokenizer import Tokenizer

DOUBLED = (
    "{% set ns = namespace(s='ab') %}{% for i in range(64) %}{% set ns.s = CHANGE %}{% endfor %}"
    "{{ ns.s | length }}"
)
HOSTILE = {
    "nested loops": (
        "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}"
        "{% endfor %}",
        "processor time",
    ),
    "a loop that writes": (
        "{% for a in range(99999) %}{% for b in range(9999) %}xxxxxxxxxx{% endfor %}{% endfor %}",
        "writes more",
    ),
    "a huge range": ("{% for a in range(10 ** 12) %}{% endfor %}", "Range too big"),
    "a huge constant": ("{{ 'x' * 10 ** 11 }}", "memory"),
    "a constant that takes forever": ("{{ 7 ** (7 ** 9) }}", "processor time"),
    "a huge field": ("{{ '%099999999999d' | format(1) }}", ""),
    "a wide centre": ("{{ 'x' | center(10 ** 11) }}", "memory"),
    "doubled by ~": (DOUBLED.replace("CHANGE", "ns.s ~ ns.s"), "takes more"),
    "doubled by replace": (DOUBLED.replace("CHANGE", "ns.s.replace('a', 'aa')"), ""),
    "doubled by join": (DOUBLED.replace("CHANGE", "[ns.s, ns.s] | join"), "takes more"),
    "a macro that calls itself": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "calls itself"),
    "deep parentheses": ("{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}", ""),
    "deep blocks": ("{% if 1 %}" * 5000 + "{% endif %}" * 5000, ""),
    "Python's insides": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
    "globals of a function": ("{{ raise_exception.__globals__['os'] }}", ""),
    "environment": ("{{ self.__init__.__globals__ }}", ""),
    "format string": ("{{ '{0.__class__.__mro__}'.format(1) }}", ""),
    "a file": ("{% include '/etc/passwd' %}", ""),
    "changed arguments": ("{{ messages.append(1) }}", "unsafe"),
    "not Jinja": ("{% for %}", "line 1: "),
    "no end": ("{% for m in messages %}\n\n{{ m.content }}", "line 3: "),
    "undefined": ("{{ nothing.at.all }}", "undefined"),
    "division": ("{{ 1 / 0 }}", "ZeroDivisionError"),
    "its own sentence": ("{{ raise_exception('x' * 100000) }}", "xxx"),
    "an undefined filter": ("{{ messages | nothing }}", "No filter named"),
    "nothing": ("", "writes nothing"),
    "too many tags": (
        "{% for m in messages %}{{ m.content }}{% for n in range(300) %}<t{{ n }}>{% endfor %}{% endfor %}",
        "more than 256 tags",
    ),
    "lone surrogates": ("{{ '\\ud800' }}", ""),
}


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    renderer = Renderer(cpu_seconds=0.2)
    yield renderer
    renderer.close()


@pytest.fixture(autouse=True)
def impatient(renderer: Renderer, monkeypatch: pytest.MonkeyPatch) -> Renderer:
    """A renderer that ends what takes a fifth of a second of processor time."""
    for module in ("control_text", "dialogue"):
        monkeypatch.setattr(f"codecascade.tokens.templates.{module}.RENDERER", renderer)
    return renderer


@pytest.mark.parametrize("name", HOSTILE)
def test_it_ends_with_a_sentence(byte_level: Tokenizer, name: str) -> None:
    template, words = HOSTILE[name]
    tokenizer = byte_level.with_chat_template(template)
    for ask in (
        lambda: encode_chat(tokenizer, [Message("user", "hi")]),
        lambda: encode_dialogue(tokenizer, [Message("user", "hi"), Message("assistant", "x")]),
    ):
        try:
            ids = ask()
        except UserError as error:
            assert words in str(error) and len(str(error)) < 1000
        else:
            assert not words, f"gave {ids}"
    # The next template is rendered as if nothing had been.
    good = byte_level.with_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
    assert good.decode_continuation(encode_chat(good, [Message("user", "hi")])) == "hi"


def test_loading_and_stopping_need_no_template(byte_level: Tokenizer) -> None:
    """A model with a hostile template still completes and infills; only a chat asks for the template."""
    tokenizer = byte_level.with_chat_template(HOSTILE["nested loops"][0])
    assert tokenizer.chat_format == "template" and tokenizer.encode("x")
    assert chat_stop_ids(tokenizer) == frozenset(tokenizer.stop_ids)
    assert with_chat_format(tokenizer) is tokenizer


def test_a_template_sees_no_files_and_writes_none(impatient: Renderer) -> None:
    """Even one that got out of Jinja's sandbox: the process can't open a file."""
    for path in ("/etc/passwd", "/proc/self/environ"):
        (rendered,) = impatient.render("{% include '" + path + "' %}", [{"messages": []}])
        assert rendered.error is not None
    process = impatient._started()
    with open(f"/proc/{process.pid}/limits") as file:
        limits = {line[:26].strip(): line[26:].split()[:2] for line in file}
    assert limits["Max open files"] == ["3", "3"] and limits["Max file size"] == ["0", "0"]


def test_answers_do_not_mix(impatient: Renderer) -> None:
    template = "{{ messages[0].content }}"
    wrong: list[str] = []

    def ask(name: str) -> None:
        for number in range(30):
            text = f"{name} {number}"
            (rendered,) = impatient.render(template, [{"messages": [{"role": "user", "content": text}]}])
            wrong.extend([] if rendered.text == text else [rendered.text])

    threads = [threading.Thread(target=ask, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_forked_process_has_a_renderer_of_its_own(byte_level: Tokenizer) -> None:
    from codecascade.tokens.templates import renderer

    template, messages = "{{ messages[0].content }}", [{"role": "user", "content": "x"}]
    assert renderer.RENDERER.render(template, [{"messages": messages}])[0].text == "x"
    child = os.fork()
    if child == 0:
        status = 1
        try:
            process = renderer.RENDERER._process
            again = renderer.RENDERER.render(template, [{"messages": messages}])[0].text
            renderer.RENDERER.close()
            status = 0 if process is None and again == "x" else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert renderer.RENDERER.render(template, [{"messages": messages}])[0].text == "x"


def test_the_process_ends_with_the_one_that_asks(impatient: Renderer) -> None:
    impatient.render("x", [{"messages": []}])
    process = impatient._started()
    assert process.stdin is not None
    process.stdin.close()
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert process.returncode == 0


def test_a_huge_message_is_rendered(byte_level: Tokenizer) -> None:
    tokenizer = byte_level.with_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
    text = "def f(x): return x\n" * 20_000
    assert tokenizer.decode_continuation(encode_chat(tokenizer, [Message("user", text)])) == text


@pytest.mark.parametrize(
    "written",
    [
        "{{ ' ' * 900000 }}",
        "{{ '  \\n' * 300000 }}",
        "{{ '\\n' * 900000 }}",
        "{{ 'ab: \\n' * 150000 }}",
        "{{ '## a' * 200000 }}",
    ],
)
def test_what_a_template_writes_around_messages_is_looked_through_in_little_time(
    byte_level: Tokenizer, written: str
) -> None:
    tokenizer = byte_level.with_chat_template(written + "{% for m in messages %}{{ m.content }}{% endfor %}")
    start = time.process_time()
    control_text(tokenizer)
    assert time.process_time() - start < 5


def test_a_template_that_repeats_messages_without_an_end_is_refused(byte_level: Tokenizer) -> None:
    tokenizer = byte_level.with_chat_template(
        "{% for n in range(9999) %}{{ '<' * (n % 7) }}{{ messages[0].content }}x{% endfor %}"
    )
    with pytest.raises(UserError, match="repeats messages more than 256 times"):
        encode_chat(tokenizer, [Message("user", "hello")])


def test_a_control_token_of_any_length_ends_with_a_sentence(byte_level: Tokenizer) -> None:
    """What a template writes around messages is compared with every beginning and end of every control token."""
    token = tokenizer_json.added_token("<|" + "x" * 1000 + "|>", byte_level.vocab_size)
    tokenizer = byte_level.with_vocabulary([token]).with_chat_template("{{ messages[0].content }}")
    with pytest.raises(UserError, match="is longer than 256 characters"):
        encode_chat(tokenizer, [Message("user", "hi")])
