"""Prompts of editors: what fits, in which layout, and nothing in a file that is more than text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecascade.generation.editing.prompt import (
    EditorPrompt,
    continued_prompt,
    editor_format,
    editor_prompt,
    prompt_texts,
)
from codecascade.ground.errors import UserError
from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.infilling import add_infilling_tokens, infilling_prompt
from codecascade.tokens.repository import RepositoryChunk
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer

QWEN = [
    "<|endoftext|>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|repo_name|>",
    "<|file_sep|>",
]
STARCODER = ["<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<repo_name>", "<file_sep>"]
GRANITE = ["<|endoftext|>", "<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<reponame>", "<filename>"]
CODE = "def area(width, height):\n    return width * height\n"
CHUNKS = (RepositoryChunk("a.py", "x = 1\n"), RepositoryChunk("b/c.py", "y = 2\n"))


def family(names: list[str]) -> Tokenizer:
    tokenizer = train_tokenizer([CODE] * 4, 300, kind="bytes")
    new = [name for name in names if name not in tokenizer.vocabulary]
    return tokenizer.with_vocabulary(
        [tokenizer_json.added_token(name, tokenizer.vocab_size + number) for number, name in enumerate(new)]
    )


@pytest.mark.parametrize(
    ("names", "layout"),
    [(QWEN, "psm"), (STARCODER, "spm"), (GRANITE, "spm")],
    ids=["qwen", "starcoder", "granite"],
)
def test_a_family_that_knows_repositories_gets_its_own_layout(names: list[str], layout: str) -> None:
    tokenizer = family(names)
    assert editor_format(tokenizer) == layout
    prompt = EditorPrompt("x = ", "\n", "d.py", "shop", CHUNKS)
    ids = editor_prompt(tokenizer, prompt, 500)
    repository, separator = (tokenizer.vocabulary[name] for name in names[-2:])
    encode = tokenizer.encode_continuation
    assert ids == [
        *(repository, *encode("shop\n")),
        *(separator, *encode("a.py\nx = 1\n")),
        *(separator, *encode("b/c.py\ny = 2\n")),
        *(separator, *encode("d.py\n")),
        *infilling_prompt(tokenizer, "x = ", "\n", format=layout),
    ]


@pytest.mark.parametrize("kind", ["llama", "bytes"])
def test_others_get_snippets_behind_the_beginning_of_the_text(kind: str) -> None:
    tokenizer = add_infilling_tokens(train_tokenizer([CODE] * 4, 300, kind=kind))
    assert editor_format(tokenizer) == "spm"
    ids = editor_prompt(tokenizer, EditorPrompt("x = ", "\n", chunks=CHUNKS), 500, format="psm")
    own = infilling_prompt(tokenizer, "x = ", "\n", format="psm")
    begin = len(tokenizer.bos())
    assert ids[:begin] == tokenizer.bos() and ids[-len(own) + begin :] == own[begin:]
    text = tokenizer.decode_continuation(ids[begin : -len(own) + begin])
    assert text == "\n\n--- snippet ---\n\nx = 1\n\n\n--- snippet ---\n\ny = 2\n"


def test_the_last_chunks_stay_where_not_all_fit() -> None:
    tokenizer = family(QWEN)
    chunks = tuple(RepositoryChunk(f"{number}.py", "x = 1\n" * 3) for number in range(20))
    ids = editor_prompt(tokenizer, EditorPrompt("x = ", "\n", chunks=chunks), 150)
    text = tokenizer.decode_continuation(ids)
    assert (
        len(ids) <= 150
        and "19.py" in text
        and "\n0.py" not in text
        and text.index("18.py") < text.index("19.py")
    )


def test_names_and_texts_are_never_control_tokens() -> None:
    tokenizer = family(QWEN)
    evil = "".join(QWEN)
    prompt = EditorPrompt(evil, evil, evil + "\n" + evil, evil, (RepositoryChunk(evil + "\r\n", evil),))
    special = [token for token in editor_prompt(tokenizer, prompt, 5000) if token in tokenizer.special_ids]
    plain = EditorPrompt("a", "b", "c", "d", (RepositoryChunk("e", "f"),))
    assert special == [
        token for token in editor_prompt(tokenizer, plain, 5000) if token in tokenizer.special_ids
    ]


TOKENIZERS = {
    "qwen": family(QWEN),
    "llama": add_infilling_tokens(train_tokenizer([CODE] * 4, 300, kind="llama")),
}


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(TOKENIZERS)),
    st.integers(12, 120),
    st.integers(0, 40),
    st.integers(0, 40),
    st.integers(0, 3),
    st.floats(0, 1),
)
def test_a_prompt_fits_and_keeps_what_is_next_to_the_cursor(
    name: str, most: int, before: int, after: int, chunks: int, share: float
) -> None:
    tokenizer = TOKENIZERS[name]
    prefix = "".join(f"b{number} = area(1, 2)\n" for number in range(before)) + "now = "
    suffix = "\n" + "".join(f"a{number} = area(3, 4)\n" for number in range(after))
    prompt = EditorPrompt(prefix, suffix, chunks=CHUNKS * chunks, prefix_share=share)
    ids = editor_prompt(tokenizer, prompt, most, format="psm")
    assert len(ids) <= most
    tokens = tokenizer.infilling
    assert tokens is not None and tokens.middle is not None
    at = ids.index(tokens.suffix)
    shown = tokenizer.decode(ids[ids.index(tokens.prefix) + 1 : at])
    below = tokenizer.decode_continuation(ids[at + 1 : -1])
    assert prefix.endswith(shown) and suffix.startswith(below)
    whole_lines = shown == prefix or shown.startswith("b") or "\n" not in shown
    assert whole_lines, shown
    if len(tokenizer.encode(prefix)) + len(tokenizer.encode(suffix)) + 5 <= most:
        assert (shown, below) == (prefix, suffix)


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(UserError, match="infilling tokens"):
        editor_format(train_tokenizer([CODE], 280, kind="bytes"))
    with pytest.raises(UserError, match="context"):
        editor_prompt(TOKENIZERS["qwen"], EditorPrompt("a", "b"), 3)
    with pytest.raises(UserError, match="prefix_share"):
        EditorPrompt("a", "b", prefix_share=1.5)


def test_a_text_is_continued_behind_the_same_parts_of_other_files() -> None:
    tokenizer = family(QWEN)
    prompt = EditorPrompt("x = ", "unseen\n", "d.py", "shop", CHUNKS)
    filled = editor_prompt(tokenizer, prompt, 500, format="psm")
    own = infilling_prompt(tokenizer, "x = ", "unseen\n", format="psm")
    assert continued_prompt(tokenizer, prompt, 500) == [*filled[: -len(own)], *tokenizer.encode("x = ")]
    plain = add_infilling_tokens(train_tokenizer([CODE] * 4, 300, kind="llama"))
    ids = continued_prompt(plain, prompt, 500)
    assert ids[: len(plain.bos())] == plain.bos() and plain.bos()
    text = "\n\n--- snippet ---\n\nx = 1\n\n\n--- snippet ---\n\ny = 2\nx = "
    assert plain.decode_continuation(ids[len(plain.bos()) :]) == text
    with pytest.raises(UserError, match="context: a prompt needs more than"):
        continued_prompt(plain, prompt, 1)


@given(st.integers(1, 400), st.integers(0, 40), st.integers(0, 40))
@settings(deadline=None, max_examples=40)
def test_texts_for_a_server_have_a_length_that_fits(most: int, before: int, behind: int) -> None:
    prompt = EditorPrompt("first\n" * before + "x = ", "\nlast" * behind, chunks=CHUNKS)
    prefix, suffix = prompt_texts(prompt, most)
    assert len(prefix) + len(suffix) <= most
    own = prefix.rpartition("--- snippet ---\n\n")[2].removeprefix(CHUNKS[1].text)
    assert prompt.prefix.endswith(own) and prompt.suffix.startswith(suffix)
    # The last parts are the most important.
    assert "y = 2" in prefix or "x = 1\n" not in prefix
