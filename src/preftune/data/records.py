"""Validated preference records: what every format becomes before anything is tokenised."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from json import dumps
from typing import Literal

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record comes from: file as the user named it, and its 1-based row."""

    file: str
    row: int

    def __str__(self) -> str:
        return f"{self.file}:{self.row}"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


Turns = tuple[Message, ...]


@dataclass(frozen=True)
class PreferencePair:
    """One prompt and two answers, of which ``chosen`` was preferred.

    ``kind`` says how the row was written. ``"chat"``: messages with roles. ``"text"``: plain strings, kept
    as one user message and one assistant message so that a chat template can render them; under
    ``data.template: plain`` their contents are concatenated as they are (``prompt + chosen``).

    ``chosen`` and ``rejected`` are the turns after the prompt: they start with an assistant turn.
    """

    prompt: Turns
    chosen: Turns
    rejected: Turns
    origin: Origin
    kind: Literal["chat", "text"] = "chat"
    category: str | None = None
    source: str | None = None
    weight: float = 1.0
    """Factor of this pair's loss (the mean still divides by the number of pairs)."""
    margin: float | None = None
    """Score of the chosen answer less that of the rejected one, where the data say so."""

    @cached_property
    def id(self) -> str:
        """Hash of the content (prompt and both answers), independent of file and row; 32 hex digits."""
        turns = [[(m.role, m.content) for m in part] for part in (self.prompt, self.chosen, self.rejected)]
        blob = dumps(turns, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return blake2b(blob, digest_size=16).hexdigest()

    @property
    def opening(self) -> str:
        """The first user turn, white space folded: pairs that share it belong to one prompt group."""
        first = next((m.content for m in self.prompt if m.role == "user"), "")
        return " ".join(first.split())


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used, and why. ``reason`` ends with what to do; ``kind`` is what faults are counted by."""

    origin: Origin
    reason: str
    kind: str = "other"

    def __str__(self) -> str:
        return f"{self.origin}: {self.reason}"
