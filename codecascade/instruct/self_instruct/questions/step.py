"""The question step: from its sources to questions of which no two are the same and none is a benchmark's.

The sources are read in turn, each in proportion to its share, until enough questions are taken. A question that
leaves is replaced by the next one of its source, so that the shares hold for what is taken. The order in which
questions are taken does not depend on how many are wanted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator

from codecascade.corpus.sources.find import source_exists
from codecascade.corpus.steps.decontamination import BenchmarkTexts
from codecascade.ground.errors import UserError
from codecascade.ground.files.paths import expanded
from codecascade.instruct.self_instruct.languages.table import form_of
from codecascade.instruct.self_instruct.prompt_texts import PromptTexts
from codecascade.instruct.self_instruct.questions.about_code import (
    NO_PATH,
    QuestionsAboutCode,
    code_prompt_file,
)
from codecascade.instruct.self_instruct.questions.candidates import Candidate, CandidateSource, TakenQuestions
from codecascade.instruct.self_instruct.questions.contamination import BenchmarkCheck
from codecascade.instruct.self_instruct.questions.file_source import QuestionsOfFile
from codecascade.instruct.self_instruct.questions.prompted import PromptedQuestions, prompt_file
from codecascade.instruct.self_instruct.questions.settings import QuestionSource
from codecascade.instruct.self_instruct.questions.topics import path_of, read_topics
from codecascade.instruct.self_instruct.questions.wording import AlikeIndex, question_id
from codecascade.instruct.self_instruct.settings import SelfInstructSettings
from codecascade.instruct.self_instruct.teacher import Teacher
from codecascade.instruct.self_instruct.triplets import DroppedQuestion, Question, QuestionsMade

ALIKE = 0.8
"""From this share of common content words on, near-duplicates are counted where none is removed."""
REASONS = ("unusable", "duplicate", "near_duplicate", "contaminated")

QuestionProgress = Callable[[int, int], None]
"""Called with the questions taken so far and the number that is wanted."""


def needs_teacher(settings: SelfInstructSettings) -> bool:
    """Whether one of the sources asks a teacher."""
    return any(source.source != "file" for source in settings.question.sources)


def make_questions(
    settings: SelfInstructSettings,
    teacher: Teacher | None,
    benchmarks: BenchmarkTexts,
    progress: QuestionProgress,
) -> QuestionsMade:
    """The questions of a run. What a teacher answered before is in its journal, and is not asked again.

    Args:
        teacher: who is asked; None is enough where :func:`needs_teacher` says so.

    Returns:
        as many questions as are wanted, or fewer where the sources have no more. A note then says why.

    Raises:
        UserError: a file of questions, topics or prompts, or the code to ask about, is missing or broken.
        RunFailed: the teacher does not answer any more.
    """
    return _QuestionStep(settings, teacher, benchmarks, progress).run()


class _Share:
    """A source with its share of the questions, and how many were taken of it.

    It is the source's :class:`~codecascade.instruct.self_instruct.questions.candidates.SourceProgress`.
    """

    def __init__(
        self, source: QuestionSource, candidate_source: CandidateSource, wanted: Callable[[_Share], int]
    ) -> None:
        self.share, self.candidate_source, self._wanted = source.share, candidate_source, wanted
        self.candidates = candidate_source.candidates(self)
        self.taken = 0

    @property
    def wanted(self) -> int:
        return self._wanted(self)


class _QuestionStep:
    def __init__(
        self,
        settings: SelfInstructSettings,
        teacher: Teacher | None,
        benchmarks: BenchmarkTexts,
        progress: QuestionProgress,
    ) -> None:
        self._settings, self._question = settings, settings.question
        self._benchmarks, self._progress = benchmarks, progress
        self._taken = TakenQuestions()
        self._check = BenchmarkCheck(
            benchmarks, overlap=self._question.benchmark_overlap, alike=self._question.benchmark_alike
        )
        self._alike = AlikeIndex(self._question.near_duplicates or ALIKE)
        self._questions: list[Question] = []
        self._dropped: list[DroppedQuestion] = []
        self._parsed = self._resembling = 0
        self._shares: list[_Share] = []
        for source in self._question.sources:
            self._shares.append(self._opened(source, teacher))
        self._open = list(self._shares)

    def _opened(self, source: QuestionSource, teacher: Teacher | None) -> _Share:
        settings = self._settings
        candidate_source: CandidateSource
        if source.source == "file":
            assert source.path is not None
            candidate_source = QuestionsOfFile(source.path)
        else:
            assert teacher is not None
            texts = prompt_texts(settings)
            language = form_of(settings.language).title
            if source.source == "prompt":
                candidate_source = PromptedQuestions(
                    self._question, teacher, self._taken, texts, language=language, seed=settings.seed
                )
            else:
                candidate_source = QuestionsAboutCode(
                    source,
                    self._question,
                    teacher,
                    texts,
                    self._benchmarks,
                    language=language,
                    seed=settings.seed,
                    work=teacher.journal.path.parent / f"code-{len(self._shares)}",
                    progress=lambda: self._progress(0, settings.questions),
                )
        return _Share(source, candidate_source, self._wanted)

    def _wanted(self, share: _Share) -> int:
        """How many more questions this source has to bring, if the others bring theirs."""
        missing = self._settings.questions - len(self._questions)
        return max(1, math.ceil(missing * share.share / sum(each.share for each in self._open)))

    def run(self) -> QuestionsMade:
        while self._open and len(self._questions) < self._settings.questions:
            share = min(self._open, key=lambda each: each.taken / each.share)
            candidate = next(share.candidates, None)
            if candidate is None:
                self._open.remove(share)
            elif self._took(candidate):
                share.taken += 1
                self._progress(len(self._questions), self._settings.questions)
        reasons = Counter(dropped.reason for dropped in self._dropped)
        return QuestionsMade(
            tuple(self._questions),
            {
                "prompts": sum(share.candidate_source.prompts for share in self._shares),
                "parsed": self._parsed,
                **{reason: reasons[reason] for reason in REASONS},
            },
            tuple(self._dropped),
            tuple(self._notes()),
        )

    def _took(self, candidate: Candidate) -> bool:
        """Whether a question is taken; else it is noted why not."""
        self._parsed += 1
        id_ = question_id(candidate.text)
        if candidate.problem or not id_:
            return self._drop(candidate, "unusable", candidate.problem or "no words")
        if id_ in self._taken:
            return self._drop(candidate, "duplicate")
        alike = self._alike.match(candidate.text)
        if alike is not None and self._question.near_duplicates is not None:
            return self._drop(
                candidate, "near_duplicate", f"{alike[1]:.0%} of the words of: {self._taken[alike[0]]}"
            )
        if benchmark := self._check.match(candidate.text):
            return self._drop(candidate, "contaminated", benchmark)
        self._resembling += alike is not None
        self._taken.take(id_, candidate)
        self._alike.add(id_, candidate.text)
        self._questions.append(
            Question(
                id_,
                candidate.text,
                candidate.source,
                candidate.topic,
                candidate.difficulty,
                candidate.seed,
                candidate.entry_point,
            )
        )
        return True

    def _drop(self, candidate: Candidate, reason: str, detail: str = "") -> bool:
        self._dropped.append(DroppedQuestion(candidate.text, reason, detail, candidate.source))
        return False

    def _notes(self) -> Iterator[str]:
        if self._benchmarks.checked:
            yield f"checked against the texts of {', '.join(self._benchmarks.checked)}"
        if self._benchmarks.unchecked:
            names = ", ".join(self._benchmarks.unchecked)
            yield f"not checked against these benchmarks, for their data is not here: {names}"
        if not self._benchmarks.checked and not self._benchmarks.unchecked:
            yield "not checked against any benchmark"
        if self._question.near_duplicates is None:
            yield (
                f"{self._resembling:,} of {len(self._questions):,} questions share {ALIKE:.0%} of their content "
                "words with an earlier one; question.near_duplicates leaves such questions out"
            )
        for share in self._shares:
            for note in share.candidate_source.notes:
                yield f"{share.candidate_source.title}: {note}"
        if len(self._questions) < self._settings.questions:
            yield (
                f"{self._settings.questions:,} questions were wanted, and the sources have brought "
                f"{len(self._questions):,}"
            )


def check_questions(settings: SelfInstructSettings) -> None:
    """Find what can be found without a teacher: broken files of questions, topics and prompts, and missing code.

    Raises:
        UserError: as :func:`make_questions`.
    """
    form_of(settings.language)
    texts = prompt_texts(settings)
    read_topics(path_of(settings.question.topics))
    for source in settings.question.sources:
        if source.source == "file":
            assert source.path is not None
            QuestionsOfFile(source.path)
            continue
        for chat in (True, False):
            prompt_file(texts, chat=chat) if source.source == "prompt" else code_prompt_file(texts, chat=chat)
        if source.source == "corpus":
            if source.path is None:
                raise UserError(NO_PATH, key="question.sources")
            if not source_exists(source.path):
                raise UserError(f"there is no {source.path}", key="question.sources")


def prompt_texts(settings: SelfInstructSettings) -> PromptTexts:
    """The prompt files of a run."""
    return PromptTexts(None if settings.prompts is None else expanded(settings.prompts))
