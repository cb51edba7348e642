"""What a server allows, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass, field

from codecascade.ground.errors import UserError


@dataclass(frozen=True)
class Limits:
    """Bounds of one request and of all of them together. Times are in seconds.

    Attributes:
        clients: generations at a time, queued ones included; more are refused with status 429.
        connections: open connections; more are closed at once.
        body_bytes: of a request's body.
        all_body_bytes: of all bodies that are held at a time; what comes on top is refused with status 503.
        prompt_tokens: of one prompt; None: the context.
        max_tokens: that may be asked for; None: the context.
        samples: completions of one request, over all its prompts.
        prompt_logprobs: log-probabilities of prompts' tokens that are held at a time; a request for more is refused
            with status 400, one that has to wait for others with 503.
        stop_strings, stop_characters: how many stop strings, and how long each.
        header_seconds: until a request's head is there.
        body_seconds: until its body is there.
        request_seconds: from then to the end of the answer.
        keep_alive_seconds: how long an idle connection stays open.
        drain_seconds: how long running requests may go on after SIGTERM.
    """

    clients: int = 256
    connections: int = 1024
    body_bytes: int = 16 * 2**20
    all_body_bytes: int = 256 * 2**20
    prompt_tokens: int | None = None
    max_tokens: int | None = None
    samples: int = 128
    prompt_logprobs: int = 4 * 2**20
    stop_strings: int = 64
    stop_characters: int = 1024
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    request_seconds: float = 600.0
    keep_alive_seconds: float = 65.0
    drain_seconds: float = 30.0

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            if value is not None and value <= 0:
                raise UserError(f"must be over 0 (got {value})", key=key)

    @property
    def waiting(self) -> int:
        """Prompts that may wait in the model's queue: as many as clients, and as one client may send at once."""
        return max(self.clients, self.samples)


@dataclass(frozen=True)
class ServerSettings:
    """How a model is served.

    Attributes:
        names: what the model is called in requests, its own name first; an empty name always means it.
        keys: of which each request must carry one; none: nobody is asked for one.
        hosts: the names under which the server may be addressed; None: any. A page in a browser can give its own
            name the address of this machine (DNS rebinding), so a server on the loopback address names its own.
        origins: web pages that may use it, beside those of this machine; ``*`` stands for all.
        log_prompts: write prompts and completions to the log.
    """

    names: tuple[str, ...]
    keys: tuple[str, ...] = ()
    hosts: tuple[str, ...] | None = None
    origins: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    log_prompts: bool = False
