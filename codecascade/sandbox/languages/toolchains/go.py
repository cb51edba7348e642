"""Go: a file of tests (MultiPL-E's) is built by ``go test``, a program by ``go build``; no other packages."""

from __future__ import annotations

import re
from dataclasses import replace

from codecascade.sandbox.languages.ending import halves, in_main
from codecascade.sandbox.languages.language import (
    Language,
    ProgramPlan,
    Toolchain,
    find_tools,
    first_output_line,
)
from codecascade.sandbox.outcome import Limits
from codecascade.sandbox.program import Command

_IS_PROGRAM = re.compile(r"^package\s+main\b", re.MULTILINE)
_MAIN = r"\bfunc\s+main\s*\("
_TEST = r"\bfunc\s+Test\w*\s*\("
_CACHE = "cache"
_ENVIRONMENT = {
    "GO111MODULE": "off",
    "GOPROXY": "off",
    "GOTOOLCHAIN": "local",
    "CGO_ENABLED": "0",
    "GOMAXPROCS": "2",
}
# The checks of `go test` before it builds.
_VET = "-atomic -bool -buildtags -errorsas -ifaceassert -nilfunc -printf -stringintconv"
# Compiled in advance, as far as the toolchain does not contain them compiled.
_PACKAGES = (
    "bytes container/heap container/list crypto/md5 encoding/hex errors fmt math math/big math/bits math/rand os "
    "reflect regexp sort strconv strings testing time unicode unicode/utf8"
)


def _find() -> Toolchain | None:
    toolchain = find_tools("go", version=("version",))
    root = None if toolchain is None else first_output_line((toolchain.paths["go"], "env", "GOROOT"))
    if toolchain is None or root is None:
        return None
    return replace(toolchain, folders=tuple(dict.fromkeys((*toolchain.folders, root))))


def _finish(text: str, token: str) -> str | None:
    first, second = halves(token)
    header = _MAIN if _IS_PROGRAM.search(text) else _TEST
    # The builtin function needs no import; it writes to standard error.
    return in_main(text, header, f'print("\\n", "{first}", "{second}", "\\n")')


def _plan(text: str, toolchain: Toolchain, limits: Limits) -> ProgramPlan:
    go, cache = toolchain.paths["go"], f"export GOCACHE='{toolchain.built}/{_CACHE}'"
    if _IS_PROGRAM.search(text):
        script = f"{cache}; exec '{go}' build -o program program.go"
        return ProgramPlan("program.go", ("./program",), ("/bin/sh", "-c", script), ("program",))
    script = f"{cache}; '{go}' vet {_VET} program_test.go && exec '{go}' test -c -o program program_test.go"
    return ProgramPlan("program_test.go", ("./program",), ("/bin/sh", "-c", script), ("program",))


def _build(toolchain: Toolchain) -> Command:
    go = toolchain.paths["go"]
    imports = "".join(f'import _ "{package}"\n' for package in _PACKAGES.split())
    # go needs all its 256 cache folders, because it can't create them later; an empty folder would not be kept.
    script = (
        f"export GOCACHE=$PWD/{_CACHE}; '{go}' vet {_VET} all_test.go && '{go}' test -c -o all all_test.go "
        f"&& for folder in {_CACHE}/??; do : > $folder/keep; done"
    )
    return Command(
        ("/bin/sh", "-c", script),
        files={"all_test.go": f"package all_test\n{imports}"},
        folders=toolchain.folders,
        environment=_ENVIRONMENT,
        outputs=(f"{_CACHE}/",),
        limits=Limits(cpu_seconds=300, processes=512, file_mb=512, scratch_mb=1024, address_space=False),
    )


GO = Language(
    name="go",
    title="Go",
    names=("golang", "go_test.go"),
    suffixes=(".go",),
    install="apt install golang-go",
    trial="package main\nfunc main() {}",
    find=_find,
    finish=_finish,
    plan=_plan,
    environment=lambda limits: _ENVIRONMENT,
    build=_build,
    address_space=False,
    error=re.compile(r"^panic: .*$|^[ \t]+\w+_test\.go:\d+: .*$|^fatal error: .*$", re.MULTILINE),
    memory=re.compile(r"^fatal error: runtime: (?:cannot allocate|out of) memory", re.MULTILINE),
    compiler_limits=Limits(cpu_seconds=30, processes=512, scratch_mb=512, address_space=False),
)
