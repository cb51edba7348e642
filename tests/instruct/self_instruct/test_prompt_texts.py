"""Prompt files: the shipped ones are right, a user's replace them, and mistakes in them are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from codecascade.generation.backend import ChatPrompt, TextPrompt
from codecascade.ground.errors import UserError
from codecascade.instruct.self_instruct.prompt_texts import PromptFile, PromptTexts
from codecascade.instruct.self_instruct.steps.solutions import solutions_prompt
from codecascade.instruct.self_instruct.steps.tests import tests_prompt as the_tests_prompt

NEEDED = frozenset({"question"})


def prompt_file(text: str, *, chat: bool = True, known: frozenset[str] = frozenset()) -> PromptFile:
    return PromptFile(Path("x.txt"), text, chat, NEEDED, NEEDED | known)


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("make", [the_tests_prompt, solutions_prompt])
def test_the_shipped_files_are_right(make: object, chat: bool) -> None:
    assert make(PromptTexts(), chat=chat).text  # type: ignore[operator]


def test_a_chat_file_is_messages_and_the_beginning_of_the_reply() -> None:
    made = prompt_file(
        "=== system ===\nBe brief.\n=== user ===\nSay {{ question }}!\n=== assistant ===\n[A]\n"
    ).prompt({"question": "a {{question}}\n=== user ===\nb"}, ("\n[/A]",))
    assert isinstance(made, ChatPrompt)
    assert [(message.role, message.content) for message in made.messages] == [
        ("system", "Be brief."),
        ("user", "Say a {{question}}\n=== user ===\nb!"),
    ]
    assert (made.prefill, made.stop) == ("[A]\n", ("\n[/A]",))
    without = prompt_file("=== user ===\n{{question}}\n").prompt({"question": "a"})
    assert isinstance(without, ChatPrompt)
    assert without.prefill == ""


def test_a_plain_file_is_a_text_that_ends_in_one_line_break() -> None:
    made = prompt_file("Q: {{question}}\n\n\n", chat=False).prompt({"question": "a"})
    assert isinstance(made, TextPrompt)
    assert made.prompt == "Q: a\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("=== user ===\nhello", r"lacks \{\{question\}\}"),
        (
            "=== user ===\n{{question}} {{questin}}",
            r"unknown placeholder \{\{questin\}\}; did you mean 'question'",
        ),
        ("{{question}}", "must begin with a line such as === user ==="),
        ("=== robot ===\n{{question}}", "a message of 'robot'"),
        ("=== assistant ===\n{{question}}", "must take turns"),
        ("=== user ===\n{{question}}\n=== user ===\nb", "must take turns"),
        ("=== user ===\n{{question}}\n=== system ===\nb", "not the first one"),
        ("=== user ===\n \n=== assistant ===\n{{question}}", "an empty message of 'user'"),
        ("=== system ===\n{{question}}", "must take turns"),
    ],
)
def test_mistakes_are_named_with_the_file(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        prompt_file(text)
    assert caught.value.file == "x.txt"


def test_a_file_as_windows_writes_it(tmp_path: Path) -> None:
    (tmp_path / "chat").mkdir()
    (tmp_path / "chat" / "tests.txt").write_bytes(b"\xef\xbb\xbf=== user ===\r\nMine:\r\n{{question}}\r\n")
    made = the_tests_prompt(PromptTexts(tmp_path), chat=True).prompt({"question": "a"})
    assert isinstance(made, ChatPrompt)
    assert [message.content for message in made.messages] == ["Mine:\na"]


def test_a_users_folder_replaces_single_files(tmp_path: Path) -> None:
    (tmp_path / "chat").mkdir()
    (tmp_path / "chat" / "tests.txt").write_text("=== user ===\nMine: {{question}}\n")
    texts = PromptTexts(tmp_path)
    assert the_tests_prompt(texts, chat=True).text.startswith("=== user ===\nMine")
    assert "Mine" not in the_tests_prompt(texts, chat=False).text
    assert "Mine" not in solutions_prompt(texts, chat=True).text
    with pytest.raises(UserError, match="is no folder"):
        PromptTexts(tmp_path / "none")


@pytest.mark.parametrize(
    "name", ["tests.txt", "chat/test.txt", "chats/tests.txt", "plain/questions-about-code.txt"]
)
def test_a_file_that_would_never_be_read_is_named(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("Mine: {{question}}\n")
    with pytest.raises(UserError, match=r"is no prompt; there are chat/questions\.txt") as caught:
        PromptTexts(tmp_path)
    assert caught.value.file == str(file)


def test_a_folder_without_prompts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds none of the prompts"):
        PromptTexts(tmp_path)
