"""Templates are rendered as transformers renders them: the same extensions, globals, filters and white space."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import transformers

from codecascade.ground.errors import UserError
from codecascade.tokens.messages import Message
from codecascade.tokens.templates import worker
from codecascade.tokens.templates.renderer import RENDERER
from codecascade.tokens.templates.variables import template_variables
from codecascade.tokens.tokenizer import Tokenizer

TEMPLATES = [
    "{% for m in messages %}\n    {% if m.role == 'user' %}\n  {{ m.content }}\n    {% endif %}\n{% endfor %}\n",
    "{%- for m in messages -%}\n  {{- m['content'] -}} \n {%- endfor %}",
    "{% for m in messages %}{% if loop.index > 1 %}{% break %}{% endif %}{{ m.content }}{% endfor %}",
    "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.content }}{% endfor %}",
    "{{ messages | tojson }}",
    "{{ messages[0] | tojson(indent=2) }}",
    "{{ {'a': '<é>', 'b': [1, none, true]} | tojson(sort_keys=true, ensure_ascii=true) }}",
    "{{ messages[0].content | upper | replace('I', 'j') }}{{ messages | length }}",
    "{{ bos_token }}|{{ eos_token }}|{{ unk_token }}|{{ pad_token }}|{{ nothing }}",
    "{{ tools is none }}{{ documents is none }}{{ add_generation_prompt }}{{ custom is defined }}",
    "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
    "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a + ns.b }}{{ dict(a=1) | tojson }}",
    "{% macro show(m) %}[{{ m.role }}]{% endmacro %}{% for m in messages %}{{ show(m) }}{% endfor %}",
    "{% generation %}{{ messages[0].content }}{% endgeneration %}\n{% generation %}x{% endgeneration %}",
    "{{ messages | map(attribute='role') | join(',') }}{{ messages | selectattr('role', 'equalto', 'user') | list }}",
    "{{ strftime_now('%Y') }}",
    "{# a note #}a\n{# another #}\nb{% raw %}{{ x }}{% endraw %}",
    "{{ '%s: %d' % ('a', 3) }}{{ 'a' ~ 1 ~ none }}{{ [1, 2][::-1] }}{{ 7 // 2 }}",
    "{{ messages[-1]['content'].split('\\n')[0].strip() if messages[-1]['content'] is string else '' }}",
    "{{ '\\u2581\\N{BULLET}' }}{{ \"<|im_start|>\" + messages[0]['role'] + '\n' }}",
    "{% filter upper %}a{% endfilter %}{{ 'x' | center(5) }}|{{ ['b', 'a'] | sort | first }}",
    "{%- if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{%- else %}"
    "{% set loop_messages = messages %}{%- endif %}{{ loop_messages | length }}",
]
MESSAGES = [Message("user", "Hi <there>\n & é"), Message("assistant", " ok "), Message("user", "")]


@pytest.fixture(scope="module")
def pair(byte_level: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Any]:
    folder: Path = tmp_path_factory.mktemp("rendering")
    byte_level.save(folder)
    return byte_level, transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("prompt", [True, False])
@pytest.mark.parametrize("template", TEMPLATES)
def test_the_text_is_that_of_transformers(pair: tuple[Tokenizer, Any], template: str, prompt: bool) -> None:
    ours, theirs = pair
    expected = theirs.apply_chat_template(
        [asdict(message) for message in MESSAGES],
        chat_template=template,
        tokenize=False,
        add_generation_prompt=prompt,
    )
    messages = [(message.role, message.content) for message in MESSAGES]
    (rendered,) = RENDERER.render(template, [template_variables(ours, messages, prompt=prompt)])
    assert (rendered.text, rendered.error) == (expected, None)


def test_nothing_is_imported_that_can_no_longer_be() -> None:
    """Each filter and test of Jinja's, and the encodings of text, in a process that can open no file."""
    environment = worker.environment()
    expressions = [
        *(f"{value} | {name}" for name in environment.filters for value in ("'a <b>'", "[1, 2]", "{'a': 1}")),
        *(f"'a b' | {name}({argument})" for name in environment.filters for argument in ("1", "'a', 'b'")),
        *(f"'a' is {name}" for name in environment.tests),
        *(
            f"'aé'.encode('{name}')"
            for name in ("latin-1", "cp1252", "utf-16-le", "utf-32", "idna", "punycode")
        ),
        *("lipsum(1)", "cycler(1).next()", "joiner()()", "'{:,n}'.format(1)", "'\\N{BULLET}'"),
    ]
    for expression in expressions:
        try:
            (rendered,) = RENDERER.render("{{ " + expression + " }}", [{}])
        except UserError as error:
            message = str(error)
        else:
            message = rendered.error or ""
        assert "OSError" not in message and "Import" not in message and "ModuleNotFound" not in message, (
            expression
        )
