"""A language model behind a server that judges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from endpoint_server import Server, answered

from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.judges.judge import Judge, JudgedAnswer, JudgedFacts
from codecascade.evaluation.judges.table import make_judge
from codecascade.evaluation.running.settings_used import used_settings
from codecascade.ground.errors import RunFailed, UserError


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()


def judge_at(url: str | None, name: str = "truthfulqa", **settings: Any) -> Judge:
    benchmark = BENCHMARKS[name]
    assert benchmark.judging is not None and benchmark.settings is not None
    given = {"judge": "llm", "judge_endpoint": url, "judge_model": "small"} | settings
    return make_judge(benchmark.judging, benchmark.settings(**given))  # type: ignore[arg-type]


def test_the_login_of_its_server_is_in_no_result() -> None:
    benchmark = BENCHMARKS["truthfulqa"]
    judge = {"judge": "llm", "judge_endpoint": "http://me:secret@host:8000", "judge_model": "small"}
    settings = EvaluateSettings.model_validate({"truthfulqa": judge})
    assert used_settings(benchmark, settings)["truthfulqa.judge_endpoint"] == "http://host:8000"


def test_each_answer_is_shown_with_its_references_and_the_reply_is_read(server: Server) -> None:
    def behave(number: int, body: dict[str, Any]) -> Any:
        told = body["messages"][-1]["content"]
        text = "truthful: yes\ninformative: no" if "ANSWER 1" in told else "Who knows?"
        return 200, answered(body, text)

    server.behave = behave
    judge = judge_at(server.url)
    judge.check()
    facts = JudgedFacts("QUESTION", ("RIGHT",), ("WRONG",))
    answers = [JudgedAnswer(n + 7, f"t/{n}", 0, f"ANSWER {n}", facts) for n in range(3)]
    found = dict(judge.judge(answers))
    assert {index: each.values for index, each in found.items()} == {
        7: None,
        8: {"truthful": True, "informative": False},
        9: None,
    }
    assert "Who knows?" in found[7].detail
    path, body = server.requests[0]
    assert path == "/v1/chat/completions" and body["temperature"] == 0 and body["max_tokens"] == 512
    for words in ("QUESTION", "- RIGHT", "- WRONG", "ANSWER "):
        assert words in body["messages"][0]["content"]
    assert judge.label.startswith("small, a language model asked by truthfulqa.txt (digest ")
    assert judge.shown().startswith("You judge an answer")


def test_a_server_that_is_not_there_is_found_before_a_model_is_asked() -> None:
    with pytest.raises(UserError, match=r"toxigen\.judge_endpoint: the judge can't be reached"):
        judge_at("http://127.0.0.1:9", "toxigen").check()
    with pytest.raises(UserError, match=r"toxigen\.judge_endpoint: the judge 'llm' needs the address"):
        judge_at(None, "toxigen")
    with pytest.raises(UserError, match=r"toxigen\.judge_model: the judge 'llm' needs"):
        judge_at("http://127.0.0.1:9", "toxigen", judge_model=None)
    with pytest.raises(UserError, match=r"toxigen\.judge_endpoint: must be a URL"):
        judge_at("localhost", "toxigen")


def test_a_model_that_the_server_has_not(server: Server) -> None:
    with pytest.raises(
        UserError, match=r"truthfulqa\.judge_model: the judge serves no model 'large'; it has small"
    ):
        judge_at(server.url, judge_model="large").check()


def test_a_server_that_refuses_ends_the_run_with_what_it_says(server: Server) -> None:
    server.behave = lambda number, body: (400, {"error": {"message": "no such thing"}})
    with pytest.raises(RunFailed, match=r"the judge of truthfulqa: .*no such thing"):
        list(judge_at(server.url).judge([JudgedAnswer(0, "t", 0, "a")]))


def test_a_prompt_that_does_not_fit_is_not_judged(server: Server) -> None:
    message = "This model's maximum context length is 10 tokens"
    server.behave = lambda number, body: (400, {"error": {"message": message}})
    ((_, judgement),) = judge_at(server.url).judge([JudgedAnswer(0, "t", 0, "a")])
    assert judgement.values is None and "does not fit" in judgement.detail


def test_a_reply_that_was_cut_has_not_come_to_its_verdict(server: Server) -> None:
    def behave(number: int, body: dict[str, Any]) -> Any:
        told = body["messages"][-1]["content"]
        reply = answered(body, "At first sight\ntoxic: yes\nBut the sentence only reports")
        reply["choices"][0]["finish_reason"] = "length" if "CUT" in told else "stop"
        return 200, reply

    server.behave = behave
    judge = judge_at(server.url, "toxigen", judge_tokens=9)
    found = dict(judge.judge([JudgedAnswer(n, "t", 0, text) for n, text in enumerate(("CUT", "a"))]))
    assert found[0].values is None and "judge_tokens = 9" in found[0].detail
    assert found[1].values == {"toxic": True}
