"""The part of a file around the cursor for which a prompt has room."""

from __future__ import annotations

from codecascade.server.requests.prompts import longest_piece
from codecascade.tokens.infilling import written_bytes
from codecascade.tokens.tokenizer import Tokenizer

_SUFFIX_SHARE = 4
"""The suffix gets at least one part in so many, as in llama.cpp."""


def fitted(tokenizer: Tokenizer, prefix: str, suffix: str, room: int) -> tuple[str, str]:
    """``(prefix, suffix)`` of about ``room`` tokens, the same where that is enough.

    The prefix begins, and the suffix ends, where a line does, unless most of what there is room for is one line; what
    is left of the cursor in its own line stays.
    """
    most = 4 * longest_piece(tokenizer) * max(room, 1)
    before = tokenizer.encode(prefix[-most:])
    after = tokenizer.encode_continuation(suffix[:most])
    if len(before) + len(after) <= room and len(prefix) <= most and len(suffix) <= most:
        return prefix, suffix
    of_suffix = min(len(after), max(room // _SUFFIX_SHARE, room - len(before), 0))
    of_prefix = max(room - of_suffix, 1)
    kept = len(written_bytes(tokenizer, before[-of_prefix:]))
    shown = prefix.encode(errors="replace")[-kept:].decode(errors="ignore") if kept else ""
    if len(shown) < len(prefix) and 0 <= (end := shown.find("\n")) < len(shown) / 2:
        shown = shown[end + 1 :]
    kept = len(written_bytes(tokenizer, after[:of_suffix]))
    following = suffix.encode(errors="replace")[:kept].decode(errors="ignore")
    if len(following) < len(suffix) and (end := following.rfind("\n")) >= len(following) / 2:
        following = following[: end + 1]
    return shown, following
