"""Questions by prompt: many at a time, on topics and difficulties that are asked for in turn.

A round has one prompt for each topic. From the second round on a prompt names the newest questions of its topic,
which should not be asked again. So the prompts of a round can be asked together, and none depends on how many
questions are wanted: a run that is continued with more questions asks the same prompts, and then more of them.

Questions of other topics are never named, however often they come again. A small teacher takes what is named for
examples: it asks them in other words, they are named again, and in the end it asks nothing else, whatever the topic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

from codecascade.generation.backend import Prompt
from codecascade.generation.requests import SamplingParams
from codecascade.instruct.self_instruct.prompt_texts import PromptFile, PromptTexts
from codecascade.instruct.self_instruct.questions.candidates import (
    AT_ONCE,
    Candidate,
    RecentYield,
    SourceProgress,
    TakenQuestions,
)
from codecascade.instruct.self_instruct.questions.parsing import parse_questions
from codecascade.instruct.self_instruct.questions.settings import QuestionSettings
from codecascade.instruct.self_instruct.questions.topics import Theme, path_of, read_topics, theme
from codecascade.instruct.self_instruct.teacher import Answer, Ask, Teacher, sampling_seed

LONGEST_NAMED = 200
"""Characters of an earlier question that a prompt names."""
PLAIN_STOP = ("\n#",)
"""Where a base model goes on with another list."""
TOO_LONG = (
    "; they do not fit into the teacher's context: set question.shown lower, or shorten the prompt's file"
)


class PromptedQuestions:
    """See :class:`~codecascade.instruct.self_instruct.questions.candidates.CandidateSource`.

    Raises:
        UserError: the prompt file or the file of topics is broken.
    """

    title = "questions by prompt"

    def __init__(
        self,
        settings: QuestionSettings,
        teacher: Teacher,
        taken: TakenQuestions,
        texts: PromptTexts,
        *,
        language: str,
        seed: int,
        topics: Sequence[str] | None = None,
    ) -> None:
        self._settings, self._teacher, self._taken = settings, teacher, taken
        self._language, self._seed = language, seed
        self._topics = topics if topics is not None else read_topics(path_of(settings.topics))
        self._file = prompt_file(texts, chat=teacher.chat)
        self.prompts = 0
        self._notes: list[str] = []

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes)

    def candidates(self, progress: SourceProgress) -> Iterator[Candidate]:
        brought = RecentYield(self._settings.patience, self._settings.batch)
        too_long = 0
        for round_ in count():
            waiting = [self._ask(number) for number in self._numbers(round_)]
            while waiting:
                # no more than were asked before, so that a useless teacher is soon found out
                most = min(AT_ONCE, max(1, self.prompts))
                many = brought.prompts_for(progress.wanted, most)
                asks, waiting = waiting[:many], waiting[many:]
                for (answer,) in self._teacher.ask_in_order(asks):
                    asked, before = self._theme(self.prompts), progress.taken
                    self.prompts += 1
                    too_long = too_long + 1 if answer.finish_reason == "context" else 0
                    yield from self._read(answer, asked)
                    brought.add(progress.taken - before)
                    if brought.is_exhausted:
                        self._notes.append(brought.in_words + (TOO_LONG if too_long else ""))
                        return

    def _numbers(self, round_: int) -> range:
        """The prompts of a round."""
        return range(round_ * len(self._topics), (round_ + 1) * len(self._topics))

    def _theme(self, number: int) -> Theme:
        return theme(number, self._topics, self._settings.difficulties, self._seed)

    def _prompt(self, number: int) -> Prompt:
        asked = self._theme(number)
        avoid = self._taken.newest_of(asked.topic, self._settings.shown)
        fields = {
            "count": str(self._settings.batch),
            "topic": asked.topic,
            "difficulty": asked.difficulty,
            "language": self._language,
            "avoid": named_to_avoid(avoid),
        }
        return self._file.prompt(fields, stop=() if self._teacher.chat else PLAIN_STOP)

    def _ask(self, number: int) -> Ask:
        settings = self._settings
        sampling = SamplingParams(
            max_new_tokens=settings.tokens,
            temperature=settings.temperature,
            top_p=settings.top_p,
            seed=sampling_seed(self._seed, "questions", number),
        )
        return Ask(f"questions/{number}", self._prompt(number), sampling)

    def _read(self, answer: Answer, asked: Theme) -> Iterator[Candidate]:
        found = parse_questions(answer.text, finished=answer.finish_reason != "length")
        for text in found.questions:
            yield Candidate(text, "prompt", asked.topic, asked.difficulty)
        for text, problem in found.left_out:
            yield Candidate(text, "prompt", asked.topic, asked.difficulty, problem=problem)


def prompt_file(texts: PromptTexts, *, chat: bool) -> PromptFile:
    """``questions.txt``, checked."""
    return texts.file(
        "questions",
        chat=chat,
        needed=frozenset({"count", "topic"}),
        known=frozenset({"difficulty", "language", "avoid"}),
    )


def named_to_avoid(questions: Sequence[str]) -> str:
    """The part of a prompt that names earlier questions; empty if there are none."""
    if not questions:
        return ""
    lines = [" ".join(question.split())[:LONGEST_NAMED] for question in questions]
    return "\n".join(
        ["These were asked already, so ask for something else:", *(f"- {line}" for line in lines)]
    )
