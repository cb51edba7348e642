"""The page's chat in headless Chromium, before a real server whose model is scripted."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from live_server import soon
from playground_page import editor_text

Open = Callable[..., Any]


Serve = Callable[..., Any]


REPLY = """Some **bold** text and `code`:

```python
def f(x):
    return x
```

1. one
2. two

| a | b |
| - | - |
| 1 | 2 |
"""


HOSTILE = """<script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">

<iframe srcdoc="<script>parent.hacked = 1</script>"></iframe> text <b onclick="hacked = 1">raw</b>

![an image](https://evil.example/pixel.png) [script](javascript:window.hacked=1)
[data](data:text/html,<script>1</script>) [relative](/v1/models) [web](https://good.example/?a=1&b=2)

[reference][r] <https://auto.example> <style>body { display: none }</style>

[r]: javascript:window.hacked=1

```html" onload="hacked=1
<script>window.hacked = 1</script>
```
"""


class TestChat:
    def open_chat(self, server: Any, open_page: Open, question: str = "What?") -> Any:
        page = open_page(server.url)
        page.click("#chat-tab")
        self.say(page, question)
        return page

    def say(self, page: Any, text: str) -> None:
        page.fill("#question", text)
        page.press("#question", "Enter")

    def complete(self, page: Any) -> Any:
        page.locator("#announcement", has_text="complete").wait_for(state="attached")
        return page.locator(".message.assistant .body").last

    def test_markdown(self, served: Serve, open_page: Open) -> None:
        server = served(text=REPLY, context_length=600)
        page = self.open_chat(server, open_page, "<b>What?</b>")
        body = self.complete(page)
        assert page.inner_text(".message.user .body") == "<b>What?</b>"
        assert body.locator("strong").inner_text() == "bold"
        assert body.locator("pre").inner_text() == "def f(x):\n    return x"
        assert body.locator(".tok-keyword").all_inner_texts() == ["def", "return"]
        assert body.locator("ol li").all_inner_texts() == ["one", "two"]
        assert body.locator("td").all_inner_texts() == ["1", "2"]
        assert re.search(r"First word after \d+ ms · \d+ tokens", page.inner_text("#chat-figures"))
        # The next question goes with what was said before.
        self.say(page, "And then?")
        assert soon(lambda: len(server.generator.requests) == 2)
        asked = server.generator.tokenizer.decode(server.generator.requests[1].ids)
        assert asked.index("What?") < asked.index("bold") < asked.index("And then?")
        body.get_by_text("Insert into editor").click()
        assert "def f(x):\n    return x" in editor_text(page)

    def test_it_is_shown_as_it_comes_and_stopped(self, served: Serve, open_page: Open) -> None:
        server = served(text="The *first* words", hold="decode")
        page = self.open_chat(server, open_page)
        page.wait_for_selector(".message.assistant .body > *")
        assert server.generator.running == 1
        page.click("#stop")
        assert soon(lambda: server.generator.cancelled == ["decode"])
        page.get_by_text("Stopped.").wait_for()
        assert page.is_visible("#send")
        page.click("#clear")
        assert page.is_visible("#no-messages") and page.locator(".message").count() == 0

    def test_a_hostile_reply_stays_text(self, served: Serve, open_page: Open) -> None:
        server = served(text=HOSTILE, context_length=4000)
        body = self.complete(page := self.open_chat(server, open_page))
        assert (
            body.locator("script, img, iframe, style, [onclick], [onerror], [onload], [style]").count() == 0
        )
        links = body.locator("a").evaluate_all("links => links.map(link => link.href)")
        assert links == [
            "https://evil.example/pixel.png",
            "https://good.example/?a=1&b=2",
            "https://auto.example/",
        ]
        for link in body.locator("a").all():
            assert "noopener" in link.get_attribute("rel") and link.get_attribute("target") == "_blank"
        assert "<script>window.hacked = 1</script>" in body.inner_text()
        assert page.evaluate("window.hacked === undefined")
        # Nesting that is deeper than anybody writes.
        server.generator.text = "> " * 150 + "x\n\n" + "*" * 150 + "y\n\n" + "[" * 150
        page.click("#clear")
        self.say(page, "Deep")
        page.locator(".message.assistant .body", has_text="[" * 150).wait_for()
        assert "x" in page.inner_text(".message.assistant .body")

    def test_a_reply_without_words_is_a_turn(self, served: Serve, open_page: Open) -> None:
        """Chat formats refuse two questions in a row."""
        server = served(text="", context_length=300, hold="prefill")
        page = self.open_chat(server, open_page, "One?")
        assert soon(lambda: server.generator.running == 1)
        page.click("#stop")
        page.get_by_text("Stopped.").wait_for()
        server.generator.hold = ""
        self.say(page, "Two?")
        self.complete(page)
        server.generator.text = "good words"
        self.say(page, "Three?")
        page.locator(".message.assistant .body", has_text="good words").wait_for()
        assert page.locator(".note.error").count() == 0
        asked = server.generator.tokenizer.decode(server.generator.requests[-1].ids)
        assert asked.index("One?") < asked.index("Two?") < asked.index("Three?")

    def test_only_the_last_reply_is_tried_again(self, served: Serve, open_page: Open) -> None:
        server = served(text="ZZZZZZZZ", raises=RuntimeError("x"), raises_after=3, context_length=300)
        page = self.open_chat(server, open_page, "One?")
        again = page.get_by_role("button", name="Try again")
        again.wait_for()
        self.say(page, "Two?")
        assert soon(lambda: len(server.generator.requests) == 2)
        again.wait_for()
        assert again.count() == 1, "that of the older failure is gone"
        server.generator.raises, server.generator.text = None, "good words"
        again.click()
        page.locator(".message.assistant .body", has_text="good words").wait_for()
        assert page.locator(".message").count() == 4
        asked = server.generator.tokenizer.decode(server.generator.requests[-1].ids)
        assert asked.index("One?") < asked.index("Z") <= asked.rindex("Z") < asked.index("Two?")
