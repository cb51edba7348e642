"""Parts of other files of a repository, in ids: what comes before a file's own text.

Families that were trained on repositories have tokens for that (Qwen2.5-Coder, StarCoder 2, Granite)::

    REPOSITORY name LF  SEP path LF text  SEP path LF text  ...  SEP path LF  then the file

Others get the text that llama.cpp's server writes: each part behind ``--- snippet ---``. All of it is encoded as
text, so that nothing in a file can be a control token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codecascade.tokens.tokenizer import Tokenizer

SNIPPET = "\n\n--- snippet ---\n\n"
"""What stands before each part where the family has no tokens for it."""
LETTERS = 32
"""Letters of a token at most, about: so much of a text is looked at."""
_MARKS = (("<|repo_name|>", "<|file_sep|>"), ("<repo_name>", "<file_sep>"), ("<reponame>", "<filename>"))
"""What begins a repository and what a file, by family."""


@dataclass(frozen=True)
class RepositoryChunk:
    """A part of another file of the repository."""

    path: str
    text: str


def repository_context(
    tokenizer: Tokenizer,
    chunks: Sequence[RepositoryChunk],
    room: int,
    *,
    repository: str = "",
    path: str = "",
) -> list[int]:
    """The ids of the last chunks that fit into ``room`` tokens; none if not even the last one does.

    Args:
        chunks: the last ones are the most important.
        repository: its name.
        path: of the file whose text follows.
    """
    marks = next((pair for pair in _MARKS if all(_is_special(tokenizer, name) for name in pair)), None)
    begins: list[int] = []
    ends: list[int] = []
    if marks is not None:
        begin, separator = (tokenizer.vocabulary[name] for name in marks)
        begins = [begin, *tokenizer.encode_continuation(_line(repository or "repository"))]
        ends = [separator, *tokenizer.encode_continuation(_line(path or "file"))]
    left = room - len(begins) - len(ends)
    taken: list[list[int]] = []
    for chunk in reversed(chunks):
        text = chunk.text[: max(0, left) * LETTERS]
        if marks is not None:
            ids = [separator, *tokenizer.encode_continuation(_line(chunk.path or "file") + text)]
        else:
            ids = tokenizer.encode_continuation(SNIPPET + text)
        if len(ids) > left:
            break
        left -= len(ids)
        taken.append(ids)
    if not taken:
        return []
    return [*begins, *(token for ids in reversed(taken) for token in ids), *ends]


def _is_special(tokenizer: Tokenizer, name: str) -> bool:
    return tokenizer.vocabulary.get(name, -1) in tokenizer.special_ids


def _line(name: str) -> str:
    """A name on a line of its own, whatever is in it."""
    return " ".join(name.split()) + "\n"
