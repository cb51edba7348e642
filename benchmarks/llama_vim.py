"""llama.vim in a real Vim or Neovim against a server: what a person would see and get.

    python benchmarks/llama_vim.py URL FOLDER [--editor nvim] [--key KEY]

FOLDER is a copy of the plug-in's repository (ggml-org/llama.vim). The editor runs on a terminal of its own, types
into a function, waits for the ghost text, accepts it with Tab, and writes the file, whose difference is printed. The
plug-in warns of Vim 9.0, which Debian has and which will do; the warning is left out. Neovim must be newer than 0.7.
"""

from __future__ import annotations

import argparse
import difflib
import os
import pty
import select
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

FILE = '''\
import math


def total(prices, rate):
    """The sum of the prices with tax."""
    result = 0
    for price in prices:
        result
    return result


def mean(prices):
    return total(prices, 0) / len(prices)
'''
TYPED_AT, TYPED = 8, " +="
_SECONDS = 120.0
_WARNS, _WARNS_NOT = "version < 901", "version < 900"
# The cursor moves, the plug-in asks, its answer is drawn: all of that happens while the editor waits for keys.
_SCRIPT = r"""
set nocompatible noswapfile nomore
let g:llama_config = {'endpoint_fim': $LLAMA_URL . '/infill', 'n_predict': 32, 'auto_fim': v:true}
let g:llama_config.endpoint_inst = $LLAMA_URL . '/v1/chat/completions'
if $LLAMA_KEY != '' | let g:llama_config.api_key = $LLAMA_KEY | endif
execute 'set runtimepath^=' . fnameescape($LLAMA_VIM)
runtime plugin/llama.vim
let s:shown = 0
function! s:Watch(timer)
    if llama#is_fim_hint_shown() && !s:shown
        let s:shown = 1
        call feedkeys("\<Tab>", 't')
        call timer_start(1000, {-> feedkeys("\<Esc>:messages\<CR>:wq!\<CR>", 't')})
    endif
endfunction
function! s:Start(timer)
    call cursor(str2nr($LLAMA_LINE), 1)
    call feedkeys('A' . $LLAMA_TYPED, 't')
    call timer_start(200, function('s:Watch'), {'repeat': -1})
endfunction
autocmd VimEnter * call timer_start(300, function('s:Start'))
"""


def accepted(editor: str, plugin: Path, url: str, key: str = "") -> str:
    """The file's text after a suggestion was accepted.

    Raises:
        TimeoutError: nothing was suggested.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, script = Path(folder, "basket.py"), Path(folder, "try.vim")
        file.write_text(FILE)
        script.write_text(_SCRIPT)
        copy = shutil.copytree(plugin, Path(folder, "plugin"))
        for code in copy.glob("autoload/*.vim"):
            code.write_text(code.read_text().replace(_WARNS, _WARNS_NOT))
        environment = os.environ | {"LLAMA_URL": url, "LLAMA_KEY": key, "LLAMA_VIM": str(copy)}
        environment |= {"LLAMA_LINE": str(TYPED_AT), "LLAMA_TYPED": TYPED, "TERM": "xterm", "HOME": folder}
        process, terminal = pty.fork()
        if process == 0:
            os.execvpe(editor, [editor, "-u", str(script), str(file)], environment)
        screen, end = b"", time.monotonic() + _SECONDS
        try:
            while os.waitpid(process, os.WNOHANG)[0] == 0:
                if time.monotonic() > end:
                    os.kill(process, signal.SIGKILL)
                    os.waitpid(process, 0)
                    raise TimeoutError(f"{editor} shows no suggestion; its screen: {screen[-2000:]!r}")
                if select.select([terminal], [], [], 0.1)[0]:
                    try:
                        screen += os.read(terminal, 1 << 16)
                    except OSError:
                        continue
        finally:
            os.close(terminal)
        return file.read_text()


def main() -> int:
    """Try each editor; 1 if one got nothing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("plugin", type=Path, metavar="FOLDER")
    parser.add_argument("--editor", action="append", help="vim or nvim (repeatable; vim)")
    parser.add_argument("--key", default="")
    arguments = parser.parse_args()
    failed = 0
    for editor in arguments.editor or ["vim"]:
        try:
            text = accepted(editor, arguments.plugin, arguments.url, arguments.key)
        except TimeoutError as error:
            print(error)
            failed = 1
            continue
        print(f"{editor}:")
        lines = difflib.unified_diff(
            FILE.splitlines(), text.splitlines(), "typed into", "written", lineterm=""
        )
        print("\n".join(lines))
    return failed


if __name__ == "__main__":
    sys.exit(main())
