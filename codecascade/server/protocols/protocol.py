"""What a protocol is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter

from codecascade.server.answers.service import Service
from codecascade.server.http.errors import ErrorShape


@dataclass(frozen=True)
class Protocol:
    """The addresses of one protocol, and how it tells of errors.

    Attributes:
        name: in the documentation.
        routes: makes its addresses for a service.
        error: the form of its errors.
        paths: the beginnings of addresses for which errors have this form; the longest that fits counts.
        invalid: the status of a body that has the wrong form.
        public: addresses that need no key.
    """

    name: str
    routes: Callable[[Service], APIRouter]
    error: ErrorShape
    paths: tuple[str, ...]
    invalid: int = 400
    public: tuple[str, ...] = ()
