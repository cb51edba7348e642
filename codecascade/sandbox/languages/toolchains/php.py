"""PHP, which writes errors to standard output by default."""

from __future__ import annotations

import re

from codecascade.sandbox.languages.ending import at_end, halves
from codecascade.sandbox.languages.language import Language, ProgramPlan, Toolchain, find_tools
from codecascade.sandbox.outcome import Limits


def _finish(text: str, token: str) -> str:
    first, second = halves(token)
    line = f'echo "\\n{first}" . "{second}\\n";'
    # After a closing tag, text is printed, not run. (A closing tag that the model wrote before the tests stays.)
    return at_end(text, f"<?php {line}" if text.rstrip().endswith("?>") else line)


def _plan(text: str, toolchain: Toolchain, limits: Limits) -> ProgramPlan:
    settings = {
        "memory_limit": f"{max(16, limits.memory_mb * 7 // 8)}M",
        "display_errors": "1",
        "log_errors": "0",
        "html_errors": "0",
    }
    options = [part for name, value in settings.items() for part in ("-d", f"{name}={value}")]
    return ProgramPlan("program.php", (toolchain.paths["php"], *options, "program.php"))


PHP = Language(
    name="php",
    title="PHP",
    names=(),
    suffixes=(".php",),
    install="apt install php-cli",
    trial="<?php",
    find=lambda: find_tools("php", version=("--version",)),
    finish=_finish,
    plan=_plan,
    error=re.compile(r"^(?:PHP )?((?:Fatal|Parse) error: .*?)(?: in \S+(?: on line |:)\d+)?$", re.MULTILINE),
    memory=re.compile(r"Allowed memory size of|^Out of memory$", re.MULTILINE),
)
