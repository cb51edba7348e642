"""Control text of a chat template, and messages disguised so that they hold none.

A template puts the messages between its control text, and the result is encoded: a message that says ``<|im_end|>``
would end its turn. transformers marks the control tokens that it finds in a message; this is stricter, since a
template may take a text apart and put it together (``<|im_<x>end|>`` with ``<x>`` taken out). The rule: the first and
the last character of every control token and tag is replaced, wherever it occurs in a message, by a stand-in: a
character that is used for nothing else. So whatever a template does with a message, the result contains no control
text. After rendering, the characters are put back, and text from a message is encoded as text.

A stand-in changes neither length nor white space, so ``trim``, slices, ``length`` and searches for other text work as
ever. A template may search for strings with such characters, such as ``</think>``: those that share nothing with
control text stay as they are.

Two kinds of control text: *control tokens* of the vocabulary, and *tags* that are ordinary text (Llama 2's
``[INST]``, Zephyr's ``<|user|>``, DeepSeek-Coder's ``### Instruction:``). Tags are found in what the template writes
around a few dialogues; a message's own are spelled letter by letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from codecascade.ground.errors import UserError
from codecascade.ground.files.values import short
from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.files.tokenizer_json import SPACE
from codecascade.tokens.templates.control_tokens import control_tokens
from codecascade.tokens.templates.literals import Affixes, Literals
from codecascade.tokens.templates.renderer import RENDERER
from codecascade.tokens.templates.spelling import letters_of
from codecascade.tokens.templates.variables import template_variables
from codecascade.tokens.tokenizer import Tokenizer

# Private use of Unicode's plane 15: 65,534 characters that no text of people has.
_STAND_INS = range(0xF0000, 0xFFFFE)
_CONTENT = "\U00100000"
# Of a message in a trial, so that a template can take something off it.
_LENGTH = 16
_ROLES = "user|assistant|system"
_BRACKETED = re.compile(r"\[/?[A-Za-z_][\w ]{0,40}\]|<{1,2}/?\|?[A-Za-z_][\w .\-]{0,40}\|?>{1,2}")
_HEADING = re.compile(r"#{2,6} ?[A-Za-z][\w ]{0,40}:?")
_SPEAKER = re.compile(r"\b[A-Z]{4,20}:")
# A line of its own, such as Granite's "Question:" and Code Llama 70B's "Source: user".
_LINE = re.compile(rf"(?m)^[ \t]*([A-Z][a-z]{{2,19}}:(?: (?:{_ROLES}))?)(?=[ \t]*$)")
# Of what stands in a line directly before a message or where a reply is to begin: "Human: ", "@@ Response".
_LONGEST_HEADER = 40
_RUN = re.compile(f"{_CONTENT}+")
# Of messages in what a template writes around them; the trials have eight.
_MOST_GAPS = 256
_LETTER, _MARK = re.compile(r"[^\W\d_]"), re.compile(r"[^\w\s]")
# A header of fewer words may be anywhere in a text, and is one only where its line begins.
_WORDS_OF_A_SENTENCE = 2
# Of a control token, of the tags that are ordinary text, and of strings that a template searches for: far more than
# any model has. With more, the work for each character of a message would have no bound.
_LONGEST_TOKEN, _MOST_TAGS, _MOST_SEARCHED = 256, 256, 256
_PROBES = (("user",), ("user", "assistant"), ("system", "user", "assistant", "user"))


@dataclass(frozen=True)
class ControlText:
    """What must not come out of a message.

    Attributes:
        tags: matches each tag that is ordinary text.
        guarded: the characters that get stand-ins wherever they stand.
        kept: strings that a template searches for, in which nothing is replaced.
        exact: control text that has no character to guard; the first one of a match is replaced.
    """

    tags: re.Pattern[str]
    guarded: frozenset[str]
    kept: Literals
    exact: Literals


class Disguise:
    """Puts stand-ins into the texts of one dialogue, and takes them out again.

    Args:
        texts: all texts that are to be disguised; none of the stand-ins is in them.

    Raises:
        UserError: the texts hold so many private-use characters that none is left.
    """

    def __init__(self, tokenizer: Tokenizer, control: ControlText, texts: Sequence[str]) -> None:
        self._tokenizer, self._control = tokenizer, control
        found = {text[start] for text in texts for start, _ in control.exact.find(text)}
        originals = sorted(control.guarded | found)
        used = set().union(*texts)
        free = (chr(code) for code in _STAND_INS if chr(code) not in used)
        stand_ins = list(islice(free, len(originals)))
        if len(stand_ins) < len(originals):
            raise UserError("hold every private-use character of Unicode", key="messages")
        self._stand_in = dict(zip(originals, stand_ins, strict=True))
        self._guards = str.maketrans({sign: self._stand_in[sign] for sign in control.guarded})
        self._originals = str.maketrans(dict(zip(stand_ins, originals, strict=True)))

    def hide(self, text: str) -> str:
        """``text`` with stand-ins, as long as before."""
        letters = list(text)
        for start, _ in self._control.exact.find(text):
            letters[start] = self._stand_in[text[start]]
        text = "".join(letters)
        hidden, end = [], 0
        for start, after in self._control.kept.find(text):
            hidden += [text[end:start].translate(self._guards), text[start:after]]
            end = after
        return "".join([*hidden, text[end:].translate(self._guards)])

    def show(self, text: str) -> str:
        """``text`` without stand-ins."""
        return text.translate(self._originals)

    def texts(self, rendered: str) -> list[str]:
        """Rendered text without stand-ins, in strings to be encoded one by one: a message's tags are spelled out."""
        shown = self.show(rendered)
        texts, start = [""], 0
        for match in self._control.tags.finditer(shown):
            if rendered[match.start() : match.end()] != match[0]:
                texts[-1] += shown[start : match.start()]
                start = match.end()
                texts += [*letters_of(self._tokenizer, match[0]), ""]
        texts[-1] += shown[start:]
        return texts


@lru_cache(maxsize=8)
def control_text(tokenizer: Tokenizer) -> ControlText:
    """The control text of a tokenizer's vocabulary and chat template.

    Raises:
        UserError: the template can't be rendered at all.
    """
    # SentencePiece's letter for a space stands for one in text
    space = SPACE if tokenizer_json.is_byte_level(tokenizer.spec) else " "
    names = {
        name.replace(SPACE, space)
        for name, token_id in tokenizer.vocabulary.items()
        if token_id in tokenizer.special_ids
    }
    if (longest := max(names, key=len, default="")) and len(longest) > _LONGEST_TOKEN:
        raise UserError(
            f"the control token {short(longest)} is longer than {_LONGEST_TOKEN} characters, so that no message "
            "can be kept from imitating it",
            key="added_tokens",
        )
    frames = _frames(tokenizer)
    anywhere, lines, beginnings = _tags(tokenizer, frames)
    guarded, exact = set(), []
    for text in names | anywhere:
        ends = {text.strip()[:1], text.strip()[-1:]}
        if any(end.isalnum() for end in ends):
            exact.append(text)
        guarded |= {end for end in ends if end and not end.isalnum()}
    tags = [
        *map(re.escape, sorted(anywhere, key=len, reverse=True)),
        *(rf"(?m:^){re.escape(text)}(?=[ \t]*(?m:$))" for text in sorted(lines)),
        *(rf"(?m:^){re.escape(text)}" for text in sorted(beginnings)),
    ]
    _refuse_half_written(names, guarded, frames)
    exact += sorted(lines | beginnings)
    template = tokenizer.config["chat_template"]
    kept = set(_unlike(RENDERER.literals(template), names | anywhere, guarded))
    return ControlText(_any_of(tags), frozenset(guarded), Literals(kept), Literals(exact))


def _frames(tokenizer: Tokenizer) -> list[str]:
    """What the template writes around the messages of a few dialogues, each of which is a run of ``_CONTENT``."""
    renders = [
        template_variables(
            tokenizer, [(role, _CONTENT * _LENGTH) for role in roles], prompt=roles[-1] == "user"
        )
        for roles in _PROBES
    ]
    frames = [each.text for each in RENDERER.render(tokenizer.config["chat_template"], renders)]
    if sum(len(_RUN.findall(frame)) for frame in frames) > _MOST_GAPS:
        raise UserError(
            f"the tokenizer's chat template repeats messages more than {_MOST_GAPS} times",
            key="chat_template",
        )
    return frames


def _refuse_half_written(names: set[str], guarded: set[str], frames: Iterable[str]) -> None:
    """Refuse a template that writes both ends of a control token and lets a message write what is between.

    A message has stand-ins for the ends only, so that the token would be whole.
    """
    around = {
        (
            frame[max(gap.start() - _LONGEST_TOKEN, 0) : gap.start()],
            frame[gap.end() : gap.end() + _LONGEST_TOKEN],
        )
        for frame in frames
        for gap in _RUN.finditer(frame)
    }
    # each text that ends before a gap or begins behind one, with a bit for every gap where it does
    before: dict[str, int] = {}
    behind: dict[str, int] = {}
    lasts = {left[-1:] for left, _ in around}
    for number, (left, right) in enumerate(around):
        for cut in range(len(left)):
            before[left[cut:]] = before.get(left[cut:], 0) | 1 << number
        for cut in range(1, len(right) + 1):
            behind[right[:cut]] = behind.get(right[:cut], 0) | 1 << number
    for name in sorted(names):
        # the gaps before which the name's beginning stands, where a message could go on with it up to here
        begun = 0
        for cut in range(1, len(name)):
            if begun and (both := begun & behind.get(name[cut:], 0)) and name[cut:].strip():
                start = max(end for end in range(1, cut) if before.get(name[:end], 0) & both)
                raise UserError(
                    f"the tokenizer's chat template writes {short(name[:start])} and {short(name[cut:])} around a "
                    f"message, which could so be the control token {short(name)}; change the template",
                    key="chat_template",
                )
            if name[cut - 1] in lasts and name[:cut].strip():
                begun |= before.get(name[:cut], 0)
            if name[cut] in guarded:
                begun = 0


def _tags(tokenizer: Tokenizer, texts: Iterable[str]) -> tuple[set[str], set[str], set[str]]:
    """Tags that are ordinary text: those that count anywhere, as a line of their own, and at a line's beginning.

    Args:
        texts: see :func:`_frames`.
    """
    frames = [_without_control_tokens(tokenizer, text) for text in texts]
    anywhere = {
        match[0]
        for frame in frames
        for shape in (_BRACKETED, _HEADING, _SPEAKER)
        for match in shape.finditer(frame)
        # what is a token of its own is the model's way to write it, such as <think>
        if match[0] not in tokenizer.vocabulary
    }
    if len(anywhere) > _MOST_TAGS:
        raise UserError(
            f"the tokenizer's chat template writes more than {_MOST_TAGS} tags around messages",
            key="chat_template",
        )
    lines = {match[1] for frame in frames for match in _LINE.finditer(frame)}
    beginnings: set[str] = set()
    for header, alone in (found for frame in frames for found in _headers(frame)):
        known = header in tokenizer.vocabulary or any(tag in header for tag in anywhere)
        # a word alone, such as ChatML's "user", says nothing without the control token before it
        if known or not _LETTER.search(header) or not _MARK.search(header):
            continue
        if not header[0].isalnum() or len(header.split()) > _WORDS_OF_A_SENTENCE:
            anywhere.add(header)
        else:
            (lines if alone else beginnings).add(header)
    return anywhere, lines, beginnings


def _without_control_tokens(tokenizer: Tokenizer, text: str) -> str:
    parts, end = [], 0
    for token in control_tokens(tokenizer, text):
        parts.append(text[end : token.start])
        end = token.end
    return "\n".join([*parts, text[end:]])


def _headers(frame: str) -> Iterator[tuple[str, bool]]:
    """The last line before each message and at the end, and whether a line ends behind it."""
    for before in _RUN.split(frame):
        text = before.rstrip()
        header = text[text.rfind("\n") + 1 :].strip()
        if len(header) <= _LONGEST_HEADER:
            yield header, "\n" in before[len(text) :]


def _unlike(strings: Iterable[str], control: Iterable[str], guarded: set[str]) -> Iterator[str]:
    """The strings with guarded characters that neither hold, touch nor are part of any control text."""
    control = [text.strip() for text in control]
    all_control, affixes = "\0".join(control), Affixes(control)
    # one that is left out is disguised, as all other text is
    searched = [string for string in strings if len(string) <= _LONGEST_TOKEN and guarded & set(string)]
    for string in searched[:_MOST_SEARCHED]:
        cuts = range(len(string))
        if (
            string not in all_control
            and not any(affixes.begins(string[cut:]) for cut in cuts)
            and not any(affixes.ends(string[: cut + 1]) for cut in cuts)
            and not any(text in string for text in control)
        ):
            yield string


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(patterns) or "(?!)")
