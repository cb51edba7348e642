"""Bytes to text: files from before UTF-8."""

from __future__ import annotations

import codecs
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from source_trees import Build, MakeTree, module
from work import grows_linearly

from codecascade.corpus.reading.encoding import UnreadableError, decoded
from codecascade.corpus.reading.legacy_encodings import CANDIDATES

TEXTS = {
    "de": [
        "Größe der Datei überprüfen",
        "Straße und Hausnummer fehlen für Müller",
        "Schlüssel löschen, später prüfen",
    ],
    "fr": [
        "Vérifie la création du répertoire",
        "où l'élève a été créé à façade",
        "Numéro déjà utilisé, réessayez",
    ],
    "es": ["¿Está seguro? La contraseña expiró", "número de línea inválido", "versión en español, año y día"],
    "pt": [
        "não há configuração disponível",
        "função de inicialização, coração",
        "número máximo de opções é três",
    ],
    "sv": [
        "för många försök, välj ett större värde",
        "kör på åtta trådar",
        "öppnar på nytt när läget är okänt",
    ],
    "pl": [
        "Błąd przy otwieraniu pliku źródłowego",
        "wartość początkowa została już użyta",
        "Zażółć gęślą jaźń",
    ],
    "cs": [
        "Soubor nelze otevřít, chybí oprávnění",
        "příliš mnoho řádků v souboru",
        "Přístup byl uživateli odepřen",
    ],
    "hu": [
        "Érvénytelen fájlnév, próbálja később, gyűjtő mappa",
        "működő könyvtár, első sorból törlendő",
    ],
    "ru": ["Ошибка при открытии файла", "считает сумму всех элементов списка", "не найден ключ в таблице"],
    "uk": ["Помилка під час відкриття файлу", "обчислює суму всіх елементів списку"],
    "ja": [
        "ファイルを開くことができません",
        "この関数は合計を計算します",
        "設定ファイルの読み込みに失敗しました",
    ],
    "zh_CN": ["无法打开文件，请检查路径", "计算列表中所有元素的总和", "用户名或密码错误"],
    "zh_TW": ["無法開啟檔案，請檢查路徑", "計算清單中所有元素的總和", "使用者名稱或密碼錯誤"],
    "ko": ["파일을 열 수 없습니다", "목록에 있는 모든 요소의 합계를 계산합니다", "잘못된 비밀번호입니다"],
    "el": [
        "Δεν είναι δυνατό το άνοιγμα του αρχείου",
        "υπολογίζει το άθροισμα όλων των στοιχείων",
        "λάθος όνομα χρήστη",
    ],
    "he": ["לא ניתן לפתוח את הקובץ", "מחשב את סכום כל האיברים ברשימה", "שם המשתמש או הסיסמה שגויים"],
    "ar": ["لا يمكن فتح الملف المطلوب", "يحسب مجموع كل العناصر في القائمة", "كلمة المرور غير صحيحة"],
    "th": ["ไม่สามารถเปิดไฟล์ได้", "คำนวณผลรวมของทุกรายการ", "รหัสผ่านไม่ถูกต้อง"],
}
ENCODINGS = {
    **dict.fromkeys(("de", "fr", "es", "pt", "sv"), ("cp1252", "latin-1")),
    **dict.fromkeys(("pl", "cs", "hu"), ("cp1250", "iso8859_2")),
    "ru": ("cp1251", "koi8_r", "cp866"),
    "uk": ("cp1251", "koi8_u"),
    "ja": ("shift_jis", "cp932", "euc_jp"),
    "zh_CN": ("gb2312", "gbk", "gb18030"),
    "zh_TW": ("big5", "cp950"),
    "ko": ("euc_kr", "cp949"),
    "el": ("cp1253", "iso8859_7"),
    "he": ("cp1255", "iso8859_8"),
    "ar": ("cp1256",),
    "th": ("cp874", "tis_620"),
    "de_DOS": ("cp850", "cp437"),
}
TEXTS["de_DOS"] = TEXTS["de"]
CASES = [(language, encoding) for language, encodings in ENCODINGS.items() for encoding in encodings]
WESTERN = [
    "Copyright © 2003 Foo GmbH",
    "(c) José Müller",
    "in °C",
    "25°C",
    "delay 10 µs",
    "µ",
    "tolerance ± 5 %",
    "see § 4.2",
    "soft\xadhyphen",
    "sig\xad",
    "naïve",
    "£ 5",
    "5 €",
    "½ cup",
    "x² + y³",
    "«bon»",
    "“quoted”",
    "it’s",
    "a – b",
    "wait…",
    "Foo® Bar™",
    "Ångström",
    "façade",
    "coração",
    "señor",
    "¿qué?",
    "Größe",
    "déjà vu",
    "Øystein",
    "résumé",
    "ÿ",
    "90° angle",
    "a·b",
    "×",
    "Zoë",
    "\xa0indented",
    "¥",
    "ª",
    "Ça",
]


@pytest.mark.parametrize(("language", "encoding"), CASES)
@pytest.mark.parametrize("before", ["# ", "  // ", 'print("', "/* ", "<b>"])
def test_whole_sentences_are_read(language: str, encoding: str, before: str) -> None:
    for sentence in TEXTS[language]:
        text = f"x = 1\n{before}{sentence}\ny = 2\n"
        assert decoded(text.encode(encoding)).text == text


@pytest.mark.parametrize(("language", "encoding"), CASES)
@settings(max_examples=10)
@given(data=st.data())
def test_pages_are_read(language: str, encoding: str, data: st.DataObject) -> None:
    code = st.sampled_from(["", "x = 1", "    return value;", "#include <a.h>", "}"])
    lines = data.draw(st.lists(code, max_size=5)) + TEXTS[language] + data.draw(st.lists(code, max_size=5))
    text = "\n".join(data.draw(st.permutations(lines)))
    assert decoded(text.encode(encoding)).text == text


@given(
    st.lists(st.sampled_from(WESTERN), min_size=1, max_size=2), st.sampled_from(["# ", "// ", " * ", 'x = "'])
)
@example(["delay 10 µs", "ÿ"], "# ")
@example(["«bon»", "ÿ"], "# ")
def test_a_few_odd_signs_are_western(signs: list[str], before: str) -> None:
    text = "int x;\n" + "\n".join(before + sign for sign in signs) + "\nint y;\n"
    assert decoded(text.encode("cp1252")) == (text, "cp1252")


@given(st.binary(min_size=1, max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        text, encoding = decoded(data)
    except UnreadableError as error:
        assert str(error) in ("binary", "unknown encoding")
    else:
        assert "\0" not in text and text.encode("utf-8")
        if encoding in {candidate.name for candidate in CANDIDATES}:
            assert text == data.removeprefix(codecs.BOM_UTF8).decode(encoding)


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ("# -*- coding: iso-8859-5 -*-", "iso8859_5"),
        ("#!/usr/bin/python\n# vim: set fileencoding=cp866 :", "cp866"),
        ("// vim: fenc=iso-8859-7", "iso8859_7"),
        ("<?xml version='1.0' encoding='iso-8859-9'?>", "cp1254"),
        ("<html><meta charset=windows-1255>", "cp1255"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=ISO-8859-1">', "cp1252"),
        ('@charset "windows-1253";', "cp1253"),
        ("% -*- coding: latin-1 -*-", "cp1252"),
        (";; -*- mode: lisp; coding: mac-roman -*-", "mac_roman"),
    ],
)
def test_what_a_file_says_of_itself_counts(head: str, encoding: str) -> None:
    data = head.encode() + b"\n\xe9\xe8\xea\xeb words \xec\xed\xee\xef\n"
    assert decoded(data).text == data.decode(encoding)


@pytest.mark.parametrize(
    "head",
    [
        "# coding: undefined",
        "# coding: no-such-codec",
        "# coding: unicode_escape",
        "# coding: punycode",
        "# coding: hex",
        "# coding: utf-8",
        "# coding: utf-16",
        "text = open(name, encoding='koi8-r').read()",
        "fetch('x', charset='cp866')",
        "# coding: cp932",
    ],
)
def test_what_says_nothing_is_passed_over(head: str) -> None:
    text = f"{head}\n# Größe: \xadé\n"
    assert decoded(text.encode("cp1252")) == (text, "cp1252")


def test_utf_8_with_some_odd_bytes() -> None:
    whole = "Löhne für José, Zoë, Łukasz, 田中, Ελένη\n" * 3
    data = whole.encode() + "M\xfcller\n".encode("cp1252")
    assert decoded(data) == (f"{whole}Müller\n", "utf-8 and cp1252")
    assert decoded("Ã© © é\n".encode("cp1252")).encoding == "cp1252"


def test_a_manifest_says_what_was_read_as_what(tree: MakeTree, build: Build) -> None:
    files: dict[str, str | bytes] = {f"r/{n}.py": module(f"m{n}") for n in range(3)}
    files["r/a.py"] = f"# Größe\n{module('a')}".encode("cp1252")
    files["r/b.py"] = f"# {TEXTS['ja'][0]}\n{module('b')}".encode("shift_jis")
    files["r/c.py"] = f"# {TEXTS['ja'][0]}\n{module('c')}".encode("utf-16")
    manifest, corpus = build(tree(files), heldout_share=0)
    assert manifest.decoded == {"utf-8": 3, "cp1252": 1, "cp932": 1, "utf-16": 1}
    assert manifest.encodings() == "utf-8 (3), cp1252 (1), cp932 (1), utf-16 (1)"
    assert manifest.encodings() in (corpus.path / "README.md").read_text()
    assert manifest.encodings() in (corpus.path / "corpus.html").read_text()


@pytest.mark.parametrize(
    "unit", [b"\xe9", b"\xe9 ", b"\xe9\n", b"\xa4\xa2", b"\xa4\xa2\n", b"\x83\x41 a\n", b"\xc3\xa9\xe9"]
)
def test_a_large_file_takes_no_longer_than_its_length(unit: bytes) -> None:
    def decode(data: bytes) -> None:
        with suppress(UnreadableError):
            decoded(data)

    assert grows_linearly(decode, lambda size: unit * (size // len(unit)), size=250_000)
