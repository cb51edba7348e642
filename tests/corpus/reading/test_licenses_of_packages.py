"""Licences as packages name them, and which are permissive."""

from __future__ import annotations

from email.message import Message

import pytest

from codecascade.corpus.reading.licenses import is_permissive, license_from_metadata


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"License-Expression": "MIT  OR Apache-2.0"}, "MIT OR Apache-2.0"),
        ({"License": "BSD 3-Clause License"}, "BSD-3-Clause"),
        ({"License": "MPL-2.0 AND MIT"}, "MPL-2.0 AND MIT"),
        ({"License": "GPLv3"}, "GPL-3.0-only"),
        ({"License": "apache-2.0"}, "Apache-2.0"),
        ({"Classifier": "License :: OSI Approved :: Apache Software License"}, "Apache-2.0"),
        ({"License": "Permission is hereby granted,\n free of charge"}, "MIT"),
        ({"License": "proprietary"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_licence_of_metadata(fields: dict[str, str], expected: str) -> None:
    message = Message()
    for key, value in fields.items():
        message[key] = value
    assert license_from_metadata(message) == expected


@pytest.mark.parametrize(
    ("expression", "permissive"),
    [
        ("Apache-2.0 WITH LLVM-exception", True),
        ("Apache-2.0 AND Apache-2.0 WITH LLVM-exception AND BSD-2-Clause", True),
        ("(GPL-2.0 OR MIT) AND LGPL-3.0", False),
        ("GPL-2.0 OR (MIT AND (ISC OR AGPL-3.0))", True),
        ("MIT MIT", False),
        ("AND", False),
        ("", False),
        ("(", False),
    ],
)
def test_permissive_expressions(expression: str, permissive: bool) -> None:
    assert is_permissive(expression) is permissive
