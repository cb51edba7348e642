"""Which texts are not worth learning from: The Stack's and StarCoder's published rules.

Thresholds are in :class:`~codecascade.corpus.settings.CorpusSettings`. Each rule tells data and generated
or minified code by its shape; none of them looks at prose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from codecascade.corpus.documents import Document
from codecascade.corpus.dropped import Dropped
from codecascade.corpus.natural_language import prose
from codecascade.corpus.settings import CorpusSettings

_ALPHANUMERIC = bytes(byte for byte in range(256) if byte >= 128 or chr(byte).isalnum())


def keep_good(
    documents: Iterable[Document], settings: CorpusSettings, dropped: Dropped
) -> Iterator[Document]:
    """The documents that no rule speaks against."""
    for document in documents:
        reason = reason_to_drop(document, settings)
        if reason is None:
            yield document
        else:
            dropped.add("filter", reason)


def reason_to_drop(document: Document, settings: CorpusSettings) -> str | None:
    """Why a document is left out; none if it isn't."""
    text = document.text
    if not text.strip():
        return "empty"
    if document.kind != "code":
        # Most .txt files hold lists, tables and keys; a page of documentation has a paragraph.
        is_list = document.language == "text" and document.kind == "natural_language_code" and not prose(text)
        return "text without a paragraph" if is_list else None
    lines = text.split("\n")
    if max(map(len, lines)) > settings.longest_line:
        return "a line is too long"
    if len(text) / len(lines) > settings.mean_line:
        return "lines are too long on average"
    data = text.encode()
    # translate with `delete` counts at memory speed, where a loop over characters would take minutes
    if 1 - len(data.translate(None, _ALPHANUMERIC)) / len(data) < settings.alphanumeric_share:
        return "too few letters and digits"
    return None
