"""Questions about the user's own code: a piece of it is shown to the teacher, which asks for something alike.

The idea is OSS-Instruct's (Wei et al. 2024, "Magicoder"). What is a folder of source code becomes a corpus first, so
that the code is read, filtered and freed of keys, passwords and benchmark texts as any code that a model is trained
on, before a teacher sees it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from codecascade.corpus.build import build_corpus
from codecascade.corpus.corpus import Corpus, is_corpus
from codecascade.corpus.engines.local import LocalEngine
from codecascade.corpus.fingerprints import request_fingerprint
from codecascade.corpus.settings import CorpusSettings
from codecascade.corpus.steps.decontamination import BenchmarkTexts
from codecascade.generation.requests import SamplingParams
from codecascade.ground.errors import UserError
from codecascade.instruct.self_instruct.prompt_texts import PromptFile, PromptTexts
from codecascade.instruct.self_instruct.questions.candidates import (
    AT_ONCE,
    Candidate,
    RecentYield,
    SourceProgress,
)
from codecascade.instruct.self_instruct.questions.code_seeds import CodeSeed, code_seeds
from codecascade.instruct.self_instruct.questions.parsing import parse_questions
from codecascade.instruct.self_instruct.questions.prompted import PLAIN_STOP
from codecascade.instruct.self_instruct.questions.settings import QuestionSettings, QuestionSource
from codecascade.instruct.self_instruct.teacher import Ask, Teacher, sampling_seed

NO_PATH = "a source 'corpus' needs a path: your source code, or a corpus that was built of it"
_SEED_CORPUS = CorpusSettings(heldout_share=0.0, include_docstrings=False, natural_language_share=0.0)


class QuestionsAboutCode:
    """See :class:`~codecascade.instruct.self_instruct.questions.candidates.CandidateSource`.

    Raises:
        UserError: the code is not there or can't be used, or the prompt file is broken.
    """

    def __init__(
        self,
        source: QuestionSource,
        settings: QuestionSettings,
        teacher: Teacher,
        texts: PromptTexts,
        benchmarks: BenchmarkTexts,
        *,
        language: str,
        seed: int,
        work: Path,
        progress: Callable[[], None],
    ) -> None:
        if source.path is None:
            raise UserError(NO_PATH, key="question.sources")
        self.title = f"questions about the code of {source.path}"
        self._source, self._settings, self._teacher = source, settings, teacher
        self._language, self._seed = language, seed
        self._file = code_prompt_file(texts, chat=teacher.chat)
        self._corpus = open_code(source.path, work, benchmarks, progress)
        self.prompts = 0
        self._notes: list[str] = []
        self._licenses: Counter[str] = Counter()

    @property
    def notes(self) -> tuple[str, ...]:
        if not self._licenses:
            return tuple(self._notes)
        shares = ", ".join(f"{license_} {count:,}" for license_, count in self._licenses.most_common())
        return (*self._notes, f"the pieces of code that were shown are under these licences: {shares}")

    def candidates(self, progress: SourceProgress) -> Iterator[Candidate]:
        seeds = code_seeds(self._corpus, self._source.languages, self._seed)
        brought = RecentYield(self._settings.patience, self._settings.about_code)
        while together := list(islice(seeds, brought.prompts_for(progress.wanted, AT_ONCE))):
            asks = [self._ask(piece) for piece in together]
            for piece, (answer,) in zip(together, self._teacher.ask_in_order(asks), strict=True):
                before = progress.taken
                self.prompts += 1
                self._licenses[piece.document.license] += 1
                found = parse_questions(answer.text, finished=answer.finish_reason != "length")
                for text in found.questions:
                    yield self._candidate(text, piece)
                for text, problem in found.left_out:
                    yield self._candidate(text, piece, problem)
                brought.add(progress.taken - before)
                if brought.is_exhausted:
                    self._notes.append(brought.in_words)
                    return
        self._notes.append(f"all {self.prompts:,} pieces of code were asked about")

    def _difficulty(self, piece: CodeSeed) -> str:
        """Of the difficulties in turn, by a draw that depends on the piece alone."""
        number = sampling_seed(self._seed, "difficulty", piece.document.id, piece.name)
        return self._settings.difficulties[number % len(self._settings.difficulties)]

    def _candidate(self, text: str, piece: CodeSeed, problem: str = "") -> Candidate:
        return Candidate(
            text,
            "corpus",
            difficulty=self._difficulty(piece),
            seed=piece.provenance,
            problem=problem,
        )

    def _ask(self, piece: CodeSeed) -> Ask:
        fields = {
            "count": str(self._settings.about_code),
            "code": piece.code,
            "code_language": piece.document.language,
            "difficulty": self._difficulty(piece),
            "language": self._language,
            "path": piece.document.path,
        }
        place = f"{piece.document.id}/{piece.name}"
        sampling = SamplingParams(
            max_new_tokens=self._settings.tokens,
            temperature=self._settings.temperature,
            top_p=self._settings.top_p,
            seed=sampling_seed(self._seed, "questions about code", place),
        )
        prompt = self._file.prompt(fields, stop=() if self._teacher.chat else PLAIN_STOP)
        return Ask(f"questions/code/{place}", prompt, sampling)


def code_prompt_file(texts: PromptTexts, *, chat: bool) -> PromptFile:
    """``questions_about_code.txt``, checked."""
    return texts.file(
        "questions_about_code",
        chat=chat,
        needed=frozenset({"count", "code"}),
        known=frozenset({"difficulty", "language", "code_language", "path"}),
    )


def open_code(path: str, work: Path, benchmarks: BenchmarkTexts, progress: Callable[[], None]) -> Corpus:
    """The corpus at ``path``, or one that is built in ``work`` of the source code there.

    One that was built there stays, whatever becomes of the source code: a run that is continued asks about the same.

    Raises:
        UserError: there is no such folder, or nothing in it can be used.
    """
    folder = os.path.expanduser(path)
    if is_corpus(folder):
        return Corpus.open(folder)
    request = request_fingerprint((path,), _SEED_CORPUS)
    if not is_corpus(work) or Corpus.open(work).manifest.request != request:
        build_corpus(
            (path,),
            work,
            _SEED_CORPUS,
            benchmarks=benchmarks,
            engine=LocalEngine(os.cpu_count() or 1),
            progress=lambda *_: progress(),
        )
    return Corpus.open(work)
