"""How often a file's encoding is recognised, by the number of characters beyond ASCII::

    pip download --no-deps django && unzip -q -d django django-*.whl
    python benchmarks/legacy_encodings.py django [--charset-normalizer]

Takes the translations in the gettext catalogues (``*.mo``) below a folder, in the languages of the table. They are
put among lines of code as comments and strings, and encoded in the languages' older encodings. A text that is not
decoded to what was written counts as wrong. ``--charset-normalizer`` measures that library instead, with eight
candidate encodings: with more candidates it gets more of the Western files wrong.
"""

from __future__ import annotations

import argparse
import gettext
import random
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from codecascade.corpus.reading.encoding import UnreadableError, decoded

FAMILIES = {
    "Western (cp1252)": {name: ["cp1252"] for name in ("da", "de", "es", "fi", "fr", "it", "nl", "pt_BR", "sv")},
    "Central (cp1250, ISO 8859-2)": {name: ["cp1250", "iso8859_2"] for name in ("cs", "hr", "hu", "pl", "sk")},
    "Turkish (cp1254)": {"tr": ["cp1254"]},
    "Cyrillic (cp1251, KOI8)": {"bg": ["cp1251"], "ru": ["cp1251", "koi8_r"], "uk": ["cp1251", "koi8_u"]},
    "Cyrillic of DOS (cp866)": {"bg": ["cp866"], "ru": ["cp866"]},
    "Western of DOS (cp850)": {name: ["cp850"] for name in ("da", "de", "es", "fi", "fr", "it", "pt_BR", "sv")},
    "Greek (cp1253)": {"el": ["cp1253"]},
    "Hebrew (cp1255)": {"he": ["cp1255"]},
    "Arabic (cp1256)": {"ar": ["cp1256"]},
    "Thai (cp874)": {"th": ["cp874"]},
    "Chinese (GBK, Big5)": {
        "zh_CN": ["gbk"], "zh_Hans": ["gbk"], "zh_TW": ["big5"], "zh_Hant": ["big5"],
    },
    "Japanese (Shift JIS, EUC)": {"ja": ["shift_jis", "euc_jp"]},
    "Korean (EUC)": {"ko": ["euc_kr"]},
}  # fmt: skip
FEW = ["cp1252", "cp1251", "shift_jis", "euc_jp", "gb18030", "big5", "euc_kr", "koi8_r"]
LENGTHS = ((1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 32), (33, 64), (65, 128), (129, 512))
CODE = ("x = 1", "for i in range(10):", "    return value", "", "    call(a, b)")


def translations(folder: Path, language: str) -> list[str]:
    """The translated messages of a language that have characters beyond ASCII."""
    found: set[str] = set()
    for path in sorted(folder.glob(f"**/{language}/LC_MESSAGES/*.mo")):
        with open(path, "rb") as file:
            catalogue: dict[object, str] = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]
        found |= {text for key, text in catalogue.items() if key and not text.isascii()}
    return sorted(found)


def program(messages: list[str], characters: int, rng: random.Random) -> str:
    """Code with this number of characters beyond ASCII."""
    lines: list[str] = []
    while characters:
        message = rng.choice(messages).replace("\n", " ")
        for index, char in enumerate(message):
            if not char.isascii():
                if not characters:
                    message = message[:index]
                    break
                characters -= 1
        lines += [f"# {message}" if rng.random() < 0.5 else f'print("{message}")', rng.choice(CODE)]
    return "\n".join(lines) + "\n"


def wrong(
    messages: list[str], encoding: str, read: Callable[[bytes], str], times: int
) -> dict[int, list[int]]:
    """For each range of lengths: how many programs were decoded wrongly, and how many there were."""
    rng = random.Random(7)
    counts = {index: [0, 0] for index in range(len(LENGTHS))}
    known = [text for text in messages if text.encode(encoding, "replace").decode(encoding) == text]
    for index, (least, most) in enumerate(LENGTHS):
        for _ in range(times if known else 0):
            text = program(known, rng.randint(least, most), rng)
            counts[index][0] += read(text.encode(encoding)) != text
            counts[index][1] += 1
    return counts


def ours(data: bytes) -> str:
    """The text as a corpus build decodes it; empty if it is refused."""
    try:
        return decoded(data).text
    except UnreadableError:
        return ""


def theirs(data: bytes) -> str:
    """The text as charset-normalizer decodes it."""
    from charset_normalizer import from_bytes

    best = from_bytes(data, cp_isolation=FEW, steps=3).best()
    return data.decode(best.encoding, "replace") if best else ""


def main() -> None:
    """Parse the arguments, count, and print a row for each family of languages."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--charset-normalizer", action="store_true")
    parser.add_argument(
        "--times", type=int, default=30, help="programs of each language, encoding and length"
    )
    given = parser.parse_args()
    read = theirs if given.charset_normalizer else ours
    print("characters beyond ASCII".ljust(30) + "".join(f"{a}-{b}".rjust(9) for a, b in LENGTHS))
    for family, languages in FAMILIES.items():
        sums: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        for language, encodings in languages.items():
            messages = translations(given.folder, language)
            for encoding in encodings:
                for index, (bad, all_) in wrong(messages, encoding, read, given.times).items():
                    sums[index][0] += bad
                    sums[index][1] += all_
        cells = (f"{sums[index][0] / max(sums[index][1], 1):.1%}" for index in range(len(LENGTHS)))
        print(family.ljust(30) + "".join(cell.rjust(9) for cell in cells), flush=True)


if __name__ == "__main__":
    main()
