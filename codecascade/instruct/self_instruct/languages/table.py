"""The table of languages. A new language is one file, and one line here."""

from __future__ import annotations

from codecascade.ground.errors import UserError
from codecascade.instruct.self_instruct.languages.form import LanguageForm
from codecascade.instruct.self_instruct.languages.javascript import JAVASCRIPT
from codecascade.instruct.self_instruct.languages.python import PYTHON
from codecascade.sandbox.languages.table import canonical_name, why_unusable

LANGUAGES: dict[str, LanguageForm] = {language.name: language for language in (PYTHON, JAVASCRIPT)}


def form_of(name: str) -> LanguageForm:
    """The entry of a language, by any of its names.

    Raises:
        UserError: there is no such language, self-instruct can't use it, or its programs can't be run here.
    """
    usable = " or ".join(LANGUAGES)
    try:
        known = canonical_name(name)
    except UserError:
        # the sandbox would name all languages that it runs
        raise UserError(f"there is no language {name!r}; take {usable}", key="language") from None
    if known not in LANGUAGES:
        raise UserError(
            f"{name} can be run, but self-instruct can't read its tests; take {usable}", key="language"
        )
    if reason := why_unusable(known):
        raise UserError(reason, key="language")
    return LANGUAGES[known]
