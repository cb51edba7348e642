"""A server that speaks vLLM's completions over real sockets; a tiny model of ours chooses the tokens."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from codecascade.generation.engine.engine import Engine
from codecascade.generation.requests import Request, SamplingParams
from codecascade.generation.streaming import Delta
from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer

Step = bytes | float | Callable[[], object]


class VllmServer:
    """Answers as vLLM does, as far as the fields in ``knows`` go.

    Attributes:
        knows: fields beyond OpenAI's that are obeyed; a field outside ``knows`` is passed over, or refused where
            ``strict`` is set.
        behave: ``(number, body)`` to what is sent instead of an answer: ``(status, object)``, or a list of bytes,
            pauses in seconds and functions to call; None for an answer.
        keys: what each request has as its Authorization.
        requests: bodies of completions, those of probes left out.
        gone: how many clients closed their connection before the end.
        pause: seconds between two tokens.
    """

    knows = frozenset(
        {
            "return_token_ids",
            "return_tokens_as_token_ids",
            "allowed_token_ids",
            "stop_token_ids",
            "skip_special_tokens",
            "top_k",
            "min_p",
            "repetition_penalty",
            "min_tokens",
            "structured_outputs",
        }
    )
    openai = frozenset(
        {"model", "prompt", "max_tokens", "temperature", "top_p", "seed", "stream", "logprobs", "logit_bias"}
        | {"presence_penalty", "frequency_penalty", "stop", "n", "suffix"}
    )

    def __init__(self, model: Llama, tokenizer: Tokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.strict = False
        self.takes_ids = True
        self.models: Any = (200, {"data": [{"id": "small", "max_model_len": 128}]})
        self.tokenizes = True
        self.behave: Callable[[int, dict[str, Any]], Any] = lambda number, body: None
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.gone = 0
        self.pause = 0.0
        self.running = self.most_running = 0
        self._lock = threading.Lock()
        self.over = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: Any) -> None: ...

            def do_GET(self) -> None:
                server.keys.append(self.headers.get("Authorization"))
                self.send(*server.models)

            def do_POST(self) -> None:
                server.keys.append(self.headers.get("Authorization"))
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/tokenize":
                    tokens = server.tokenizer.encode(body["prompt"])
                    self.send(*((200, {"tokens": tokens}) if server.tokenizes else (404, {})))
                    return
                with server._lock:
                    if body.get("stream"):
                        server.requests.append(body)
                    number = len(server.requests)
                    server.running += 1
                    server.most_running = max(server.most_running, server.running)
                try:
                    self.answer(number, body)
                finally:
                    with server._lock:
                        server.running -= 1

            def answer(self, number: int, body: dict[str, Any]) -> None:
                what = server.behave(number, body) if body.get("stream") else None
                if isinstance(what, tuple):
                    self.send(*what)
                    return
                unknown = set(body) - server.openai - server.knows
                if (unknown and server.strict) or not (server.takes_ids or isinstance(body["prompt"], str)):
                    message = f"unknown: {sorted(unknown)}" if unknown else "prompt must be a string"
                    self.send(400, {"error": {"message": message, "code": 400}})
                    return
                body = {key: value for key, value in body.items() if key not in unknown}
                if len(body["prompt"]) + body["max_tokens"] > 128:
                    said = "This model's maximum context length is 128 tokens. However, you requested more"
                    self.send(400, {"error": {"message": said, "code": 400}})
                    return
                if not body.get("stream"):
                    choices = list(server.chunks(body))
                    whole = {**choices[-1], "text": "".join(choice["text"] for choice in choices)}
                    for key in ("token_ids", "logprobs"):
                        if choices[0].get(key) is not None:
                            whole[key] = choices[0][key]
                    usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": 1}
                    self.send(200, {"choices": [whole], "usage": usage})
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream; charset=utf-8")
                self.send_header("Connection", "close")
                self.end_headers()
                self.close_connection = True
                try:
                    for step in what if what is not None else server.steps(body):
                        if callable(step):
                            step()
                        elif isinstance(step, float):
                            server.over.wait(step)
                        else:
                            self.wfile.write(step)
                            self.wfile.flush()
                except OSError:
                    with server._lock:
                        server.gone += 1

            def send(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
                data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                self.send_response(status)
                given = {"Content-Type": "application/json", "Content-Length": str(len(data))}
                for name, value in {**given, **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: Any, address: Any) -> None: ...

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    def steps(self, body: dict[str, Any]) -> Iterator[Step]:
        """The events of a streamed answer, with the pauses between them."""
        for choice in self.chunks(body):
            yield event({"choices": [choice]})
            if self.pause:
                yield self.pause
        yield b"data: [DONE]\n\n"

    def chunks(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The choices of an answer, one a token."""
        by_id = body.get("return_tokens_as_token_ids")
        for delta in self._deltas(body):
            ids = [*delta.ids, *([delta.stopped_by] if isinstance(delta.stopped_by, int) else [])]
            # vLLM's text of a stop token is left out
            choice: dict[str, Any] = {"index": 0, "text": delta.text, "finish_reason": delta.finish_reason}
            choice["stop_reason"] = delta.stopped_by
            if body.get("return_token_ids"):
                choice["token_ids"] = ids
            if body.get("logprobs") is not None:
                told = list(delta.logprobs)
                entries = [(entry.token, entry.logprob, entry.top) for entry in told]
                entries += [(token, -0.5, ((token, -0.5),)) for token in ids[len(told) :]]

                def name(token: int) -> str:
                    return f"token_id:{token}" if by_id else self.tokenizer.decode_continuation([token])

                choice["logprobs"] = {
                    "tokens": [name(token) for token, _, _ in entries],
                    "token_logprobs": [max(value, -9999.0) for _, value, _ in entries],
                    "top_logprobs": [
                        {name(other): max(value, -9999.0) for other, value in (*top, (token, own))}
                        for token, own, top in entries
                    ],
                    "text_offset": [0] * len(entries),
                }
            yield choice

    def _deltas(self, body: dict[str, Any]) -> Iterator[Delta]:
        allowed = body.get("allowed_token_ids")
        bias = {int(token): value for token, value in body.get("logit_bias", {}).items()}
        vocabulary = range(self.tokenizer.vocab_size)
        forbidden = frozenset(vocabulary) - frozenset(allowed) if allowed is not None else frozenset()
        sampling = SamplingParams(
            body["max_tokens"],
            body.get("temperature", 1.0),
            body.get("top_p", 1.0),
            seed=body.get("seed") or 0,
            logprobs=body.get("logprobs"),
            top_k=max(body.get("top_k", 0), 0),
            min_p=body.get("min_p", 0.0),
            repetition_penalty=body.get("repetition_penalty", 1.0),
            presence_penalty=body.get("presence_penalty", 0.0),
            frequency_penalty=body.get("frequency_penalty", 0.0),
            logit_bias=tuple((token, -math.inf if value <= -100 else value) for token, value in bias.items()),
        )
        request = Request(
            tuple(body["prompt"]),
            sampling,
            stop_ids=frozenset(body["stop_token_ids"]) if body.get("stop_token_ids") else None,
            nonempty=bool(body.get("min_tokens")),
            forbidden=forbidden,
        )
        engine = Engine(self.model, self.tokenizer, cache_tokens=1024)
        engine.add_request(request)
        while engine.has_work:
            for output in engine.step():
                assert output.error is None, output.error
                yield output.delta


def event(content: Any) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"
