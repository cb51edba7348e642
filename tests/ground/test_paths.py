"""Paths as people give them."""

from __future__ import annotations

from pathlib import Path

import pytest

from codecascade.corpus.sources.find import source_address, source_exists
from codecascade.ground.files.paths import expanded


def test_a_home_is_put_in_and_that_of_an_unknown_user_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/code") == expanded(Path("~/code")) == tmp_path / "code"
    unknown = "~nobody-is-called-so/code"
    assert expanded(unknown) == Path(unknown)
    assert not source_exists(unknown)
    assert source_address(unknown).endswith(unknown)
