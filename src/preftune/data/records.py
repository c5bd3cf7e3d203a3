"""Validated preference records: what every format becomes before anything is tokenised."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from functools import cached_property
from hashlib import blake2b
from itertools import pairwise
from json import JSONEncoder, loads
from math import isfinite
from typing import Any, Literal

from ..errors import DataError

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record comes from: file as the user named it, and its 1-based row."""

    file: str
    row: int

    def __str__(self) -> str:
        return f"{self.file}:{self.row}"


THOUGHTS = ("reasoning_content", "thinking")
"""Keys under which an answer's thoughts stand; each chat template knows its own, so the key is kept."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str
    fields: str = ""
    """What a chat template gets beside the content, as a JSON object: tool_calls, tool_call_id, name, thoughts."""

    def as_template(self) -> dict[str, Any]:
        """The message as chat templates take it."""
        return {"role": self.role, "content": self.content, **(loads(self.fields) if self.fields else {})}

    @property
    def said(self) -> str:
        """Content and fields as one text: what two turns are compared by."""
        return "\n".join(part for part in (self.content, self.fields) if part)


@dataclass(frozen=True, slots=True)
class TemplateInput:
    """What a row hands to the chat template beside its messages, as JSON text; empty: nothing."""

    tools: str = ""
    """List of the tools that the model may call."""
    variables: str = ""
    """Object of template variables, such as ``{"enable_thinking": false}``."""


NO_INPUT = TemplateInput()
Turns = tuple[Message, ...]
Kind = Literal["chat", "text"]


_AS_JSON = JSONEncoder(ensure_ascii=False).encode


def content_id(given: TemplateInput, prompt: Turns, completions: tuple[Turns, ...], *judgement: object) -> str:
    """Hash of what was said and how it was judged, independent of file and row; 32 hex digits."""
    turns = [[(m.role, m.content, m.fields)[: 3 if m.fields else 2] for m in part] for part in (prompt, *completions)]
    inputs = [(given.tools, given.variables)] if given != NO_INPUT else []
    blob = _AS_JSON([*turns, *judgement, *inputs]).encode("utf-8", "surrogatepass")
    return blake2b(blob, digest_size=16).hexdigest()


@dataclass(frozen=True)
class _Judged:
    """What every record has beside its answers and what was said of them.

    ``kind`` says how the row was written. ``"chat"``: messages with roles. ``"text"``: plain strings, kept
    as one user message and one assistant message so that a chat template can render them; under
    ``data.template: plain`` their contents are concatenated as they are (``prompt + chosen``).
    """

    prompt: Turns
    _: KW_ONLY
    kind: Kind = "chat"
    category: str | None = None
    source: str | None = None
    template_input: TemplateInput = NO_INPUT
    weight: float = 1.0
    """Factor of this record's loss (the mean still divides by the number of records)."""

    @property
    def opening(self) -> str:
        """The first user turn, white space folded: records that share it belong to one prompt group."""
        first = next((m.content for m in self.prompt if m.role == "user"), "")
        return " ".join(first.split())

    @property
    def shared(self) -> dict[str, Any]:
        """What a record made from this one keeps, by the names of its arguments; the prompt apart."""
        return {item.name: getattr(self, item.name) for item in fields(_Judged) if item.kw_only}


@dataclass(frozen=True)
class PreferencePair(_Judged):
    """One prompt and two answers, of which ``chosen`` was preferred.

    ``chosen`` and ``rejected`` are the turns after the prompt: they start with an assistant turn.
    """

    chosen: Turns
    rejected: Turns
    origin: Origin
    _: KW_ONLY
    margin: float | None = None
    """Score of the chosen answer less that of the rejected one, where the data say so."""

    @property
    def completions(self) -> tuple[Turns, ...]:
        """Both answers, the chosen one first."""
        return self.chosen, self.rejected

    @cached_property
    def id(self) -> str:
        """Hash of the content (prompt and both answers), independent of file and row; 32 hex digits."""
        return content_id(self.template_input, self.prompt, self.completions)


@dataclass(frozen=True)
class BinaryFeedback(_Judged):
    """One prompt and one answer that somebody found desirable (thumbs up) or undesirable (thumbs down).

    The turns are as in PreferencePair.
    """

    completion: Turns
    desirable: bool
    origin: Origin

    @property
    def completions(self) -> tuple[Turns, ...]:
        """The answer, alone."""
        return (self.completion,)

    @cached_property
    def id(self) -> str:
        """Hash of the content (prompt, answer and label), independent of file and row; 32 hex digits."""
        return content_id(self.template_input, self.prompt, self.completions, self.desirable)


@dataclass(frozen=True)
class Ranking(_Judged):
    """One prompt and k >= 2 answers, the best first.

    ``ranks`` starts at 1 and goes up by 0 (a tie) or 1 from answer to answer. ``scores``, where the data give
    them, are in the same order and never rise. ``kind`` and the turns are as in PreferencePair. Raises DataError
    where these do not hold.
    """

    completions: tuple[Turns, ...]
    ranks: tuple[int, ...]
    origin: Origin
    _: KW_ONLY
    scores: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        size = len(self.completions)
        if size < 2 or len(self.ranks) != size or len(self.scores or self.ranks) != size:
            raise DataError(f"{self.origin}: a ranking needs two or more answers, and a rank (and score) for each")
        if self.ranks[0] != 1 or any(below - above not in (0, 1) for above, below in pairwise(self.ranks)):
            raise DataError(f"{self.origin}: ranks must go up from 1 by 0 (a tie) or 1, not {self.ranks}")
        scores = self.scores or ()
        if not all(map(isfinite, scores)) or any(above < below for above, below in pairwise(scores)):
            raise DataError(f"{self.origin}: scores must be finite and never rise from best to worst, not {scores}")

    @cached_property
    def id(self) -> str:
        """Hash of the content (prompt, answers and ranks), independent of file and row; 32 hex digits."""
        return content_id(self.template_input, self.prompt, self.completions, self.ranks)


Choice = Literal["first", "second", "tie"]
CHOICES: tuple[Choice, ...] = ("first", "tie", "second")
"""What one may say about two answers, in order."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """What one annotator said about the two answers of a row; ``shown_first`` where the row tells the display order."""

    annotator: str
    choice: Choice
    shown_first: Literal["first", "second"] | None = None


@dataclass(frozen=True)
class VotedPair(_Judged):
    """One prompt, two answers in the order of the row, and the ballots of one or more annotators.

    The turns are as in PreferencePair.
    """

    completions: tuple[Turns, Turns]
    ballots: tuple[Ballot, ...]
    origin: Origin

    @cached_property
    def id(self) -> str:
        """Hash of the content (prompt, answers and votes), independent of file and row; 32 hex digits."""
        votes = sorted((ballot.annotator, ballot.choice) for ballot in self.ballots)
        return content_id(self.template_input, self.prompt, self.completions, votes)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was said about two answers, by their places in the row: ``choice`` is the first, the second, or a tie."""

    first: int
    second: int
    choice: Choice


@dataclass(frozen=True)
class ComparedAnswers(_Judged):
    """One prompt, k >= 2 answers, and comparisons of two of them each, which need not fit one order.

    The turns are as in PreferencePair.
    """

    completions: tuple[Turns, ...]
    comparisons: tuple[Comparison, ...]
    origin: Origin

    @cached_property
    def id(self) -> str:
        """Hash of the content (prompt, answers and comparisons), independent of file and row; 32 hex digits."""
        said = [(one.first, one.second, one.choice) for one in self.comparisons]
        return content_id(self.template_input, self.prompt, self.completions, said)


Record = PreferencePair | BinaryFeedback | Ranking | VotedPair | ComparedAnswers


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used, and why. ``reason`` ends with what to do; ``kind`` is what faults are counted by."""

    origin: Origin
    reason: str
    kind: str = "other"

    def __str__(self) -> str:
        return f"{self.origin}: {self.reason}"
