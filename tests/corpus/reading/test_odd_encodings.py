"""Files of an encoding with a few bytes that are not of it, and encodings of seven bits."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.corpus.reading.encoding import UnreadableError, decoded

CODE = "def f(x):\n    return x + 1\n"
PROSE = ["# это просто текст", "# 这是一个测试文件", "# été à la plage, où ça, œuvre", "# zażółć gęślą jaźń"]


@given(st.sampled_from(PROSE), st.integers(0x80, 0xFF), st.booleans())
def test_no_odd_byte_takes_the_rest_of_a_text_along(prose: str, byte: int, mark: bool) -> None:
    """Nor a byte that cp1252 leaves open, nor with a byte order mark."""
    text = f"{prose}\n" * 4 + CODE
    data = codecs.BOM_UTF8 * mark + text.encode() + b"# " + bytes([byte]) + b" .\n"
    found, encoding = decoded(data)
    assert found.startswith(text) and len(found) == len(text) + 6 and encoding == "utf-8 and cp1252"
    assert found[len(text) + 2] == bytes([byte]).decode("cp1252", "replace")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("# José García, ".encode() + b"\xa9 2003", "# José García, © 2003"),
        ("# first — second … ".encode() + b"don\x92t", "# first — second … don’t"),
        ("# é è ".encode() + b"\xa9", "# é è ©"),
        ("# an — and ".encode() + b"don\x92t", "# an — and don’t"),
        ("# 三个字".encode() + b"\xe4\xb8", "# 三个字ä¸"),
        ("# 三 ".encode() + b"\xe4\xb8 \n", "# 三 ä¸ \n"),
        ("# 🙂 ".encode() + b"\xf0\x9f\x99", "# 🙂 ðŸ™"),
        ("# Ελλ это ".encode() + b"\xe9 \xe8", "# Ελλ это é è"),
    ],
)
def test_a_few_characters_of_utf_8_settle_it(data: bytes, text: str) -> None:
    assert decoded(data) == (text, "utf-8 and cp1252")


@given(
    st.lists(st.sampled_from("éüñøßЖяλω—’“…日本語한글🙂"), min_size=2, max_size=9),
    st.binary(min_size=1, max_size=1).filter(lambda byte: byte >= b"\x80"),
)
def test_a_stray_byte_changes_no_other_character(characters: list[str], byte: bytes) -> None:
    text = "".join(f"a{char}b " for char in characters)
    assert decoded(text.encode() + b"# " + byte + b" .").text.startswith(text)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp949", "# 합계를"),
        ("cp866", "# в списка"),
        ("cp866", "# ска\n# ч"),
        ("cp932", "# りす"),
        ("cp932", "# なるりす"),
        ("cp1252", "# CAFÉ» é"),
        ("cp1252", "# “É” Å“é"),
    ],
)
def test_words_that_look_like_utf_8_in_part(encoding: str, text: str) -> None:
    assert decoded(text.encode(encoding)).encoding != "utf-8 and cp1252"


def test_a_byte_order_mark_before_western_text() -> None:
    assert decoded(codecs.BOM_UTF8 + b"# caf\xe9\n" + CODE.encode()) == ("# café\n" + CODE, "cp1252")


@pytest.mark.parametrize("encoding", ["iso2022_jp", "iso2022_kr"])
@pytest.mark.parametrize("cookie", ["", "# -*- coding: iso-2022-jp -*-\n"])
def test_encodings_of_seven_bits_are_recognised_by_their_escapes(encoding: str, cookie: str) -> None:
    text = f"{cookie}# {'これは日本語です' if encoding.endswith('jp') else '안녕하세요 여러분'}\n{CODE}"
    assert decoded(text.encode(encoding)).text == text


@pytest.mark.parametrize("escapes", ["\x1b[31m red \x1b(B", "\x1b$B", "\x1b$B!!!\x80", "print('\x1b$)')"])
def test_escapes_of_a_terminal_are_no_encoding(escapes: str) -> None:
    assert decoded(f"# {escapes}\n{CODE}".encode()) == (f"# {escapes}\n{CODE}", "utf-8")


def test_what_ends_a_file_of_dos_makes_it_not_binary() -> None:
    assert decoded(b"int x;\r\n\x1a") == ("int x;\r\n", "utf-8")
    with pytest.raises(UnreadableError, match="binary"):
        decoded(b"int\x1a x;\x1a\r\n")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"x = 1\n\x1a", "x = 1\n"),
        (codecs.BOM_UTF8 * 2 + b"x = 1\n", "x = 1\n"),
        ("\ufeff\ufeffx = 1\n".encode("utf-16"), "x = 1\n"),
        (b"x = 1\ry = 2\r", "x = 1\ny = 2\n"),
        ("# Größe\rx = 1\r".encode("cp1252"), "# Größe\nx = 1\n"),
        (b"x = 1\r\ny = 2\r\n", "x = 1\r\ny = 2\r\n"),
        (b"x = 'a\rb'\ny = 2\n", "x = 'a\rb'\ny = 2\n"),
    ],
)
def test_marks_and_the_line_ends_of_old_macs_are_no_text(data: bytes, text: str) -> None:
    assert decoded(data).text == text


@pytest.mark.parametrize(
    ("encoding", "sentence"),
    [
        ("gbk", "这是一个没有空格的很长的段落"),
        ("shift_jis", "これは空白のない長い段落です"),
        ("euc_kr", "이것은공백이없는긴단락입니다"),
        ("cp1251", "этооченьдлинныйабзацбезпробелов"),
    ],
)
def test_a_long_line_without_a_space_is_known_by_its_beginning(encoding: str, sentence: str) -> None:
    for more in range(4):
        text = "x" * more + sentence * 1000
        assert decoded(text.encode(encoding)).text == text


@pytest.mark.parametrize("encoding", ["cp437", "cp866"])
def test_frames_of_dos(encoding: str) -> None:
    text = "{ ╔══════════╗\n  ║ Menu     ║\n  ╚══════════╝ }\nbegin end.\n"
    assert decoded(text.encode(encoding)).text == text
