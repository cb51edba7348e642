"""The files that questions depend on beside the settings: a finished folder is finished as long as these stay.

Source code that questions are asked about is not among them: it becomes a corpus in the output folder, which stays.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from codecascade.corpus.corpus import Corpus, is_corpus
from codecascade.corpus.steps.decontamination import BenchmarkTexts
from codecascade.ground.files.paths import expanded
from codecascade.instruct.self_instruct.prompt_texts import PromptTexts
from codecascade.instruct.self_instruct.questions.about_code import code_prompt_file
from codecascade.instruct.self_instruct.questions.prompted import prompt_file
from codecascade.instruct.self_instruct.questions.settings import QuestionSettings
from codecascade.instruct.self_instruct.questions.topics import path_of, read_topics


def inputs_digest(
    settings: QuestionSettings, texts: PromptTexts, benchmarks: BenchmarkTexts, *, chat: bool
) -> str:
    """A hash of what the files hold that are read for questions, and of the texts that no question may share.

    Args:
        chat: which form of the prompts is asked in.

    Raises:
        UserError: a file of topics or prompts, or a corpus, is missing or broken.
    """
    state = blake2b(digest_size=12)
    for part in _parts(settings, texts, benchmarks, chat):
        state.update(len(part).to_bytes(8, "big") + part)
    return state.hexdigest()


def _parts(
    settings: QuestionSettings, texts: PromptTexts, benchmarks: BenchmarkTexts, chat: bool
) -> Iterator[bytes]:
    for source in settings.sources:
        if source.source == "file":
            yield _content(expanded(source.path or ""))
            continue
        if source.source == "prompt":
            yield prompt_file(texts, chat=chat).text.encode()
            yield "\n".join(read_topics(path_of(settings.topics))).encode()
            continue
        yield code_prompt_file(texts, chat=chat).text.encode()
        folder = os.path.expanduser(source.path or "")
        if is_corpus(folder):
            yield str(Corpus.open(folder).manifest.request).encode()
    for name, text in sorted(benchmarks.texts.items()):
        yield name.encode()
        yield text.encode("utf-8", "surrogatepass")


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        # The question step says what is wrong with it.
        return b""
