"""A dialogue in ids by a model folder's own chat template.

The ids of a prompt are those of transformers' ``apply_chat_template`` for messages without control text. There is one
exception: an earlier answer that begins with white space begins a new token, as it did when a model wrote it. In
training every answer does, so that the ids before it are those of its prompt.

Which text belongs to an answer is found by rendering: the dialogue must begin with the prompt for the answer
(``add_generation_prompt``), and a token that ends a turn must follow the answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from codecascade.ground.errors import UserError
from codecascade.ground.files.values import first_words
from codecascade.tokens.messages import Message
from codecascade.tokens.templates.control_text import Disguise, control_text
from codecascade.tokens.templates.control_tokens import ControlToken, control_tokens
from codecascade.tokens.templates.renderer import RENDERER, Rendered
from codecascade.tokens.templates.variables import template_variables
from codecascade.tokens.tokenizer import Tokenizer, well_formed

# Each cut before an earlier answer needs a rendering of its own; a dialogue with more such answers gets none.
_MOST_CUTS = 128
_PROBE = "x"
_MARK = "\U00100000"
"""A private-use character, which no template writes."""


@dataclass(frozen=True)
class _EncodedText:
    """Ids of the characters from ``start`` on: one control token, or text between two."""

    start: int
    ids: list[int]


class RenderedDialogue:
    """A dialogue of one tokenizer, rendered in several ways with the same disguise.

    Args:
        prefill: how the reply to the messages begins.

    Raises:
        UserError: the template can't be read, or takes too much.
    """

    def __init__(self, tokenizer: Tokenizer, messages: Sequence[Message], prefill: str = "") -> None:
        self._tokenizer = tokenizer
        contents = [well_formed(message.content) for message in messages]
        self._prefill = well_formed(prefill)
        template: str = tokenizer.config["chat_template"]
        self._template = template
        self._disguise = Disguise(tokenizer, control_text(tokenizer), [*contents, self._prefill, template])
        self._messages = [
            (message.role, self._disguise.hide(content))
            for message, content in zip(messages, contents, strict=True)
        ]
        self._answers = [index for index, message in enumerate(messages) if message.role == "assistant"]

    def prompt(self, *, reply: bool) -> list[int]:
        """The ids of the dialogue; with ``reply``, those after which an answer comes.

        Raises:
            UserError: the template refuses the messages.
        """
        rendered, *prompts = self._render((len(self._messages), reply), *self._earlier_prompts())
        text = self._accepted(rendered)
        cuts = [len(each.text) for each in prompts if _begins(text, each)]
        tokens = control_tokens(self._tokenizer, text)
        return [token_id for piece in self._encoded(text, tokens, cuts) for token_id in piece.ids]

    def reply_start(self) -> list[int]:
        """The ids of the beginning of a reply: what the template writes before every answer, and ``prefill``."""
        asked = template_variables(self._tokenizer, self._messages, prompt=True)
        answered = template_variables(self._tokenizer, [*self._messages, ("assistant", _MARK)], prompt=False)
        prompt, answer = RENDERER.render(self._template, [asked, answered])
        start = self._accepted(prompt)
        rest = answer.text[len(start) :] if answer.error is None and answer.text.startswith(start) else ""
        before, found, _ = rest.partition(_MARK)
        frame = start + (before if found else "")
        # looked for before the prefill is there: a token that takes the white space after it must leave the prefill's
        tokens = control_tokens(self._tokenizer, frame)
        pieces = self._encoded(frame + self._disguise.hide(self._prefill), tokens, [len(start)])
        return [token_id for piece in pieces if piece.start >= len(start) for token_id in piece.ids]

    def training(self) -> tuple[list[int], list[bool]]:
        """The ids of the finished dialogue, and for each whether it belongs to an answer.

        An answer that would stand otherwise if it were the last counts as none: templates of reasoning models leave
        the reasoning out of all answers but that one.

        Raises:
            UserError: the template refuses the messages, or it can't be told which text is the last answer.
        """
        count = len(self._messages)
        ends = [(index + 1, False) for index in self._answers]
        rendered, *others = self._render((count, False), *((index, True) for index in self._answers), *ends)
        text = self._accepted(rendered)
        tokens = control_tokens(self._tokenizer, text)
        prompts, closed = others[: len(self._answers)], others[len(self._answers) :]
        found = [
            self._answer(text, tokens, asked, ended) for asked, ended in zip(prompts, closed, strict=True)
        ]
        if found and found[-1] is not None:
            spans = [span for span in found if span is not None]
        else:
            spans = [span for span in rendered.spans if span[0] < span[1]]
        if not spans:
            raise UserError(
                "the tokenizer's chat template does not tell where an answer begins and ends: its prompt for an "
                "answer is not how the finished dialogue goes on, or no token that ends a turn follows it. Mark "
                "answers in it by {% generation %} and {% endgeneration %}, or name another format in the recipe "
                "(chat_format)",
                key="chat_template",
            )
        cuts = [len(asked.text) for asked in prompts if _begins(text, asked)]
        ids: list[int] = []
        is_answer: list[bool] = []
        cuts += [cut for span in spans for cut in span]
        for piece in self._encoded(text, tokens, cuts):
            ids += piece.ids
            inside = any(start <= piece.start < end for start, end in spans)
            is_answer += [inside] * len(piece.ids)
        return ids, is_answer

    def _answer(
        self, text: str, tokens: Sequence[ControlToken], asked: Rendered, ended: Rendered
    ) -> tuple[int, int] | None:
        """Where an answer and the token that ends it stand in ``text``; None where the template does not tell."""
        if ended.error is not None or not _begins(text, asked):
            return None
        start, limit = len(asked.text), _common_start(text, ended.text)
        # a token that takes the white space after it takes the answer's, too
        start = next((token.end for token in tokens if token.start < start < token.end), start)
        stops = {*self._tokenizer.stop_ids, *turn_ends(self._tokenizer)}
        end = next((token.end for token in tokens if token.start >= start and token.id in stops), None)
        return None if end is None or end > limit else (start, end)

    def _earlier_prompts(self) -> list[tuple[int, bool]]:
        """The prompts of the answers that begin with white space."""
        earlier = [index for index in self._answers if self._messages[index][1][:1].isspace()]
        return [(index, True) for index in earlier] if len(earlier) <= _MOST_CUTS else []

    def _render(self, *ways: tuple[int, bool]) -> list[Rendered]:
        """For each of ``ways``, the first so many messages rendered, as a prompt for a reply where that is wanted."""
        return RENDERER.render(
            self._template,
            [
                template_variables(self._tokenizer, self._messages[:count], prompt=reply)
                for count, reply in ways
            ],
        )

    def _accepted(self, rendered: Rendered) -> str:
        if rendered.error is not None:
            reason = first_words(Exception(self._disguise.show(rendered.error)))
            raise UserError(f"the tokenizer's chat template refuses them: {reason}", key="messages")
        if not rendered.text:
            raise UserError(
                "the tokenizer's chat template writes nothing for this dialogue", key="chat_template"
            )
        return rendered.text

    def _encoded(
        self, text: str, tokens: Sequence[ControlToken], cuts: Sequence[int]
    ) -> Iterator[_EncodedText]:
        """``text`` in ids, in order; no token reaches over one of the ``cuts``, unless it is one of ``tokens``."""
        start = 0
        for token in tokens:
            yield from self._text(text, start, token.start, cuts)
            yield _EncodedText(token.start, [token.id])
            start = token.end
        yield from self._text(text, start, len(text), cuts)

    def _text(self, text: str, start: int, end: int, cuts: Sequence[int]) -> Iterator[_EncodedText]:
        """Text between control tokens, in ids."""
        borders = [start, *sorted({cut for cut in cuts if start < cut < end}), end]
        for left, right in pairwise(borders):
            first, *rest = self._disguise.texts(text[left:right])
            if left == 0:
                ids = self._tokenizer.encode(first)
            elif left == start:
                ids = self._tokenizer.encode_after_special(first)
            else:
                ids = self._tokenizer.encode_continuation(first)
            for part in rest:
                ids += self._tokenizer.encode_continuation(part)
            if ids:
                yield _EncodedText(left, ids)


def _common_start(first: str, second: str) -> int:
    """How many characters two texts begin with together."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((index for index, (one, other) in pairs if one != other), min(len(first), len(second)))


def _begins(text: str, prompt: Rendered) -> bool:
    return prompt.error is None and text.startswith(prompt.text)


@lru_cache(maxsize=8)
def turn_ends(tokenizer: Tokenizer) -> tuple[int, ...]:
    """The control token that a template writes after an answer; none where it writes none or can't be rendered."""
    dialogue = [("user", _PROBE), ("assistant", _MARK)]
    try:
        variables = template_variables(tokenizer, dialogue, prompt=False)
        (rendered,) = RENDERER.render(tokenizer.config["chat_template"], [variables])
    except UserError:
        return ()
    answer = rendered.text.rfind(_MARK)
    tokens = control_tokens(tokenizer, rendered.text) if answer >= 0 else []
    after = [token.id for token in tokens if token.start > answer]
    return tuple(after[:1])
