"""At the prompt of ``preftune chat`` a line can be edited."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

LISTEN = """
from preftune.cli.chat import edit_with_keys
edit_with_keys()
print(repr(input("> ")))
"""
LEFT = b"\x1b[D"


def test_arrow_keys_move_in_the_line() -> None:
    pytest.importorskip("readline", reason="there is no readline here")
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN], stdin=theirs, stdout=theirs, env={**os.environ, "TERM": "xterm"}
    ) as child:
        os.close(theirs)
        said = _read_until(ours, b"> ")
        os.write(ours, b"helo" + LEFT + b"l\n")
        said += _read_until(ours, b"'\r\n")
    os.close(ours)
    assert b"'hello'" in said
    assert child.returncode == 0


def _read_until(terminal: int, end: bytes) -> bytes:
    said = b""
    while end not in said:
        said += os.read(terminal, 1024)
    return said
