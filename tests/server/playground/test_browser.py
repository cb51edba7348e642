"""The page's editor in headless Chromium, before a real server whose model is scripted, and what may go wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from live_server import live, soon
from playground_page import editor_text, ghost, no_ghost, write
from scripted_generator import ScriptedGenerator

from codecascade.generation.streaming import QueueFull
from codecascade.server.settings import ServerSettings
from codecascade.tokens.tokenizer import Tokenizer

Open = Callable[..., Any]


Serve = Callable[..., Any]


BLOCK = "sum(numbers) / (\n        len(numbers)\n    )"


class TestEditor:
    def test_ghost_text_is_shown_and_accepted_with_tab(self, served: Serve, open_page: Open) -> None:
        server = served(text=lambda request, _: BLOCK if "median" in request.editor.suffix else "total + 1")
        page = open_page(server.url)
        page.click("#suggest")
        ghost(page, BLOCK)
        page.keyboard.press("Tab")
        assert f"    return {BLOCK}\n\n\ndef median" in editor_text(page)
        write(page, "total = ")
        ghost(page, "total + 1")
        assert editor_text(page) == "total = ", "the ghost is not in the document"
        page.wait_for_selector("#state[data-state=shown]")
        assert re.search(r"First text \d+ ms.*\d+ tokens · [\d.]+ tokens/s", page.inner_text("#figures"))
        assert "Tab accepts" in page.locator("#announcement").text_content()
        page.keyboard.press("Tab")
        assert editor_text(page) == "total = total + 1"
        page.keyboard.press("Control+z")
        assert editor_text(page) == "total = "

    def test_the_request_has_what_the_page_shows(self, served: Serve, open_page: Open) -> None:
        server = served(text="x")
        page = open_page(server.url)
        page.select_option("#language", "go")
        page.fill("#max-tokens", "17")
        page.press("#max-tokens", "Enter")
        page.locator("#temperature").fill("0.4")
        page.get_by_label("Line").check()
        page.select_option("#format", "spm")
        page.click("#suggest")
        page.wait_for_selector(".ghost")
        (request,) = server.generator.requests
        assert request.sampling.max_new_tokens == 17 and request.sampling.temperature == 0.4
        assert request.editor.lines == "single" and request.editor.language == "go"
        assert request.editor.prefix.endswith("range words {\n\t\t")
        assert request.editor.suffix.startswith("\n\t}\n\treturn counts")
        tokens = server.generator.tokenizer.infilling
        assert request.ids[-1] != tokens.middle and tokens.middle in request.ids
        # It is remembered.
        page.reload()
        page.wait_for_selector("#status[data-state=ready]")
        assert page.input_value("#language") == "go" and page.input_value("#max-tokens") == "17"
        assert "package words" in editor_text(page)

    def test_typing_on_agrees_with_the_ghost_or_ends_it(self, served: Serve, open_page: Open) -> None:
        server = served(text="total + 1")
        page = open_page(server.url)
        write(page, "a = ")
        ghost(page, "total + 1")
        asked = len(server.generator.requests)
        page.keyboard.type("to")
        ghost(page, "tal + 1")
        page.keyboard.press("Control+ArrowRight")
        assert editor_text(page) == "a = total"
        ghost(page, " + 1")
        assert len(server.generator.requests) == asked, "what agrees asks for nothing"
        page.keyboard.type("x")
        ghost(page, "total + 1")
        assert len(server.generator.requests) == asked + 1
        # Escape dismisses; without a ghost Tab indents, and Escape lets the next Tab leave the editor.
        page.keyboard.press("Escape")
        no_ghost(page)
        page.keyboard.press("Home")
        page.keyboard.press("Tab")
        assert editor_text(page) == "    a = totalx"
        page.keyboard.press("Escape")
        page.keyboard.press("Escape")
        page.keyboard.press("Tab")
        assert page.evaluate("!document.activeElement.closest('.cm-editor')")

    def test_what_is_no_longer_wanted_is_cancelled(self, served: Serve, open_page: Open) -> None:
        server = served(text="total + 1", hold="decode")
        page = open_page(server.url)
        for key in ("Escape", "ArrowLeft", "q"):
            write(page, "a = ")
            page.wait_for_selector(".ghost")
            asked = len(server.generator.requests)
            page.keyboard.press(key)
            assert soon(lambda: len(server.generator.cancelled) == asked), key  # noqa: B023
            assert server.generator.cancelled[-1] == "decode"
            if key != "q":
                no_ghost(page)
                assert len(server.generator.requests) == asked and server.generator.running == 0

    def test_a_burst_of_typing_asks_once_and_with_the_switch_off_never(
        self, served: Serve, open_page: Open
    ) -> None:
        server = served(text="x")
        page = open_page(server.url)
        burst = "abcdefghij klm"
        write(page, burst)
        page.wait_for_selector(".ghost")
        # Once, or a few times where the machine is so busy that the keys come slowly, but not at each key.
        assert len(server.generator.requests) < len(burst)
        assert server.generator.requests[-1].editor.prefix == burst
        page.keyboard.press("Escape")
        page.uncheck("#automatic")
        asked = len(server.generator.requests)
        write(page, "abc ")
        page.wait_for_timeout(400)
        assert len(server.generator.requests) == asked
        page.keyboard.press("Alt+\\")
        page.wait_for_selector(".ghost")

    def test_ends_of_lines_are_those_of_the_document(self, served: Serve, open_page: Open) -> None:
        """A piece of the answer may end within one, as pieces of a token do."""
        server = served(text="1\r\ny = 2\r\rz = 3\r\n")
        page = open_page(server.url)
        page.uncheck("#automatic")
        write(page, "x = \nfoo()")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("End")
        page.click("#suggest")
        page.wait_for_selector("#state[data-state=shown]")
        assert page.locator(".ghost").text_content() == "1\ny = 2\n\nz = 3\n"
        page.keyboard.press("Control+ArrowRight")
        assert page.locator(".ghost").text_content() == "\ny = 2\n\nz = 3\n"
        page.keyboard.press("Control+ArrowRight")
        page.keyboard.press("Tab")
        page.keyboard.type("Z")
        assert editor_text(page) == "x = 1\ny = 2\n\nz = 3\nZ\nfoo()"
        assert len(server.generator.requests) == 1

    def test_a_typed_bracket_or_quote_of_the_ghost_is_not_closed(
        self, served: Serve, open_page: Open
    ) -> None:
        server = served(text="foo(bar['x'])")
        page = open_page(server.url)
        page.uncheck("#automatic")
        write(page, "a = ")
        page.click("#suggest")
        ghost(page, "foo(bar['x'])")
        for typed, rest in (("foo(", "bar['x'])"), ("bar[", "'x'])"), ("'", "x'])")):
            page.keyboard.type(typed)
            ghost(page, rest)
        assert editor_text(page) == "a = foo(bar['"
        page.keyboard.press("Tab")
        assert editor_text(page) == "a = foo(bar['x'])"
        assert len(server.generator.requests) == 1
        # Without a ghost that agrees the editor closes as ever.
        page.keyboard.press("Enter")
        page.keyboard.type("(")
        assert editor_text(page) == "a = foo(bar['x'])\n()"


class TestTrouble:
    def test_a_key_is_asked_for_and_kept_in_the_tab(self, served: Serve, open_page: Open) -> None:
        server = served(ServerSettings(names=("tiny",), keys=("right",)), text="x")
        page = open_page(server.url, ready=False)
        page.get_by_text("This server wants an API key.").wait_for()
        page.fill("#key", "wrong")
        page.keyboard.press("Enter")
        page.get_by_text("does not take this key").wait_for()
        # No header takes these characters.
        page.fill("#key", "ключ")
        page.keyboard.press("Enter")
        page.get_by_text("does not take this key").wait_for()
        page.reload()
        page.get_by_text("does not take this key").wait_for()
        page.fill("#key", "right")
        page.keyboard.press("Enter")
        page.wait_for_selector("#status[data-state=ready]")
        assert page.is_hidden("#banner")
        page.reload()
        page.wait_for_selector("#status[data-state=ready]")
        assert page.evaluate("sessionStorage.getItem('codecascade.key')") == "right"
        assert "right" not in page.evaluate("JSON.stringify(localStorage)")
        page.click("#forget")
        page.get_by_text("This server wants an API key.").wait_for()

    def test_a_model_that_can_neither_infill_nor_chat(
        self, served: Serve, open_page: Open, plain_tokenizer: Tokenizer
    ) -> None:
        server = served(tokenizer=plain_tokenizer)
        page = open_page(server.url)
        page.get_by_text("was not trained for infilling, so it can't").wait_for()
        assert page.is_disabled("#suggest")
        page.keyboard.type("abc ")
        page.click("#chat-tab")
        page.get_by_text("has no chat format").wait_for()
        assert page.is_disabled("#question")
        assert server.generator.requests == []

    def test_a_server_that_goes_and_comes_back(self, tokenizer: Tokenizer, open_page: Open) -> None:
        settings = ServerSettings(names=("tiny",))
        with live(lambda: ScriptedGenerator(tokenizer, "x"), settings) as server:
            page = open_page(server.url)
        page.click("#suggest")
        page.get_by_text("The server does not answer. Is").wait_for()
        assert page.get_attribute("#status", "data-state") == "gone"
        with live(lambda: ScriptedGenerator(tokenizer, "x"), settings, port=server.port):
            page.wait_for_selector("#status[data-state=ready]")
            assert page.is_hidden("#banner")
            page.click("#suggest")
            ghost(page, "x")

    def test_refusals_are_shown_where_they_happen(self, served: Serve, open_page: Open) -> None:
        server = served(text="good words", raises=QueueFull())
        page = open_page(server.url)
        page.click("#suggest")
        page.locator("#state", has_text="busy").wait_for()
        page.click("#chat-tab")
        page.fill("#question", "What?")
        page.keyboard.press("Enter")
        page.locator(".note.error", has_text="Too many requests").wait_for()
        # The next one breaks off behind its first words.
        server.generator.raises, server.generator.raises_after = RuntimeError("broken"), 2
        page.get_by_role("button", name="Try again").click()
        page.locator(".note.error", has_text="The generation failed").wait_for()
        assert page.is_hidden("#banner")
        server.generator.raises = None
        page.get_by_role("button", name="Try again").click()
        page.locator(".message.assistant .body", has_text="good words").wait_for()
        assert page.locator(".message").count() == 2
