"""Small rows and files for the data room's tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from preftune.data import BadRow, Message, Origin, PreferencePair
from preftune.data.formats import FORMATS, View, convert, pairs_view
from preftune.data.formats.views import R

HERE = Origin("rows.jsonl", 1)
GOOD = {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def turns(*texts: str) -> tuple[Message, ...]:
    """User and assistant messages in turn, starting with the user's."""
    return tuple(Message("assistant" if i % 2 else "user", text) for i, text in enumerate(texts))


def said(*texts: str) -> tuple[Message, ...]:
    """Assistant and user messages in turn, starting with the assistant's."""
    return turns("", *texts)[1:]


def write_lines(path: Path, rows: Iterable[object]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


PAIRS = pairs_view()


def record_of(row: Mapping[str, object], view: View[R], name: str = "auto") -> R:
    made, _ = convert(row, HERE, FORMATS.get(name), view)
    assert not isinstance(made, BadRow), made
    return made.records[0]


def pair_of(row: dict[str, object], name: str = "auto") -> PreferencePair:
    return record_of(row, PAIRS, name)


def fault_of(row: dict[str, object], name: str = "auto", view: View[Any] = PAIRS) -> BadRow:
    made, _ = convert(row, HERE, FORMATS.get(name), view)
    assert isinstance(made, BadRow), made
    return made


def tiny_pair(prompt: str, number: int = 0) -> PreferencePair:
    return PreferencePair(turns(prompt), said(f"good {number}"), said("bad"), Origin("f", number + 1))
