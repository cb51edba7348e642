"""The licence of a text, by its header or its wording."""

from __future__ import annotations

from codecascade.corpus.reading.licenses import license_from_header, license_from_text, normalised_license

CODE = "def add(first, second):\n    return first + second\n"


def test_licences_of_texts_and_headers() -> None:
    assert normalised_license("apache-2.0 or mit") == "Apache-2.0 OR MIT"
    assert (
        normalised_license("GPL v3+") == "GPL-3.0-only"
        and normalised_license("whatever you like") == "unknown"
    )
    assert license_from_text("The Unlicense: released into the public domain") == "Unlicense"
    notice = "under the terms of the GNU {}General\n * Public License as published by"
    assert license_from_header("/* This is free software, " + notice.format("") + "*/") == "GPL-3.0-only"
    assert (
        license_from_header("/* This is free software, " + notice.format("Lesser ") + "*/") == "LGPL-3.0-only"
    )
    assert license_from_header("/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */") == (
        "GPL-2.0-only WITH Linux-syscall-note OR MIT"
    )
    assert license_from_header("# works beside the GNU General Public License") is None
    assert license_from_header(CODE) is None
