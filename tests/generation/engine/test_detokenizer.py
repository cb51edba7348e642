from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from codecascade.generation.engine.detokenizer import TextBuilder


class Bytes:
    """Token n of a made-up vocabulary is the nth piece."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.token_bytes = pieces.__getitem__

    def encode(self, text: str) -> list[str]:
        """As a family that puts a space before every text."""
        return [" ", text]

    def encode_continuation(self, text: str) -> list[str]:
        return [text]


def build(pieces: list[bytes], **settings: object) -> tuple[list[str], TextBuilder]:
    """What each push of the pieces gave, and the builder after its finish."""
    text = TextBuilder(Bytes(pieces), **settings)
    given_out = []
    for token in range(len(pieces)):
        given_out.append(text.push(token))
        if text.stopped_by is not None:
            break
    else:
        given_out.append(text.finish())
    return given_out, text


def test_half_characters_wait() -> None:
    pieces = ["→".encode()[:1], "→".encode()[1:] + b"!"]
    assert build(pieces)[0] == ["", "→!", ""]


def test_a_character_that_stays_half_is_dropped() -> None:
    given_out, text = build([b"a", "→".encode()[:2]])
    assert text.text == "".join(given_out) == "a"


def test_text_that_may_begin_a_stop_is_held_back() -> None:
    given_out, text = build([b"x\n", b"de", b"f g", b"ulp"], stop=["\ndef "])
    assert given_out == ["x", "", ""]
    assert (text.text, text.stopped_by) == ("x", "\ndef ")


def test_held_text_comes_when_it_turns_out_harmless_or_at_the_end() -> None:
    assert build([b"x\n", b"de", b"mo", b"\nde"], stop=["\ndef "])[0] == ["x", "", "\ndemo", "", "\nde"]


def test_required_bytes_are_left_out_even_if_a_token_overshoots() -> None:
    assert build([b"re", b"turn x", b"y"], required=b"retu")[0] == ["", "rn x", "y", ""]


def test_a_stop_inside_the_required_bytes_does_not_count() -> None:
    assert build([b"\n", b"  pass"], required=b"\n", stop=["\n"])[1].text == "  pass"


def test_a_reply_loses_one_leading_space() -> None:
    assert build([b" ", b" Sure"], continuation=False)[1].text == " Sure"
    assert build([b" Sure"], continuation=True)[1].text == " Sure"


def test_of_two_stops_the_one_complete_first_counts() -> None:
    _, text = build([b"abcd"], stop=["abcd", "bc"])
    assert (text.text, text.stopped_by) == ("a", "bc")


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(edges)]


@given(
    st.text("ab\né→", max_size=20),
    st.lists(st.text("ab\né", min_size=1, max_size=3), max_size=3),
    st.lists(st.integers(0, 100), max_size=8),
)
def test_tokens_make_no_difference(text: str, stop: list[str], cuts: list[int]) -> None:
    """However the text is cut into tokens: the same text, in pieces that are never taken back."""
    whole, in_letters = (
        build(split(text.encode(), cuts), stop=stop),
        build([c.encode() for c in text], stop=stop),
    )
    for given_out, built in (whole, in_letters):
        assert "".join(given_out) == built.text
    assert whole[1].text == in_letters[1].text
    assert whole[1].stopped_by == in_letters[1].stopped_by
    ends = [text.index(string) + len(string) for string in stop if string in text]
    if ends:
        assert text.startswith(whole[1].text + str(whole[1].stopped_by))
        assert len(whole[1].text + str(whole[1].stopped_by)) == min(ends)
    else:
        assert whole[1].text == text


@given(st.text(max_size=20), st.integers(0, 20), st.lists(st.integers(0, 100), max_size=8))
def test_required_bytes_and_rest_are_the_whole(text: str, cut: int, cuts: list[int]) -> None:
    required = text[:cut].encode()
    assert build(split(text.encode(), cuts), required=required)[1].text == text[cut:]


def test_what_healing_gave_back_is_no_text_yet() -> None:
    assert build([b"\n"], required=b"\n")[1].empty
    assert not build([b"\n  x"], required=b"\n")[1].empty
    assert not build([b"\n", b"x"], required=b"\n")[1].empty


@given(st.text(" \nab", max_size=9), st.lists(st.integers(1, 9), max_size=4))
def test_stops_behind_text_only(text: str, cuts: list[int]) -> None:
    _, builder = build(split(text.encode(), cuts), stop=("\n",), stop_after_text=True)
    before = text[: len(text) - len(text.lstrip())]
    assert builder.text == before + text.lstrip().partition("\n")[0]
    assert (builder.stopped_by is not None) == ("\n" in text.lstrip())
