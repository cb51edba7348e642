"""Compiles, runs and judges programs in all languages except Python.

``passed`` means exit status 0 **and** the token, which a line after the last test prints: ``exit(0)`` before the
tests is no pass. The token is derived from a secret and the program's text, so that a compiled program can be used
again.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import threading
from collections.abc import Callable
from dataclasses import replace

from codecascade.sandbox.host.worker import WorkerDied
from codecascade.sandbox.languages.builds import build_once
from codecascade.sandbox.languages.cache import Compiled, CompiledPrograms
from codecascade.sandbox.languages.language import Language, ProgramPlan, Toolchain
from codecascade.sandbox.languages.table import language_named, toolchain, why_unusable
from codecascade.sandbox.languages.warm import CompilerEnded, ConfinedProcess, WarmCompilers
from codecascade.sandbox.outcome import Limits, Outcome
from codecascade.sandbox.program import Command, Program

# The token comes after all output of the program, so more output is read than is returned.
_OUTPUT_BYTES = 16 << 20
# Characters at the beginning of an output and at its end.
_SEARCHED = 100_000
# Limits of a running compiler; the time for each program is limited by the clock.
_SERVER_LIMITS = Limits(cpu_seconds=math.inf, memory_mb=3072, processes=128, file_mb=64, address_space=False)


class LanguageRunner:
    """Runs programs of all languages, and keeps running compilers and compiled programs between them.

    Args:
        run_command: runs one confined command.
        start: starts a confined process that keeps running.
        workers: the number of programs that run at the same time.
    """

    def __init__(
        self,
        run_command: Callable[[Command], Outcome],
        start: Callable[[Command], ConfinedProcess],
        workers: int,
    ) -> None:
        self._run_command, self._start = run_command, start
        # With a warm compiler, a compilation takes less time than the run after it.
        self._compilers_each = max(1, (workers + 1) // 2)
        self._secret = secrets.token_bytes(16)
        self._compiled = CompiledPrograms()
        self._compilers: dict[str, WarmCompilers] = {}
        self._toolchains: dict[str, Toolchain | str] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the compilers; new ones are started if programs run again."""
        with self._lock:
            self._toolchains.clear()
            while self._compilers:
                self._compilers.popitem()[1].close()

    def run(self, program: Program, limits: Limits) -> Outcome:
        """The outcome of one program; ``not_started`` if the language's toolchain is missing.

        Raises:
            UserError: there is no such language.
        """
        language = language_named(program.language)
        tools = self._tools(language)
        if isinstance(tools, str):
            return Outcome("not_started", tools)
        return self._run(language, tools, program, limits)

    def _run(self, language: Language, tools: Toolchain, program: Program, limits: Limits) -> Outcome:
        token = hmac.new(
            self._secret, f"{language.name}\0{program.source}".encode(errors="replace"), hashlib.sha256
        ).hexdigest()[:32]
        finished = language.finish(program.source, token)
        text = program.source if finished is None else finished
        plan = language.plan(text, tools, limits)
        products: Compiled = {plan.file: text.encode("utf-8", errors="replace")}
        if plan.compile or plan.warm:
            key = (language.name, tools.version, hashlib.sha256(text.encode(errors="replace")).digest())
            products = self._compiled.get(key, lambda: self._compile(language, tools, plan, text))
        if isinstance(products, Outcome):
            return products
        ended = self._run_command(
            Command(
                plan.run,
                files={**program.files, **plan.files, **products},
                folders=tuple(folder for folder in (*tools.folders, tools.built) if folder),
                stdin=program.stdin,
                environment=language.environment(limits),
                limits=replace(
                    limits,
                    output_bytes=max(limits.output_bytes, _OUTPUT_BYTES),
                    address_space=language.address_space,
                ),
            )
        )
        # Where the output is compared outside, every normal end is accepted.
        needed = finished is not None and not program.is_judged_outside
        return _cut(verdict_of_command(language, ended, token, needed=needed), limits.output_bytes)

    def _tools(self, language: Language) -> Toolchain | str:
        """The toolchain with its built files, or the reason why programs can't be run."""
        with self._lock:
            if language.name not in self._toolchains:
                self._toolchains[language.name] = self._prepare(language)
            return self._toolchains[language.name]

    def _prepare(self, language: Language) -> Toolchain | str:
        tools = toolchain(language.name)
        if tools is None:
            return why_unusable(language.name) or ""
        if language.build is not None:
            folder, problem = build_once(
                language.name, tools.version, language.build(tools), self._run_command
            )
            if problem is not None:
                return f"{language.title} programs can't be run: preparing the toolchain failed: {problem}"
            tools = replace(tools, built=folder)
        if language.server is not None:
            command = replace(language.server(tools), limits=_SERVER_LIMITS)
            self._compilers[language.name] = WarmCompilers(
                self._start, command, language.compiler_limits, self._compilers_each
            )
        # A failure of the trial is the machine's fault; every program would fail.
        trial = self._run(language, tools, Program(language.trial, language.name), Limits(cpu_seconds=30))
        if not trial.passed:
            return (
                f"{language.title} programs can't be run: a trial of the toolchain failed: {trial.exception}"
            )
        return tools

    def _compile(self, language: Language, tools: Toolchain, plan: ProgramPlan, text: str) -> Compiled:
        if plan.warm:
            try:
                answer = self._compilers[language.name].compile(plan.file, text)
            except CompilerEnded as error:
                return Outcome("failed", f"compile: the compiler did not survive the program: {error}")
            except WorkerDied as error:
                return Outcome("not_started", f"the compiler can't be started: {error}")
            return compile_failure(answer) if isinstance(answer, str) else answer
        outcome = self._run_command(
            Command(
                plan.compile,
                files={plan.file: text},
                folders=tuple(folder for folder in (*tools.folders, tools.built) if folder),
                environment=language.environment(language.compiler_limits),
                limits=language.compiler_limits,
                outputs=plan.outputs,
            )
        )
        if outcome.outcome == "failed":
            return compile_failure(outcome.stderr or outcome.stdout or outcome.exception or "")
        if not outcome.passed:
            return replace(outcome, exception=f"compile: {outcome.exception}", exit_status=None)
        if missing := [name for name in plan.outputs if name not in outcome.files]:
            return compile_failure(f"the compiler made no {missing[0]} that can be run")
        return outcome.files


def compile_failure(text: str) -> Outcome:
    """The outcome of a program that does not compile; only the first error is reported."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("# ")]
    errors = [line for line in lines if "error" in line.lower()] or lines
    return Outcome("failed", f"compile: {errors[0] if errors else 'failed'}"[:2000], stderr=text[:100_000])


def verdict_of_command(language: Language, ended: Outcome, token: str, *, needed: bool) -> Outcome:
    """The outcome of a program, from its command's; the token is removed from the output."""
    line = f"\n{token}\n"
    reached = line in ended.stdout or line in ended.stderr
    ended = replace(ended, stdout=ended.stdout.replace(line, "", 1), stderr=ended.stderr.replace(line, "", 1))
    output = f"{ended.stderr}\n{ended.stdout}"
    complained = language.fails is not None and language.fails.search(ended.stderr) is not None
    if ended.passed and not complained:
        return (
            ended
            if reached or not needed
            else replace(ended, outcome="failed", exception="left before its end")
        )
    if ended.outcome not in ("passed", "failed", "killed"):
        return ended
    if language.memory is not None and (found := language.memory.search(output)):
        return replace(ended, outcome="out_of_memory", exception=found[0])
    aborted = ended.outcome == "killed" and (ended.exception or "").endswith("signal 6")
    if ended.outcome == "killed" and not aborted:
        return ended
    return replace(ended, outcome="failed", exception=_error(language, ended, output))


def _error(language: Language, ended: Outcome, output: str) -> str:
    """One line that says what went wrong: the language's error line, else the last of standard error, else the
    status."""
    found = list(language.error.finditer(_searched(output))) if language.error is not None else []
    if found:
        groups = [group for group in found[-1].groups() if group] or [found[-1][0]]
        return " ".join(groups[0].split())[:2000]
    lines = [line for line in ended.stderr.splitlines() if line.strip()]
    return lines[-1].strip()[:2000] if lines else ended.exception or "failed"


def _searched(output: str) -> str:
    """The part of an output in which an error is looked for: its beginning and its end.

    Traces may be long behind an error, and a program's own output may be long before it.
    """
    if len(output) <= 2 * _SEARCHED:
        return output
    return f"{output[:_SEARCHED]}...\n...{output[-_SEARCHED:]}"


def _cut(outcome: Outcome, size: int) -> Outcome:
    is_full = outcome.stdout_is_full or len(outcome.stdout.encode(errors="replace")) >= size
    stdout, stderr = (
        text.encode(errors="replace")[:size].decode(errors="ignore") if len(text) * 4 > size else text
        for text in (outcome.stdout, outcome.stderr)
    )
    return replace(outcome, stdout=stdout, stderr=stderr, exit_status=None, stdout_is_full=is_full)
