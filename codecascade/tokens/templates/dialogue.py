"""A dialogue in ids by a model folder's own chat template.

The ids of a prompt are those of transformers' ``apply_chat_template`` for messages without control text. There is one
exception: an earlier answer that begins with white space begins a new token, as it did when a model wrote it. In
training every answer does, so that the ids before it are those of its prompt.

Which text belongs to an answer is found by rendering, not by knowing the format. An answer counts where the dialogue
begins with the prompt for it (``add_generation_prompt``), and a token that ends a turn follows. If that does not hold
for the last answer, the template's ``{% generation %}`` blocks count. Without those, the last answer is the
difference between two renderings, of the answer and of a mark in its place. It is put behind its prompt, as when a
model writes it: Code Llama 70B's finished dialogues have another header than its prompts, and Granite-Code's have no
token after an answer.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from codecascade.ground.errors import UserError
from codecascade.ground.files.values import first_words, short
from codecascade.tokens.messages import Message
from codecascade.tokens.templates.control_text import Disguise, control_text
from codecascade.tokens.templates.control_tokens import ControlToken, control_tokens
from codecascade.tokens.templates.renderer import RENDERER, Compared, Rendered
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
        rendered, prompts = self._compared(len(self._messages), reply, self._earlier_prompts())
        text = self._accepted(rendered)
        cuts = [each.length for each in prompts if each.begins_it]
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

    def training(self) -> tuple[list[int], list[int]]:
        """The ids of the finished dialogue, and for each the index of the message whose answer it is; -1: of none.

        An answer that would stand otherwise if it were the last counts as none: templates of reasoning models leave
        the reasoning out of all answers but that one.

        Raises:
            UserError: the template refuses the messages, or it can't be told which text is the last answer.
        """
        ways = [way for index in self._answers for way in ((index, True), (index + 1, False))]
        rendered, parts = self._compared(len(self._messages), False, ways)
        text = self._accepted(rendered)
        tokens = control_tokens(self._tokenizer, text)
        prompts, closed = parts[::2], parts[1::2]
        found = [self._answer(tokens, asked, ended) for asked, ended in zip(prompts, closed, strict=True)]
        if found and found[-1] is not None:
            spans = [
                (*span, index) for index, span in zip(self._answers, found, strict=True) if span is not None
            ]
        elif any(start < end for start, end in rendered.spans):
            spans = self._marked(rendered.spans)
        else:
            return self._by_difference(rendered)
        cuts = [asked.length for asked in prompts if asked.begins_it]
        return self._labelled(text, tokens, spans, cuts)

    def _labelled(
        self,
        text: str,
        tokens: Sequence[ControlToken],
        spans: Sequence[tuple[int, int, int]],
        cuts: Sequence[int],
    ) -> tuple[list[int], list[int]]:
        """The ids of ``text``, and for each the number of the span (start, end, number) that it begins in, or -1."""
        ids: list[int] = []
        answer_of: list[int] = []
        spans = sorted(spans)
        starts = [start for start, _, _ in spans]
        cuts = [*cuts, *(cut for start, end, _ in spans for cut in (start, end))]
        for piece in self._encoded(text, tokens, cuts):
            ids += piece.ids
            begun = bisect_right(starts, piece.start)
            inside = begun > 0 and piece.start < spans[begun - 1][1]
            answer_of += [spans[begun - 1][2] if inside else -1] * len(piece.ids)
        return ids, answer_of

    def _marked(self, blocks: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
        """The template's ``{% generation %}`` blocks, each with its answer; blocks that touch are one."""
        spans: list[tuple[int, int]] = []
        for start, end in blocks:
            if spans and spans[-1][1] == start:
                spans[-1] = (spans[-1][0], end)
            elif start < end:
                spans.append((start, end))
        if len(spans) > len(self._answers):
            raise UserError(
                f"the tokenizer's chat template marks {len(spans)} texts by {{% generation %}} in a dialogue with "
                f"{len(self._answers)} answers, so that it can't be told which is which",
                key="chat_template",
            )
        # a template may mark the last answers only
        answers = self._answers[len(self._answers) - len(spans) :]
        return [(start, end, index) for (start, end), index in zip(spans, answers, strict=True)]

    def _by_difference(self, rendered: Rendered) -> tuple[list[int], list[int]]:
        """The prompt for the last answer, and that answer as the finished dialogue has it.

        Args:
            rendered: the finished dialogue.

        Raises:
            UserError: it can't be told what of the dialogue is the answer, or what ends it.
        """
        text, index = rendered.text, self._answers[-1]
        earlier = [way for way in self._earlier_prompts() if way[0] != index]
        asked, prompts = self._compared(index, True, earlier)
        variables = template_variables(
            self._tokenizer, [*self._messages[:index], ("assistant", _MARK)], prompt=False
        )
        (marked,) = RENDERER.render(self._template, [variables])
        before, found, after = marked.text.partition(_MARK)
        answer = text[len(before) : len(text) - len(after)] if found else ""
        if asked.error is not None or not asked.text:
            raise _ambiguous("it refuses to write the prompt for an answer")
        if marked.error is not None or text != before + answer + after or _MARK in after:
            raise _ambiguous("where the answer stands in a dialogue depends on what it says")
        if self._messages[index][1].strip() not in answer:
            raise _ambiguous("it changes the text of an answer")
        begun = asked.text + answer
        tokens = [token for token in control_tokens(self._tokenizer, begun + after) if token.end > len(begun)]
        end = tokens[0].end if tokens else len(begun)
        between = (begun + after)[len(begun) : tokens[0].start if tokens else None]
        if between.strip():
            raise _ambiguous(
                f"it writes {short(between.strip())} after an answer, which is no token that ends a turn"
            )
        whole = (begun + after)[:end]
        spans = [(len(asked.text), max(end, len(begun)), index)]
        cuts = [prompt.length for prompt in prompts if prompt.begins_it]
        ids, answer_of = self._labelled(whole, control_tokens(self._tokenizer, whole), spans, cuts)
        if not tokens:
            # the template ends answers by white space; a model ends its own by the token that ends a document
            eos = self._tokenizer.eos_id
            ids.append(self._tokenizer.end_of_document_id if eos is None else eos)
            answer_of.append(index)
        return ids, answer_of

    def _answer(
        self, tokens: Sequence[ControlToken], asked: Compared, ended: Compared
    ) -> tuple[int, int] | None:
        """Where an answer and the token that ends it stand in the text; None where the template does not tell."""
        if ended.error is not None or not asked.begins_it:
            return None
        start = asked.length
        after = bisect_left(tokens, start, key=lambda token: token.start)
        if after and start < tokens[after - 1].end:
            # a token that takes the white space after it takes the answer's, too
            start = tokens[after - 1].end
        stops = {*self._tokenizer.stop_ids, *turn_ends(self._tokenizer)}
        following = (tokens[number] for number in range(after, len(tokens)))
        end = next((token.end for token in following if token.id in stops), None)
        return None if end is None or end > ended.common else (start, end)

    def _earlier_prompts(self) -> list[tuple[int, bool]]:
        """The prompts of the answers that begin with white space."""
        earlier = [index for index in self._answers if self._messages[index][1][:1].isspace()]
        return [(index, True) for index in earlier] if len(earlier) <= _MOST_CUTS else []

    def _compared(
        self, count: int, reply: bool, ways: Sequence[tuple[int, bool]]
    ) -> tuple[Rendered, list[Compared]]:
        """The first ``count`` messages rendered, as a prompt for a reply where that is wanted.

        For each of ``ways``, which are fewer messages, also how their rendering is alike.
        """
        variables = template_variables(self._tokenizer, self._messages[:count], prompt=reply)
        return RENDERER.compare(self._template, variables, ways)

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
        start, cuts = 0, sorted({*cuts})
        for token in tokens:
            yield from self._text(text, start, token.start, cuts)
            yield _EncodedText(token.start, [token.id])
            start = token.end
        yield from self._text(text, start, len(text), cuts)

    def _text(self, text: str, start: int, end: int, cuts: Sequence[int]) -> Iterator[_EncodedText]:
        """Text between control tokens, in ids; the cuts are in order."""
        borders = [start, *cuts[bisect_right(cuts, start) : bisect_left(cuts, end)], end]
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


def _ambiguous(reason: str) -> UserError:
    return UserError(
        f"the tokenizer's chat template does not tell where an answer begins and ends: {reason}. Mark answers in it "
        "by {% generation %} and {% endgeneration %}, or name another format in the recipe (chat_format)",
        key="chat_template",
    )


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
