"""Addresses of servers: what is sent of them, and what is shown."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.generation.openai_server import login_headers, server_url
from codecascade.ground.errors import UserError
from codecascade.ground.format import without_login
from codecascade.recipe.self_instruct import TeacherSettings

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(NAMES, NAMES, st.sampled_from(["", "/", "/v1", "/a@b/v1", "/v1?x=@"]))
def test_a_login_is_sent_and_no_part_of_what_is_shown(name: str, password: str, path: str) -> None:
    url = f"https://{quote(name, safe='')}:{quote(password, safe='')}@host:8000{path}"
    assert without_login(url) == f"https://host:8000{path}"
    assert server_url(url) == server_url(f"https://host:8000{path}")
    kind, _, login = login_headers(url, "key")["Authorization"].partition(" ")
    assert kind == "Basic" and base64.b64decode(login).decode() == f"{name}:{password}"


@pytest.mark.parametrize("url", ["http://host", "http://host/a@b", "http://@host", "http://:@host"])
def test_without_a_login_the_key_is_sent(url: str) -> None:
    assert login_headers(url, "key") == {"Authorization": "Bearer key"}


@pytest.mark.parametrize("url", ["name:secret@host:80", "ftp://name:secret@host", "http://name:se@cret@"])
def test_addresses_that_are_none_are_refused_without_their_password(url: str) -> None:
    with pytest.raises(UserError, match="must be a URL") as error:
        server_url(url)
    assert "cret" not in str(error.value)


def test_a_teacher_is_called_by_its_address() -> None:
    teacher = TeacherSettings(model="big", endpoint="http://name:secret@host:8000/v1")
    assert teacher.in_words == "big at http://host:8000/v1"
