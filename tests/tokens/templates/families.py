"""Small tokenizers with chat templates in the shape of well-known families', written out here.

Each template makes what its family's makes for plain dialogues: the same control text, the same white space, the same
refusals. What the originals do for tools is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.tokenizer import Tokenizer

TURNS = (
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
)

LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}"
    "{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
    "{% for message in loop_messages %}" + TURNS + "{% if loop.index0 == 0 and system_message != false %}"
    r"{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA3 = (
    r"{% set loop_messages = messages %}{% for message in loop_messages %}"
    r"{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    r" + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    r"{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}" + TURNS + "{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
DEEPSEEK = (
    "{%- set ns = namespace(found=false) -%}"
    "{%- for message in messages -%}{%- if message['role'] == 'system' -%}{%- set ns.found = true -%}{%- endif -%}"
    "{%- endfor -%}{{bos_token}}"
    "{%- if not ns.found -%}\n"
    "{{'You are an AI programming assistant, and you only answer questions related to computer science\\n'}}\n"
    "{%- endif %}\n"
    "{%- for message in messages %}\n"
    "    {%- if message['role'] == 'system' %}\n{{ message['content'] }}\n"
    "    {%- else %}\n"
    "        {%- if message['role'] == 'user' %}\n{{'### Instruction:\\n' + message['content'] + '\\n'}}\n"
    "        {%- else %}\n{{'### Response:\\n' + message['content'] + '\\n<|EOT|>\\n'}}\n"
    "        {%- endif %}\n    {%- endif %}\n{%- endfor %}\n"
    "{% if add_generation_prompt %}\n{{'### Response:'}}\n{% endif %}"
)
GRANITE_CODE = (
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n"
    "{{ 'Question:\\n' + message['content'] + '\\n\\n' }}{% elif message['role'] == 'system' %}\n"
    "{{ 'System:\\n' + message['content'] + '\\n\\n' }}{% elif message['role'] == 'assistant' %}"
    "{{ 'Answer:\\n'  + message['content'] + '\\n\\n' }}{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ 'Answer:\\n' }}{% endif %}{% endfor %}"
)
GRANITE = (
    "{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}"
    "{%- set loop_messages = messages[1:] %}"
    "{%- else %}{%- set system_message = 'You are Granite, developed by IBM.' %}"
    "{%- set loop_messages = messages %}{%- endif %}"
    r"{{- '<|start_of_role|>system<|end_of_role|>' + system_message + '<|end_of_text|>\n' }}"
    "{%- for message in loop_messages %}"
    r"{{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content'] + '<|end_of_text|>\n' }}"
    "{%- if loop.last and add_generation_prompt %}"
    "{{- '<|start_of_role|>assistant<|end_of_role|>' }}{%- endif %}{%- endfor %}"
)
QWEN = (
    "{%- if tools %}{{ raise_exception('no tools here') }}{%- endif %}\n"
    "{%- if messages[0]['role'] == 'system' %}\n"
    "    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}\n"
    "{%- else %}\n"
    "    {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    "<|im_end|>\\n' }}\n"
    "{%- endif %}\n"
    "{%- for message in messages %}\n"
    '    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or '
    '(message.role == "assistant" and not message.tool_calls) %}\n'
    "        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}\n"
    "    {%- endif %}\n{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n' }}\n{%- endif %}\n"
)
# Reasoning is left out of every answer but those after the last question.
QWEN3 = (
    "{%- set ns = namespace(last=0) %}\n"
    "{%- for message in messages %}{%- if message.role == 'user' and not"
    " (message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}"
    "{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}\n"
    "{%- for message in messages %}\n"
    "    {%- if message.role != 'assistant' %}\n"
    "        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}\n"
    "    {%- else %}\n"
    "        {%- set content = message.content %}{%- set reasoning = '' %}\n"
    "        {%- if '</think>' in message.content %}\n"
    "            {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}\n"
    "            {%- set reasoning = message.content.split('</think>')[0].rstrip('\\n').split('<think>')[-1]"
    ".lstrip('\\n') %}\n"
    "        {%- endif %}\n"
    "        {%- if loop.index0 > ns.last and (loop.last or reasoning) %}\n"
    "            {{- '<|im_start|>assistant\\n<think>\\n' + reasoning.strip('\\n') }}\n"
    "            {{- '\\n</think>\\n\\n' + content }}\n"
    "        {%- else %}\n            {{- '<|im_start|>assistant\\n' + content }}\n        {%- endif %}\n"
    "        {{- '<|im_end|>\\n' }}\n"
    "    {%- endif %}\n{%- endfor %}\n"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
STEP = (
    "{% if messages[0]['role'] == 'system' %}{% set user_index = 1 %}{% else %}{% set user_index = 0 %}{% endif %}"
    "{% for message in messages %}"
    "{% if (message['role'] == 'user') != ((loop.index0 + user_index) % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if loop.index0 == 0 %}{{ '<s>' }}{% endif %}"
    r"{% set content = 'Source: ' + message['role'] + '\n\n ' + message['content'] | trim %}"
    r"{{ content + ' <step> ' }}{% endfor %}{{'Source: assistant\nDestination: user\n\n '}}"
)
PHI3 = (
    "{% for message in messages %}{% if message['role'] == 'system' %}"
    r"{{'<|system|>\n' + message['content'] + '<|end|>\n'}}"
    r"{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}"
    r"{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}"
    r"{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
PHI4_MINI = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"
)
# Its tags are ordinary text in Mistral's vocabulary.
ZEPHYR = (
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n"
    "{{ '<|user|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'system' %}\n"
    "{{ '<|system|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == 'assistant' %}\n"
    "{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}"
    "{% else %}{% set role = message['role'] %}{% endif %}"
    r"{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    r"{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
VICUNA = (
    "{% if messages[0]['role'] == 'system' %}{% set turns = messages[1:] %}{{ messages[0]['content'] + ' ' }}"
    "{% else %}{% set turns = messages %}{{ 'A chat between a curious user and an assistant. ' }}{% endif %}"
    "{% for message in turns %}{% if message['role'] == 'user' %}{{ 'USER: ' + message['content'].strip() + ' ' }}"
    "{% else %}{{ 'ASSISTANT: ' + message['content'].strip() + eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
# These have headers of their own making before each message.
OPENCHAT = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ 'GPT4 Correct ' + message['role'].title() + ': ' + message['content'] + '<|end_of_turn|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'GPT4 Correct Assistant:' }}{% endif %}"
)
MAGICODER = (
    "{{ bos_token }}You are an exceptionally intelligent coding assistant.\n\n{% for message in messages %}"
    "{% if message.role == 'user' %}{{ '@@ Instruction\n' + message.content + '\n\n' }}"
    "{% elif message.role == 'assistant' %}{{ '@@ Response\n' + message.content + eos_token }}"
    "{% else %}{{ raise_exception('no system messages') }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '@@ Response\n' }}{% endif %}"
)
EXAONE = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}{{ '[|system|][|endofturn|]\n' }}{% endif %}"
    "{{ '[|' + message['role'] + '|]' + message['content'] }}"
    "{{ '\n' if message['role'] == 'user' else '[|endofturn|]\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[|assistant|]' }}{% endif %}"
)
DEEPSEEK_V2 = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token }}"
    "{% elif message['role'] == 'system' %}{{ message['content'] + '\n\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


@dataclass(frozen=True)
class Family:
    """A template, and the vocabulary that it was written for.

    Attributes:
        kind: of tokenizer, "llama" or "bytes".
        tokens: control tokens that the vocabulary has beside those of its kind.
        plain: added tokens that are no control tokens.
        takes_space: control tokens that take the white space after them.
        named: tokens that tokenizer_config.json names.
        tags: control text that is ordinary text.
        end: what a reply ends with, and so what stops one.
        system: whether a system message may come first.
        behind_prompt: whether the last answer of a finished dialogue is put behind its prompt for training, because
            the template writes another header there, or nothing that ends an answer.
        words: how text is cut into words before the merges, where that is not GPT-2's way.
        last_only: whether the template writes earlier answers otherwise than the last.
    """

    template: str
    kind: str = "bytes"
    tokens: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()
    takes_space: tuple[str, ...] = ()
    named: dict[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    end: str = "</s>"
    system: bool = True
    behind_prompt: bool = False
    last_only: bool = False
    words: str | None = None


# Here a line break and those after it are one word, so that a header's end is the same whatever follows.
LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BOS_EOS = {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
FAMILIES = {
    "llama2": Family(LLAMA2, "llama", tags=("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>")),
    "llama3": Family(
        LLAMA3,
        tokens=(*BOS_EOS.values(), "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>"),
        named={**BOS_EOS, "eos_token": "<|eot_id|>"},
        end="<|eot_id|>",
        words=LLAMA3_WORDS,
    ),
    "mistral": Family(MISTRAL, "llama", tags=("[INST]", "[/INST]"), system=False),
    "mistral-tokens": Family(
        MISTRAL.replace(" [/INST]", "[/INST]"), "llama", tokens=("[INST]", "[/INST]"), system=False
    ),
    "deepseek-coder": Family(
        DEEPSEEK,
        tokens=("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<|EOT|>"),
        named={"bos_token": "<｜begin▁of▁sentence｜>", "eos_token": "<|EOT|>"},
        tags=("### Instruction:", "### Response:"),
        end="<|EOT|>",
    ),
    "granite-code": Family(
        GRANITE_CODE,
        tags=("Question:\n", "Answer:\n", "System:\n"),
        end="<|endoftext|>",
        behind_prompt=True,
        last_only=True,
    ),
    "granite": Family(
        GRANITE,
        tokens=("<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>"),
        named={"bos_token": "<|end_of_text|>", "eos_token": "<|end_of_text|>"},
        end="<|end_of_text|>",
    ),
    "qwen": Family(QWEN, named={"eos_token": "<|im_end|>"}, end="<|im_end|>"),
    "qwen3": Family(
        QWEN3,
        plain=("<think>", "</think>"),
        named={"eos_token": "<|im_end|>"},
        end="<|im_end|>",
        last_only=True,
    ),
    "codellama-70b": Family(
        STEP, "llama", tokens=("<step>",), end="<step>", behind_prompt=True, last_only=True
    ),
    "phi3": Family(
        PHI3,
        "llama",
        tokens=("<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"),
        takes_space=("<|assistant|>", "<|system|>", "<|end|>", "<|user|>"),
        named={"eos_token": "<|endoftext|>"},
        end="<|end|>",
    ),
    "phi4-mini": Family(
        PHI4_MINI,
        tokens=("<|assistant|>", "<|system|>", "<|end|>", "<|user|>"),
        named={"eos_token": "<|endoftext|>"},
        end="<|end|>",
    ),
    "zephyr": Family(ZEPHYR, "llama", tags=("<|user|>", "<|system|>", "<|assistant|>")),
    "gemma": Family(
        GEMMA, "llama", tokens=("<start_of_turn>", "<end_of_turn>"), end="<end_of_turn>", system=False
    ),
    "vicuna": Family(VICUNA, "llama", tags=("USER:", "ASSISTANT:")),
    "openchat": Family(
        OPENCHAT,
        "llama",
        tokens=("<|end_of_turn|>",),
        named={"eos_token": "<|end_of_turn|>"},
        tags=("GPT4 Correct User:", "GPT4 Correct Assistant:"),
        end="<|end_of_turn|>",
    ),
    "magicoder": Family(MAGICODER, "llama", tags=("@@ Instruction", "@@ Response"), system=False),
    "exaone": Family(
        EXAONE,
        tokens=("[|endofturn|]",),
        named={"eos_token": "[|endofturn|]"},
        tags=("[|user|]", "[|assistant|]", "[|system|]"),
        end="[|endofturn|]",
    ),
    "deepseek-v2": Family(
        DEEPSEEK_V2,
        tokens=("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>"),
        named={"bos_token": "<｜begin▁of▁sentence｜>", "eos_token": "<｜end▁of▁sentence｜>"},
        end="<｜end▁of▁sentence｜>",
    ),
}


def tokenizer_of(family: Family, plain: Tokenizer) -> Tokenizer:
    """The family's tokenizer, made of a small one of its kind."""
    first = plain.vocab_size
    names = [name for name in (*family.tokens, *family.plain) if name not in plain.vocabulary]
    added: list[dict[str, Any]] = [
        {
            **tokenizer_json.added_token(name, token_id, special=name not in family.plain),
            "rstrip": name in family.takes_space,
        }
        for token_id, name in enumerate(names, first)
    ]
    more = plain.with_vocabulary(added)
    config = {**more.config, **family.named, "chat_template": family.template}
    spec = more.spec
    if family.words is not None:
        split = {
            "type": "Split",
            "pattern": {"Regex": family.words},
            "behavior": "Isolated",
            "invert": False,
        }
        letters = {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "trim_offsets": True,
            "use_regex": False,
        }
        spec = {**spec, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, letters]}}
    return Tokenizer(spec, config)
