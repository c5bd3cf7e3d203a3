"""Anthropic HH transcripts: whole dialogues as text, split at the turn markers, never at common characters.

The longest common start of two transcripts would move the first words that both answers share into the
prompt (19 % of HH). Here both are cut into turns, neighbours of one speaker are joined, and the answers
start at the first turn that differs; where that is a human turn, the two sides answer different prompts.
"""

from __future__ import annotations

import re

from ..records import Message, Origin, PreferencePair, Role, Turns
from .base import Format, Row, RowFault
from .build import build_pair, need
from .messages import fork, text_of

_MARKER = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
_ROLES: dict[str, Role] = {"Human": "user", "Assistant": "assistant"}


def is_transcript(value: object) -> bool:
    """Whether a value is text that opens with ``Human:`` or ``Assistant:`` and has a marked turn after it."""
    if not isinstance(value, str) or _MARKER.match(value) is None:
        return False
    return "\n\nHuman:" in value or "\n\nAssistant:" in value


def turns_of_transcript(text: str, side: str) -> Turns:
    """The turns of a transcript; the white space around a turn belongs to its marker."""
    head, *rest = _MARKER.split(text)
    if not rest:
        raise RowFault("wrong type", f"{side!r} has no '\\n\\nHuman:' or '\\n\\nAssistant:' turn: mend the row")
    if head.strip():
        raise RowFault("roles", f"{side!r} has text before its first turn marker: mark whose turn it is")
    names, contents = rest[::2], rest[1::2]
    return tuple(Message(_ROLES[n], c.strip()) for n, c in zip(names, contents, strict=True))


def _matches(row: Row) -> bool:
    if "chosen" not in row or "rejected" not in row:
        return False
    if "prompt" in row:
        return is_transcript(row["prompt"])
    return is_transcript(row["chosen"]) or is_transcript(row["rejected"])


def _convert(row: Row, origin: Origin) -> PreferencePair:
    opening = text_of(need(row, "prompt"), "'prompt'") if "prompt" in row else ""
    sides = [
        turns_of_transcript(opening + text_of(need(row, side), f"{side!r}"), side) for side in ("chosen", "rejected")
    ]
    return build_pair(*fork(*sides), row, origin)


HH = Format(
    name="hh",
    description="Anthropic HH: two whole dialogues with \\n\\nHuman: and \\n\\nAssistant: turns",
    example={
        "chosen": "\n\nHuman: Hi\n\nAssistant: Hello!",
        "rejected": "\n\nHuman: Hi\n\nAssistant: What?",
    },
    keys="chosen, rejected (dialogues that start with 'Human:')",
    columns=frozenset({"prompt", "chosen", "rejected", "system"}),
    matches=_matches,
    convert=_convert,
)
