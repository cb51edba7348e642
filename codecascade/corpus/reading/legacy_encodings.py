"""Guesses the legacy encoding of a text that is not UTF-8 and declares no encoding.

Each candidate encoding that can decode the text gets a cost: how unlikely its characters and their neighbours are
in the languages that use the encoding. The lowest cost wins. Windows-1252 has a head start of about one word over
the others, because a lone non-ASCII byte is usually a copyright sign, a degree sign or a letter of a name, not
evidence of Japanese. ``docs/corpus.md`` has the measured accuracy.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from typing import NamedTuple

EXAMINED = 8192
"""Bytes of distinct non-ASCII lines that are examined."""

# The unit of all costs here is nats.
_ASCII = 3.0
# With fewer non-ASCII characters even a poor fit is accepted, because no better evidence exists.
_LEAST_FOR_DOUBT = 12

# The non-ASCII letters of each language. Letters of one language cost less together than a mixture of languages,
# which lists of names are; those are mostly Western.
_WESTERN = (
    "äöüßÄÖÜ", "éèêëàâçùûôîïœæÉÈÊÀÂÇÙÛÔÎ", "áéíóúñüÁÉÍÓÚÑ", "áâãàçéêíóôõúÁÂÃÀÇÉÊÍÓÔÕÚ", "àèéìòùÀÈÉÌÒÙ",
    "åäöæøéÅÄÖÆØÉ", "áðéíóúýþæöÁÐÉÍÓÚÝÞÆÖ", "àçèéíïòóúüÀÇÈÉÍÏÒÓÚÜ",
)  # fmt: skip
_CENTRAL = (
    "ąćęłńóśźżĄĆĘŁŃÓŚŹŻ", "áčďéěíňóřšťúůýžÁČĎÉĚÍŇÓŘŠŤÚŮÝŽ", "áäčďéíĺľňóôŕšťúýžÁÄČĎÉÍĹĽŇÓÔŔŠŤÚÝŽ",
    "áéíóöőúüűÁÉÍÓÖŐÚÜŰ", "čćđšžČĆĐŠŽ", "ăâîşţĂÂÎŞŢ", "äöüßÄÖÜ",
)  # fmt: skip
_TURKISH = ("çğıöşüâÇĞİÖŞÜ",)
# The letters of other alphabets by their cost: the logarithm of how rare they are.
_CYRILLIC = {
    2.4: "оеаи",
    2.8: "нтсрвлі",
    3.4: "кмдпу",
    4.0: "яыьгзбчй",
    4.6: "хжшю",
    5.5: "цщэфїє",
    6.5: "ёъґў",
}
_GREEK = {
    2.4: "αοιε",
    2.7: "τσςνηά",
    3.1: "υρπκί",
    3.5: "μλόέ",
    4.0: "ωδγή",
    4.5: "χθφύώ",
    5.3: "βξζψ",
    7.0: "ϊϋΐΰ",
}
_HEBREW = {2.3: "יוה", 2.7: "לארת", 3.0: "שמבנ", 3.6: "דעחקפכם", 4.4: "טגצסזן", 6.0: "ךףץ"}
_ARABIC = {
    2.2: "ال",
    2.8: "يمونرت",
    3.3: "بةعدسفهكأ",
    4.0: "قحجشصخ",
    4.7: "طىإضذثز",
    5.6: "غءظئؤآ",
    7.0: "ًٌٍَُِّْ،؟؛",
}
_THAI = {
    2.6: "านร", 3.0: "อกเง่", 3.3: "มยลวด้ัีิ", 3.7: "ทสตปบคหแ", 4.2: "จพชขืุะใไ", 4.8: "ูำโผถ์", 5.5: "ซณธศึ็ๆ",
    6.2: "ษภฟญ", 7.0: "ฐฏฎฑฒฉฌฝฤฮฬ",
}  # fmt: skip
_THAI_ABOVE = frozenset("่้๊๋ัีิืึุู์็ำ")
"""What stands above or below a letter of Thai and never without one."""
_AT_THE_END = frozenset("ךםןףץς")
"""Letters of Hebrew and Greek in the form that they have at the end of a word."""
_WORDS_OF_ONE = frozenset("ивскоаяуйзієВСКОАЯУИЗ")
_SIGNS = frozenset("©®™°µ±§«»·•…–—‘’“”„€£²³½¼×\xa0\xad№")
_IN_WORDS = "’·\xa0\xad"
# Accents without a letter. No text has them by themselves; the acute one is left out, as it stands for an apostrophe.
_LONE_ACCENTS = frozenset("˙˛˝ˇ˘¸¨¯")
_CJK_SIGNS = frozenset(
    "、。，．：；？！（）「」『』【】《》〈〉〔〕・ー～—…“”‘’　·％＝＋－／＊＜＞＃＆＠＿｜￥々〇"
)
_BOX_DRAWING = ("\u2500", "\u259f")
_FREQUENT_HANZI = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种"
    "事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心本前开但因只从想实日者意无力它与长把机十民第公此"
    "已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特"
    "代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电"
    "数据件误错请值输参返函添删除改保存单选列类项目录路径户密码登取始置设默认字符串空格式编译运测试版注册"
)


class EncodingCandidate(NamedTuple):
    """An encoding that a text may be in."""

    name: str
    """Python's name of the encoding."""
    handicap: float
    """Added to the cost of every text, so that a rarer encoding needs more evidence."""
    worst: float
    """The highest average cost per non-ASCII character; above it the text is in no language of the encoding."""
    cost: Callable[[str], float]
    """The cost of the non-ASCII characters of a decoded text."""


def best_encoding(data: bytes) -> str | None:
    """The name of the encoding that fits ``data`` best; None if none fits. ``data`` is not UTF-8.

    >>> best_encoding(b"in \\xb0C, \\xa9 2003"), best_encoding("это просто текст".encode("koi8-r"))
    ('cp1252', 'koi8_r')
    """
    sample = _sample(data)
    found: list[tuple[float, int, str]] = []
    for index, candidate in enumerate(CANDIDATES):
        try:
            # The sample may end within a character.
            text = codecs.getincrementaldecoder(candidate.name)().decode(sample)
            data.decode(candidate.name)
        except UnicodeDecodeError:
            continue
        non_ascii = sum(char >= "\x80" for char in text)
        cost = candidate.cost(text)
        if non_ascii < _LEAST_FOR_DOUBT or cost <= candidate.worst * non_ascii:
            total = cost + _ASCII * (len(text) - non_ascii) + candidate.handicap
            found.append((total, index, candidate.name))
    return min(found)[2] if found else None


def _sample(data: bytes) -> bytes:
    """The distinct non-ASCII lines, up to :data:`EXAMINED` bytes."""
    lines: dict[bytes, None] = {}
    size = 0
    for line in data.splitlines():
        if not line.isascii() and line not in lines:
            lines[line[:EXAMINED]] = None
            size += len(line)
            if size > EXAMINED:
                break
    return b"\n".join(lines)


def _runs(text: str) -> Iterable[tuple[str, str, str]]:
    """The runs of non-ASCII characters, each with its neighbours (a space at the ends of the text)."""
    start = None
    for index, char in enumerate(text):
        if char >= "\x80":
            start = index if start is None else start
        elif start is not None:
            yield text[start - 1] if start else " ", text[start:index], char
            start = None
    if start is not None:
        yield text[start - 1] if start else " ", text[start:], " "


# ---- alphabets of Latin letters ---------------------------------------------------------------------------


def _latin(languages: tuple[str, ...], mixed: float, letter: float = 3.3) -> Callable[[str], float]:
    """The cost of a text in one of some languages of Latin letters.

    Args:
        mixed: the cost of a letter of another language than most letters of the text.
        letter: the cost of those.
    """
    alphabets = [frozenset(letters) for letters in languages]

    def cost(text: str) -> float:
        context = 0.0
        letters: list[str] = []
        for before, run, after in _runs(text):
            around = before + run + after
            for index, char in enumerate(run, 1):
                left, right = around[index - 1], around[index + 1]
                if char.isalpha() and char not in "ªºµ":
                    letters.append(char)
                    context += _latin_context(left, char, right)
                elif "\x80" <= char < "\xa0":
                    context += 20
                elif _BOX_DRAWING[0] <= char <= _BOX_DRAWING[1]:
                    context += _box_drawing(left, char, right)
                else:
                    inside = left.isalpha() and right.isalpha() and char not in _IN_WORDS
                    opens = char in "¿¡" and not left.isalpha() and right > " "
                    sign = 4 if char in _SIGNS or opens else 10 if char in _LONE_ACCENTS else 7
                    context += sign + (5 if inside else 0)
            context += 6 * sum(char.isalpha() for char in run[2:])
        known = max(sum(char in alphabet for char in letters) for alphabet in alphabets)
        anywhere = sum(any(char in alphabet for alphabet in alphabets) for char in letters)
        return context + letter * known + mixed * (anywhere - known) + 9 * (len(letters) - anywhere)

    return cost


def _latin_context(left: str, char: str, right: str) -> float:
    cost = 0.0
    if not left.isalpha() and not right.isalpha():
        cost += 1.5
    if char.isupper() and left.islower():
        cost += 6
    if left >= "\x80" and left.isalpha():
        cost += 1.5
    # In Portuguese an õ comes before an e. Elsewhere it is more likely a Hungarian ő.
    if char == "õ" and right != "e":
        cost += 3
    return cost


def _box_drawing(left: str, char: str, right: str) -> float:
    """A frame is mostly lines of one character; letters of another encoding that look like frames change."""
    if char in (left, right):
        return 1.5
    return 6 if any(_BOX_DRAWING[0] <= other <= _BOX_DRAWING[1] for other in (left, right)) else 8


# ---- Cyrillic, Greek, Hebrew, Arabic, Thai ----------------------------------------------------------------


def _alphabet(
    by_cost: Mapping[float, str], script: tuple[str, str], words_of_one: Collection[str] = ()
) -> Callable[[str], float]:
    """The cost of a text in an alphabet of its own.

    Args:
        by_cost: lower-case letters by the cost of each.
        script: the first and the last character of the script.
        words_of_one: letters that are words.
    """
    costs = {letter: cost for cost, letters in by_cost.items() for letter in letters}
    first, last = script

    def cost(text: str) -> float:
        total = 0.0
        for before, run, after in _runs(text):
            around = before + run + after
            for index, char in enumerate(run, 1):
                left, right = around[index - 1], around[index + 1]
                if _BOX_DRAWING[0] <= char <= _BOX_DRAWING[1]:
                    total += _box_drawing(left, char, right)
                    continue
                if not first <= char <= last:
                    inside = left.isalpha() and right.isalpha() and char not in _IN_WORDS
                    total += (4 if char in _SIGNS else 8) + 5 * inside
                    continue
                total += costs.get(char.lower(), 9.0)
                beside = [other for other in (left, right) if first <= other <= last]
                if not beside:
                    total += 2 if char in words_of_one and not (left + right).strip() else 6
                if char.isupper():
                    total += 6 if left.islower() else 1
                if (left.isascii() and left.isalpha()) or (right.isascii() and right.isalpha()):
                    total += 6
                if (char in _THAI_ABOVE and not first <= left <= last) or (
                    char in _AT_THE_END and first <= right <= last
                ):
                    total += 6
        return total

    return cost


# ---- Chinese, Japanese, Korean ----------------------------------------------------------------------------


def _east_asian(of_character: Callable[[str], float]) -> Callable[[str], float]:
    of_character = cache(of_character)

    def cost(text: str) -> float:
        total = 0.0
        for before, run, after in _runs(text):
            total += sum(map(of_character, run))
            if len(run) == 1:
                total += 3 + 3 * (before.isalpha() + after.isalpha())
            narrow = sum("\uff61" <= char <= "\uff9f" for char in run)
            total += 0 if narrow > 3 else 5 * narrow
        return total

    return cost


def _ideograph(encoding: str, first: int, last: int, base: float) -> Callable[[str], float]:
    """A cost function for ideographs: those of the encoding's first level, which most texts use, are cheap."""

    def cost(char: str) -> float:
        code = char.encode(encoding, "replace")
        return base if len(code) == 2 and first <= int.from_bytes(code) <= last else 13.0

    return cost


def _chinese(level: Callable[[str], float]) -> Callable[[str], float]:
    def cost(char: str) -> float:
        if char in _FREQUENT_HANZI:
            return 4.8
        if char in _CJK_SIGNS:
            return 4.5
        if "\u4e00" <= char <= "\u9fff":
            return level(char)
        return 9.0 if "\uff01" <= char <= "\uff5e" else 11.0 if "\u2000" <= char <= "\u33ff" else 16.0

    return cost


def _japanese(level: Callable[[str], float]) -> Callable[[str], float]:
    def cost(char: str) -> float:
        if "\u3041" <= char <= "\u30fe":
            return 4.0
        if char in _CJK_SIGNS:
            return 4.5
        if "\u4e00" <= char <= "\u9fff":
            return level(char)
        if "\uff61" <= char <= "\uff9f":
            return 5.5
        return 8.0 if "\uff01" <= char <= "\uff5e" else 11.0 if "\u2000" <= char <= "\u33ff" else 16.0

    return cost


def _korean(char: str) -> float:
    if "\uac00" <= char <= "\ud7a3":
        return 5.3 if len(char.encode("euc_kr", "replace")) == 2 else 13.0
    return 4.5 if char in _CJK_SIGNS else 12.0 if char < "\u9fff" else 16.0


_cyrillic = _alphabet(_CYRILLIC, ("\u0400", "\u04ff"), _WORDS_OF_ONE)
_greek = _alphabet(_GREEK, ("\u0384", "\u03ce"), "ηοΗΟ")

CANDIDATES = (
    EncodingCandidate("cp1252", 0, 8, _latin(_WESTERN, 5.5)),
    EncodingCandidate("cp1250", 3.5, 7, _latin(_CENTRAL, 7)),
    EncodingCandidate("iso8859_2", 4, 7, _latin(_CENTRAL, 7)),
    EncodingCandidate("cp1254", 4, 7, _latin(_TURKISH, 7)),
    EncodingCandidate("cp1251", 5, 5, _cyrillic),
    EncodingCandidate("koi8_r", 5.5, 5, _cyrillic),
    EncodingCandidate("koi8_u", 6, 5, _cyrillic),
    EncodingCandidate("cp866", 6, 5, _cyrillic),
    EncodingCandidate("cp437", 6, 7, _latin(_WESTERN, 6.5, letter=4.5)),
    EncodingCandidate("cp850", 6.5, 7, _latin(_WESTERN, 6.5, letter=4.5)),
    EncodingCandidate("cp1253", 7, 5, _greek),
    EncodingCandidate("iso8859_7", 7.5, 5, _greek),
    EncodingCandidate("cp1255", 8, 5, _alphabet(_HEBREW, ("\u05b0", "\u05f4"))),
    EncodingCandidate("cp1256", 6, 5, _alphabet(_ARABIC, ("\u060c", "\u06d2"), "و")),
    EncodingCandidate("cp874", 6, 5, _alphabet(_THAI, ("\u0e01", "\u0e5b"))),
    EncodingCandidate("gb18030", 6, 9, _east_asian(_chinese(_ideograph("gb2312", 0xB0A1, 0xD7F9, 6.5)))),
    EncodingCandidate("cp950", 6, 9, _east_asian(_chinese(_ideograph("big5", 0xA440, 0xC67E, 6.5)))),
    EncodingCandidate("cp932", 6, 9, _east_asian(_japanese(_ideograph("shift_jis", 0x889F, 0x9872, 6.5)))),
    EncodingCandidate("euc_jp", 6, 9, _east_asian(_japanese(_ideograph("euc_jp", 0xB0A1, 0xCFD3, 6.5)))),
    EncodingCandidate("cp949", 6, 9, _east_asian(_korean)),
)
"""Encodings that non-UTF-8 source code uses. Each is the largest of its family, as ``cp932`` is of Shift JIS."""
