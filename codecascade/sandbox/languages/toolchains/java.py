"""Java with the JDK's own compiler, which keeps running; assertions are enabled."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from codecascade.sandbox.languages.ending import halves, in_main
from codecascade.sandbox.languages.language import (
    Language,
    ProgramPlan,
    Toolchain,
    compiler_texts,
    find_tools,
)
from codecascade.sandbox.outcome import Limits
from codecascade.sandbox.program import Command

_MAIN = r"\bvoid\s+main\s*\("
_PACKAGE = re.compile(r"^[^\S\n]*package\s+([\w.]+)\s*;", re.MULTILINE)
_CLASS = re.compile(r"^(?:\w+[ \t]+){0,4}?(?:class|interface|enum|record)[ \t]+(\w+)", re.MULTILINE)
_PUBLIC = re.compile(
    r"^public[ \t]+(?:\w+[ \t]+){0,4}?(?:class|interface|enum|record)[ \t]+(\w+)", re.MULTILINE
)
_JAR = "codecascade.jar"
# Threads for one processor, and no optimisation that only long runs earn back.
_SMALL = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:CICompilerCount=1",
    "-Xshare:auto",
    "-XX:-UsePerfData",
)


def _find() -> Toolchain | None:
    toolchain = find_tools("javac", "java", "jar", version=("-version",))
    if toolchain is None:
        return None
    # Links in /usr/bin lead there, or to where a version manager keeps the JDK.
    home = os.path.dirname(os.path.dirname(os.path.realpath(toolchain.paths["javac"])))
    return replace(toolchain, folders=(home,))


def _finish(text: str, token: str) -> str | None:
    first, second = halves(token)
    printed = f'"\\n{first}".concat("{second}\\n")'
    return in_main(text, _MAIN, f"java.lang.System.out.print({printed}); java.lang.System.out.flush();")


def main_class(text: str) -> str:
    """The class with ``main``: the last class before it that is not indented."""
    mains = [match.start() for match in re.finditer(_MAIN, text)]
    names = _CLASS.findall(text, 0, mains[-1]) if mains else []
    name = names[-1] if names else "Problem"
    package = _PACKAGE.search(text)
    return f"{package[1]}.{name}" if package else name


def _plan(text: str, toolchain: Toolchain, limits: Limits) -> ProgramPlan:
    public = _PUBLIC.search(text)
    name = main_class(text)
    heap = max(16, limits.memory_mb * 3 // 4)
    return ProgramPlan(
        # The compiler requires a public class to be in a file of its name.
        f"{public[1] if public else name.rpartition('.')[2]}.java",
        (toolchain.paths["java"], *_SMALL, f"-Xmx{heap}m", "-ea", "-cp", f".:{_JAR}", name),
        warm=True,
        files=_jar(toolchain),
    )


def _build(toolchain: Toolchain) -> Command:
    sources = compiler_texts("Compiler.java", "org/javatuples/*.java")
    javac, jar = toolchain.paths["javac"], toolchain.paths["jar"]
    script = f"'{javac}' -d classes {' '.join(sources)} && '{jar}' cf {_JAR} -C classes ."
    return Command(
        ("/bin/sh", "-c", script),
        files=sources,
        folders=toolchain.folders,
        outputs=(_JAR,),
        limits=Limits(cpu_seconds=60, processes=512, address_space=False),
    )


def _server(toolchain: Toolchain) -> Command:
    command = (toolchain.paths["java"], *_SMALL, "-Xmx1g", "-Xss4m", "-cp", _JAR, "Compiler", _JAR)
    return Command(command, files=_jar(toolchain), folders=toolchain.folders)


def _jar(toolchain: Toolchain) -> dict[str, bytes]:
    """Our archive, to be copied into a program's folder: Java can't open it elsewhere with a program's rights."""
    return {_JAR: Path(toolchain.built, _JAR).read_bytes()}


JAVA = Language(
    name="java",
    title="Java",
    names=(),
    suffixes=(".java",),
    install="apt install openjdk-17-jdk-headless",
    trial="class Problem { public static void main(String[] a) {} }",
    find=_find,
    finish=_finish,
    plan=_plan,
    build=_build,
    server=_server,
    address_space=False,
    error=re.compile(r'^Exception in thread "main" (.*)$|^Error: (.*)$', re.MULTILINE),
    memory=re.compile(r"java\.lang\.OutOfMemoryError"),
)
