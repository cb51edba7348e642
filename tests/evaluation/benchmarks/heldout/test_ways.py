"""In how many ways a true middle can be written and ended, and that their probabilities add up."""

from __future__ import annotations

import inspect
import math
import unicodedata
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codecascade.evaluation.benchmarks.heldout.ways import written_ways
from codecascade.evaluation.running.driver import reference_row
from codecascade.generation.backend import ReferenceScores
from codecascade.tokens.files.pre_tokenizers import PRE_TOKENIZERS
from codecascade.tokens.files.tokenizer_json import added_token, byte_alphabet, byte_level_spec
from codecascade.tokens.healing import heal_infilling
from codecascade.tokens.infilling import add_infilling_tokens, infilling_prompt
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer

LAYOUTS = ("psm", "spm", "left_to_right")
CODE = st.text("ab(),:= \n\r\té\u0301", max_size=30)
PREFIX = "def f():\n    "


@pytest.fixture(scope="module")
def llama() -> Tokenizer:
    return add_infilling_tokens(train_tokenizer([inspect.getsource(inspect)], 600, kind="llama"))


@pytest.fixture(scope="module")
def qwen() -> Tokenizer:
    """As Qwen's: NFC, and a sign and the line break behind it are one token."""
    pieces = [*byte_alphabet(), ")Ċ", ",Ċ", "čĊ", ")čĊ", "ĊĊ", ")ĊĊ", "fo", "foo"]
    merges = ["Ċ Ċ", ") ĊĊ", ") Ċ", ", Ċ", "č Ċ", ") čĊ", "f o", "fo o"]
    end = "<|endoftext|>"
    spec = byte_level_spec(
        {piece: number for number, piece in enumerate(pieces)},
        merges,
        [added_token(end, len(pieces))],
        splits=PRE_TOKENIZERS["qwen2"],
        normalizer={"type": "NFC"},
    )
    return add_infilling_tokens(Tokenizer(spec, {"eos_token": end}))


def text(tokens: Tokenizer, ids: tuple[int, ...]) -> bytes:
    return b"".join(map(tokens.token_bytes, ids))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prefix=CODE,
    middle=CODE.filter(bool),
    suffix=CODE,
    other=CODE,
    layout=st.sampled_from(LAYOUTS),
    of_one_line=st.booleans(),
    heal=st.booleans(),
)
@pytest.mark.parametrize("kind", ["llama", "bytes", "qwen"])
def test_each_way_writes_the_middle_and_one_token_that_goes_beyond(
    request: Any,
    tokenizer: Any,
    kind: str,
    prefix: str,
    middle: str,
    suffix: str,
    other: str,
    layout: str,
    of_one_line: bool,
    heal: bool,
) -> None:
    tokens = tokenizer if kind == "bytes" else request.getfixturevalue(kind)
    if layout == "left_to_right":
        other = ""
    ended, *others = written_ways(
        tokens, prefix, middle, other, suffix, layout, of_one_line=of_one_line, heal=heal
    )
    assert ended.ends and not any(way.ends for way in others) and len(others) <= 2
    assert not others or suffix
    end = tokens.end_of_document_id if layout == "left_to_right" else tokens.infilling.end
    assert ended.ids[-1] == end
    assert {way.ids[: way.first] for way in others} <= {ended.ids[: ended.first]}, "all after one prompt"
    if layout != "left_to_right" and not {"\u0301"} & {*prefix, *middle}:
        prompt = infilling_prompt(tokens, prefix, other, format=layout)
        if layout == "psm" and heal:
            # What was taken off is written before the middle, or is a part of its first token.
            prompt, required = heal_infilling(tokens, prompt, layout)
            assert text(tokens, ended.ids[len(prompt) :]) == required + middle.encode()
            assert len(text(tokens, ended.ids[len(prompt) : ended.first])) <= len(required)
        assert tuple(prompt[: ended.first]) == ended.ids[: min(ended.first, len(prompt))]
        assert text(tokens, ended.ids).endswith(middle.encode())
    written = text(tokens, ended.ids)
    following = unicodedata.normalize("NFC", suffix) if kind == "qwen" else suffix
    for way in others:
        behind = text(tokens, way.ids)[len(written) :]
        last = tokens.token_bytes(way.ids[-1])
        assert text(tokens, way.ids).startswith(written) and behind and len(last) >= len(behind)
        assert following.encode().startswith(behind) or "\u0301" in suffix[:1]
    ways = [
        (*way.ids[way.first : -1], last) for way in (ended, *others) for last in way.any_last or way.ids[-1:]
    ]
    for one in ways:
        assert not any(longer is not one and longer[: len(one)] == one for longer in ways)
    ends_line = of_one_line and following.startswith(("\n", "\r\n"))
    assert any(way.any_last for way in others) == (bool(others) and ends_line)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_a_line_break_counts_in_whatever_token_it_stands(layout: str, line_break: str) -> None:
    """As in SmolLM2's vocabulary, where it is one token with the indentation behind it."""
    crlf, fillings = line_break == "\r\n", ("", " ", "  ", "    ")
    written = [filling.replace(" ", "Ġ") for filling in fillings]
    breaks = [("čĊ" if crlf else "Ċ") + each for each in written]
    pieces = [*dict.fromkeys([*byte_alphabet(), "čĊ", "ĠĠ", "ĠĠĠĠ", *breaks])]
    merges = ["č Ċ", "Ġ Ġ", "ĠĠ ĠĠ", *(f"{breaks[0]} {each}" for each in written if each)]
    spec = byte_level_spec(
        {piece: number for number, piece in enumerate(pieces)},
        merges,
        [added_token("<|endoftext|>", len(pieces))],
        splits=PRE_TOKENIZERS["gpt-2"],
    )
    tokens = add_infilling_tokens(Tokenizer(spec, {"eos_token": "<|endoftext|>"}))
    suffix = f"{line_break}    y = 2{line_break}"
    ended, *others = written_ways(tokens, PREFIX, "x = 1", suffix, suffix, layout, of_one_line=True)
    counted = [last for way in others for last in way.any_last or way.ids[-1:]]
    assert {way.ids[:-1] for way in others} == {ended.ids[:-1]}
    wanted = {(line_break + filling).encode() for filling in fillings}
    assert len(counted) == len(set(counted)) and wanted <= {tokens.token_bytes(each) for each in counted}
    assert all(tokens.token_bytes(each).startswith(line_break.encode()) for each in counted)
    # A block may go on in the next line, and does where that is indented as its own.
    *_, own = written_ways(tokens, PREFIX, "x = 1", suffix, suffix, layout, of_one_line=False)
    assert not own.any_last and tokens.token_bytes(own.ids[-1]) == (line_break + "  ").encode()


@pytest.mark.parametrize(
    ("middle", "suffix", "ends"),
    [
        ("f(1)", "\n    y = 2\n", [b")\n"]),
        ("f(1)", "\r\n    y = 2\r\n", [b")\r\n"]),
        # One line break is enough, also where the file has two.
        ("f(1)", "\n\ny = 2\n", [b")\n", b")\n\n"]),
        ("x = 1", "\n    y = 2\n", [b"\n"]),
        # Within a line a token may reach beyond the middle.
        ("x = fo", "o(1)\n", [b"foo"]),
        ("x = 1", "", []),
    ],
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sign_and_the_line_break_behind_it_may_be_one_token(
    qwen: Tokenizer, layout: str, middle: str, suffix: str, ends: list[bytes]
) -> None:
    ended, *others = written_ways(qwen, PREFIX, middle, suffix, suffix, layout, of_one_line=True)
    assert text(qwen, ended.ids[-1:]) == b"" and text(qwen, ended.ids).endswith(middle.encode())
    assert [text(qwen, way.ids[-1:]) for way in others] == ends


@pytest.mark.parametrize("layout", LAYOUTS)
def test_text_that_a_normaliser_shortens_is_no_part_of_the_middle(qwen: Tokenizer, layout: str) -> None:
    after = "  # " + unicodedata.normalize("NFD", "éàü한국어" * 9) + "\n"
    for suffix in (after, "\n" + after):
        for way in written_ways(qwen, PREFIX, "f(1)", suffix, suffix, layout, of_one_line=True):
            assert b"f(1)" in text(qwen, way.ids[way.first :])


def test_the_probabilities_of_the_ways_add_up() -> None:
    ways = [ReferenceScores((math.log(0.5), math.log(0.1)), ends=True), ReferenceScores((math.log(0.2),))]
    row = reference_row(ways)
    assert math.exp(-row["answer_nats"]) == pytest.approx(0.05 + 0.2)
    assert math.exp(-row["reference_nats"]) == pytest.approx(0.05) and row["reference_tokens"] == 2
    assert math.exp(-row["end_nats"]) == pytest.approx(0.1)
    # Each of them alone can't be told from impossible; that is no error.
    unlikely = reference_row([ReferenceScores((-2000.0,)), ReferenceScores((-2000.0,))])
    assert unlikely["answer_nats"] == pytest.approx(2000 - math.log(2))


def test_a_token_across_the_border_is_of_the_answer_in_each_layout() -> None:
    """An indentation is one token with the word behind it; of what is taken back alone nothing is counted."""
    pieces = [*byte_alphabet(), "ĊĠ", "Ġr", "Ġre", ":Ċ"]
    spec = byte_level_spec(
        {piece: number for number, piece in enumerate(pieces)},
        ["Ċ Ġ", "Ġ r", "Ġr e", ": Ċ"],
        [added_token("<|endoftext|>", len(pieces))],
        splits=PRE_TOKENIZERS["gpt-2"],
    )
    tokens = add_infilling_tokens(Tokenizer(spec, {"eos_token": "<|endoftext|>"}))
    for layout in LAYOUTS:
        ended, *_ = written_ways(tokens, "if x ", "re", "\n", "\n", layout, of_one_line=True)
        assert text(tokens, ended.ids[ended.first :]) == b" re", layout
    unhealed, *_ = written_ways(tokens, "if x ", "re", "\n", "\n", "psm", of_one_line=True, heal=False)
    assert text(tokens, unhealed.ids[unhealed.first :]) == b"re"
