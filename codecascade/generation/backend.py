"""The backend protocol: requests and completions that are text, which is what evaluation asks a model.

Below it, a generator takes requests in token ids (:mod:`~codecascade.generation.requests`). The model in memory is in
:mod:`~codecascade.generation.local_backend`, the one behind a server in :mod:`~codecascade.generation.endpoint`. A
backend makes token ids of a prompt (a model in memory) or the body of an HTTP request (an endpoint). Control tokens
of infilling and chat formats are the backend's business: no text spells them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from codecascade.generation.editing.prompt import EditorPrompt
from codecascade.generation.editing.stops import EditorLines, EditorStops
from codecascade.generation.requests import FinishReason, SamplingParams
from codecascade.tokens.chat import Message
from codecascade.tokens.reference import ReferenceTokens
from codecascade.tokens.repository import RepositoryChunk
from codecascade.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class RepositoryContext:
    """The repository around a prompt, as an editor sends it: parts of other files come before the prompt.

    Attributes:
        most_tokens: of prompt and completion together. What does not fit is left out: lines far from the cursor
            first, and of the chunks the first ones (:mod:`codecascade.generation.editing.prompt`).
        path: of the file that the prompt is from.
        chunks: the last ones are the most important.
        context_share: of the room, what chunks get at most.
    """

    most_tokens: int
    path: str = ""
    repository: str = ""
    chunks: tuple[RepositoryChunk, ...] = ()
    context_share: float = 0.5

    def prompt(self, prefix: str, suffix: str = "") -> EditorPrompt:
        """What is known at a cursor between ``prefix`` and ``suffix``."""
        return EditorPrompt(
            prefix, suffix, self.path, self.repository, self.chunks, context_share=self.context_share
        )


@dataclass(frozen=True)
class TextPrompt:
    """Go on after ``prompt``, up to the first of the ``stop`` strings (which is not part of the completion).

    With ``heal`` the prompt may end inside a token (an endpoint: in white space); without it is taken as it is.

    With ``stop_after_text`` white space alone is no completion: a stop string counts behind some text only. So a
    completion of one line may begin with the line break that the prompt lacks.

    With ``beyond_context`` a model in memory reads a prompt that is longer than its config's positions (RoPE has no
    last one), rather than to generate nothing.

    With ``editor_stops`` the completion ends where an editor's would, whose model does not see what is behind the
    cursor.

    With ``repository`` parts of other files come before it, and it is cut to fit.
    """

    prompt: str
    stop: tuple[str, ...] = ()
    heal: bool = True
    stop_after_text: bool = False
    beyond_context: bool = False
    editor_stops: EditorStops | None = None
    repository: RepositoryContext | None = None


@dataclass(frozen=True)
class InfillingPrompt:
    """Fill the gap between ``prefix`` and ``suffix``.

    ``format`` is the layout, ``psm`` or ``spm``; with ``heal`` the prefix may end inside a token. An endpoint
    that takes a ``suffix`` chooses its own layout.

    With ``editor_lines`` the completion ends where an editor's would that asks for so much; ``language`` helps to see
    where (:class:`~codecascade.generation.editing.stops.EditorStops`). ``repository`` as for :class:`TextPrompt`.
    """

    prefix: str
    suffix: str
    format: str = "psm"
    heal: bool = True
    stop: tuple[str, ...] = ()
    editor_lines: EditorLines | None = None
    language: str | None = None
    repository: RepositoryContext | None = None

    @property
    def editor_stops(self) -> EditorStops | None:
        """What an editor wants of the completion, if it is one's."""
        if self.editor_lines is None:
            return None
        return EditorStops(self.prefix, self.suffix, self.language, self.editor_lines)


@dataclass(frozen=True)
class ChatPrompt:
    """Reply to ``messages``, the last of which is the user's, in the model's chat format.

    The reply begins with ``prefill``, which is not part of the completion. It ends before one of the ``stop``
    strings. A backend that can't begin a reply (most endpoints) leaves out both: what reads the completion has to
    expect that.
    """

    messages: tuple[Message, ...]
    prefill: str = ""
    stop: tuple[str, ...] = ()


Prompt = TextPrompt | InfillingPrompt | ChatPrompt


@dataclass(frozen=True)
class TextRequest:
    """A prompt of which the samples ``numbers`` are wanted; they share its prefill.

    A sample depends on ``sampling`` (its seed included) and its own number, not on which others are asked for.

    With ``references`` a backend that can tells how likely those answers are, too (``TextCompletion.references``).
    """

    prompt: Prompt
    sampling: SamplingParams = field(default_factory=SamplingParams)
    numbers: tuple[int, ...] = (0,)
    references: Callable[[Tokenizer], Sequence[ReferenceTokens]] | None = None


@dataclass(frozen=True)
class ReferenceScores:
    """How likely a reference answer is: the natural logarithm of the probability of each of its tokens.

    With ``ends`` the last of them is none of the text, but ends the answer.
    """

    logprobs: tuple[float, ...]
    ends: bool = False


@dataclass(frozen=True)
class TextCompletion:
    """One sample; ``request`` is the index of its request in the list that was given.

    Attributes:
        finish_reason: ``stop``, ``length`` (``max_new_tokens`` or the context's end), or ``context``: the prompt
            leaves no room in the model's context, and nothing was generated.
        ended: the model ended the text itself, by a token of its own, not by a stop string or a limit.
        tokens: how many were generated, as far as that is known.
        references: of the request's reference answers; None if it has none, or the backend passed them over.
    """

    request: int
    sample: int
    text: str
    finish_reason: FinishReason = "stop"
    ended: bool = False
    tokens: int = 0
    references: tuple[ReferenceScores, ...] | None = None


class Backend(Protocol):
    """A model that completes text: in memory, or behind an endpoint."""

    @property
    def name(self) -> str:
        """What a table calls the model."""
        ...

    @property
    def context_length(self) -> int | None:
        """Most tokens of prompt and completion together; None where that is not known."""
        ...

    @property
    def infilling_formats(self) -> tuple[str, ...]:
        """The layouts of an :class:`InfillingPrompt` that it knows; none for a model that can't infill."""
        ...

    @property
    def is_chat(self) -> bool:
        """Whether it has a chat format, so that it can reply to a :class:`ChatPrompt`."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of ``text``; an estimate where the tokenizer is not known."""
        ...

    def describe(self) -> dict[str, str]:
        """What a reader has to know to measure the same model again: revision, precision, device, address ..."""
        ...

    def complete(self, requests: Sequence[TextRequest]) -> Iterator[TextCompletion]:
        """Each sample of each request as soon as it is there, in any order."""
        ...
