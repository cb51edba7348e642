"""``dialogues check`` and ``dialogues show``."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from codecascade.cli import main

ASK, TELL = {"role": "user", "content": "What is 2 + 2?"}, {"role": "assistant", "content": "It is 4."}
GOOD: dict[str, Any] = {"messages": [ASK, TELL], "topic": "sums"}


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        main(["dialogues", *arguments])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def write(path: Path, *rows: object) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_what_is_in_files(capsys: pytest.CaptureFixture[str], tmp_path: Path, model: str) -> None:
    long = {"messages": [ASK, TELL, {"role": "user", "content": "More? " * 100}, TELL]}
    first = write(tmp_path / "a.jsonl", GOOD, GOOD, long)
    second = write(tmp_path / "b.jsonl", {"instruction": "What is 2 + 2?", "output": "It is 4."})
    options = ["--tokenizer", model, "--sequence-length", "100", "--no-benchmarks"]
    code, out, err = run(capsys, "check", first, second, *options)
    assert (code, err) == (0, "")
    for words in (
        f"{first} (messages): 3 dialogues\n",
        "turns      2 of 2 messages, 1 of 4 messages",
        "4 user (642 characters), 4 assistant (32 characters)",
        f"longest    630 characters, {first}:3",
        "too long   1 (33.3%) have more than 100 tokens",
        "of them 0 lose all answers",
        "duplicates 1",
        "not read   keys topic (2)",
        f"{second} (alpaca): 1 dialogue\n",
    ):
        assert words in out, out
    code, out, _ = run(capsys, "check", first, second, *options, "--json")
    files = json.loads(out)["files"]
    assert code == 0 and [file["dialogues"] for file in files] == [3, 1]
    assert files[1]["duplicates"] == 1, "the same dialogue in another format"
    assert files[0]["tokens"]["cut"] == 1 and files[0]["tokens"]["learnt"] > 0
    assert files[0]["messages_per_dialogue"] == {"2": 2, "4": 1}


def test_unusable_lines_are_listed_and_the_exit_code_is_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bad = write(
        tmp_path / "a.jsonl", GOOD, {"messages": [ASK]}, {"messages": [ASK]}, {"messages": [TELL, TELL]}
    )
    code, out, _ = run(capsys, "check", bad, "--no-benchmarks")
    assert code == 2
    assert f"{bad} (messages): 1 dialogue, 3 unusable lines" in out
    said = out.splitlines()
    (kind,) = [index for index, line in enumerate(said) if "2 x messages: must end with an answer" in line]
    assert said[kind + 1].strip() == f"{bad}:2, {bad}:3", "below each kind are its lines"
    assert out.count("must end with an answer") == 1 and "here, --repair tries what it mends" in out
    code, out, _ = run(capsys, "check", bad, "--no-benchmarks", "--json")
    (found,) = json.loads(out)["files"]
    assert code == 2 and found["unusable"] == 3 and found["unusable_lines"][0]["line"] == f"{bad}:2"
    repaired = ["--repair", "drop_last_request", "--repair", "drop_first_answer"]
    code, out, _ = run(capsys, "check", bad, "--no-benchmarks", *repaired, "--json")
    assert code == 2 and json.loads(out)["files"][0]["unusable"] == 3, "nothing is left of those lines"
    damaged = tmp_path / "b.json"
    damaged.write_text(f"[{json.dumps(GOOD)},")
    code, out, _ = run(capsys, "check", str(damaged), bad, "--no-benchmarks")
    assert code == 2 and "error      :1: is not valid JSON" in out.replace(str(damaged), "")
    code, out, _ = run(capsys, "check", str(tmp_path / "absent"), "--no-benchmarks")
    assert code == 2 and "there is no such file" in out


def test_a_template_that_refuses_a_dialogue_makes_its_line_unusable(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model: str
) -> None:
    from codecascade.model.sources import tokenizer_of

    refusing = tmp_path / "refusing"
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
        "{{ m.content }}{{ eos_token }}{% endfor %}"
    )
    tokenizer_of(model).with_chat_template(template).save(refusing)
    system = {"messages": [{"role": "system", "content": "s"}, ASK, TELL]}
    path = write(tmp_path / "a.jsonl", GOOD, system)
    code, out, _ = run(capsys, "check", path, "--tokenizer", str(refusing), "--no-benchmarks", "--json")
    (found,) = json.loads(out)["files"]
    assert code == 2 and found["dialogues"] == 1
    assert "no system here" in found["unusable_lines"][0]["reason"]


def test_benchmark_texts_are_found(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from codecascade.cascade import benchmark_texts
    from codecascade.corpus.steps.decontamination import BenchmarkTexts

    problem = "Write a function that adds the squares of all even numbers in a list, and returns the sum."
    texts = BenchmarkTexts({"sums/1/prompt": problem}, ("sums",), ("others",))
    monkeypatch.setattr(benchmark_texts, "benchmark_texts", lambda: texts)
    leaked = {"messages": [{"role": "user", "content": f"Please: {problem.upper()}"}, TELL]}
    path = write(tmp_path / "a.jsonl", GOOD, leaked)
    code, out, _ = run(capsys, "check", path)
    assert code == 0 and "1 dialogue with a benchmark's text" in out and f"{path}:2: sums/1/prompt" in out
    assert "benchmarks not looked for, because their data is not here: others" in out


def test_what_is_trained_on_is_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path, model: str) -> None:
    path = write(tmp_path / "a.jsonl", GOOD, {"messages": [ASK, TELL, ASK, TELL]})
    code, out, _ = run(capsys, "show", path, "--line", "2", "--tokenizer", model, "--chat-format", "llama2")
    assert code == 0 and "of them learnt (in ⟦⟧)" in out
    assert out.count("[INST] What is 2 + 2? [/INST]⟦ It is 4. <|endoftext|>⟧") == 2
    options = ["--tokenizer", model, "--chat-format", "llama2"]
    _, out, _ = run(capsys, "show", path, "--line", "2", *options, "--loss", "last")
    assert out.count("⟦ It is 4. <|endoftext|>⟧") == 1
    _, out, _ = run(capsys, "show", path, "--line", "1", *options, "--json")
    tokens = json.loads(out)["tokens"]
    assert "".join(token["text"] for token in tokens if token["learnt"]) == " It is 4. <|endoftext|>"
    _, out, _ = run(capsys, "show", path, "--line", "1", *options, "--tokens")
    assert len(out.splitlines()) == len(tokens) + 1 and "⟦⟧ '<|endoftext|>'" in out
    _, out, _ = run(capsys, "show", path, "--line", "1", *options, "--default-system", "Be brief.")
    assert "<<SYS>>\nBe brief.\n<</SYS>>" in out
    _, out, _ = run(capsys, "show", path, "--line", "1", *options, "--sequence-length", "5")
    assert "nothing of it is trained on" in out


def test_mistakes_of_the_commands(capsys: pytest.CaptureFixture[str], tmp_path: Path, model: str) -> None:
    path = write(tmp_path / "a.jsonl", GOOD, {"messages": [ASK]})
    for arguments, words in (
        (["show", path, "--line", "3", "--tokenizer", model], "a.jsonl:3: has no dialogue that begins there"),
        (["show", path, "--line", "2", "--tokenizer", model], "a.jsonl:2: messages: must end with an answer"),
        (["show", str(tmp_path), "--line", "1", "--tokenizer", str(tmp_path / "no")], "is no folder"),
        (["check", path, "--chat-format", "llama2"], "--chat-format: needs --tokenizer"),
        (["check", path, "--key", "user"], "--key: must be two words with '=' between"),
        (["check", path, "--key", "who=x"], "--key: "),
        (["check", path, "--role", "bot=robot"], "--role: "),
    ):
        code, _, err = run(capsys, *arguments)
        assert code == 2 and words in err, (arguments, err)


def test_everything_that_is_not_read_is_counted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asked = [
        {"role": "user", "content": "a", "from": "human"},
        {"role": "assistant", "content": "b", "reasoning_content": "hm", "weight": 1, "refusal": None},
    ]
    rows = {
        "lists": {"messages": asked, "conversations": asked, "source": "web"},
        "answers": {"instruction": "a", "output": "b", "response": "c", "history": []},
        "pairs": {"prompt": "a", "completion": "b", "response": "c", "input": "d"},
        "system": {"prompt": "a", "completion": "b", "system": "c", "mine": "d"},
    }
    left = {
        "lists": {"conversations", "source", "messages[].from", "messages[].reasoning_content"},
        "answers": {"response"},
        "pairs": {"response", "input"},
        "system": {"system"},
    }
    for name, row in rows.items():
        path = tmp_path / f"{name}.jsonl"
        path.write_text(json.dumps(row) + "\n")
        named = ["--key", "system=mine"] if name == "system" else []
        with contextlib.suppress(SystemExit):
            main(["dialogues", "check", str(path), "--no-benchmarks", "--json", *named])
        [found] = json.loads(capsys.readouterr().out)["files"]
        assert found["keys_left_alone"] == dict.fromkeys(left[name], 1), name
