"""The rows of the data as records for the checks: in one pass, and a second time for the rows that are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from heapq import nsmallest
from itertools import pairwise
from typing import Any

from ...errors import DataError
from ..formats import Format, View, convert, format_named, pairs_view
from ..formats.base import Row, RowFault
from ..formats.hh import is_transcript, turns_of_transcript
from ..formats.messages import ROLE_NAMES
from ..formats.views import Made
from ..formats.votes import VOTES, ballots_of
from ..gather import gathered
from ..ordering import shuffle_key
from ..reading import format_of
from ..records import BadRow, Ballot, BinaryFeedback, Origin, Record
from ..rows import RawRow
from ..sources import SourceList, resolve
from .options import CheckOptions
from .seen import Judged


@dataclass(frozen=True, slots=True)
class Given:
    """What one row gave: records, or the reason why there is none."""

    origin: Origin
    records: tuple[Judged, ...] = ()
    bad: BadRow | None = None
    nothing: str = ""
    """Why the row prefers nothing."""
    ties: int = 0
    """Comparisons of the row that have no winner."""
    category: str | None = None
    joined_roles: bool = False
    others: tuple[Origin, ...] = ()
    """Further rows that were gathered into this one."""
    ballots: tuple[Ballot, ...] = ()
    """Votes of annotators on this row, also where its texts give no record."""


def judged_view(options: CheckOptions) -> View[Any]:
    """Pairs of every kind of row that holds any, and (unless they are not wanted) single judgements as they are."""
    pairs = pairs_view(options.rankings)
    if not options.judged_answers:
        return pairs
    takes: dict[type[Record], Callable[[Any], Made[Any]]] = {
        **pairs.takes,
        BinaryFeedback: lambda record: Made((record,)),
    }
    return View(pairs.wants, takes, pairs.columns, pairs.partners, pairs.otherwise)


_Item = tuple[RawRow | BadRow, Format | None]


class RowStream:
    """Every row of the sources (or an even sample of them), as often as it is asked for.

    Raises DataError where a source or a format cannot be used.
    """

    def __init__(self, source: SourceList, options: CheckOptions, view: View[Any] | None = None) -> None:
        if options.sample is not None and options.sample < 1:
            raise DataError(f"a sample needs at least one row, not {options.sample}")
        self._view = view or judged_view(options)
        given = format_named(options.format, self._view)
        self.files, self.skipped = resolve(source, self._view)
        self._formats = [format_of(file, given) for file in self.files]
        self._options = options
        self._drawn: list[_Item] | None = None
        self.rows_read = 0
        """Rows that the files hold, drawn or not; known after the first pass."""
        self.formats: Counter[str] = Counter()
        self.ignored: Counter[str] = Counter()

    def first_pass(self) -> Iterator[Given]:
        """Every row, or every one that is drawn; counted by format."""
        for row, given_format in self._rows() if self._options.sample is None else self._draw(self._options.sample):
            self.rows_read += self._drawn is None
            yield self._given(row, given_format, counted=True)

    def again(self, wanted: Collection[Origin]) -> Iterator[Given]:
        """These rows only; stops after the last of them."""
        left = set(wanted)
        for row, given_format in self._rows() if self._drawn is None else self._drawn:
            if not left:
                return
            if row.origin in left:
                left.discard(row.origin)
                yield self._given(row, given_format)

    def _rows(self) -> Iterator[_Item]:
        for file, given_format in zip(self.files, self._formats, strict=True):
            rows = file.read()
            for row in gathered(rows) if given_format in (None, VOTES) else rows:
                yield row, given_format

    def _draw(self, size: int) -> list[_Item]:
        """As many rows, each with the same chance, in their order."""

        def numbered() -> Iterator[tuple[int, _Item]]:
            for number, item in enumerate(self._rows()):
                self.rows_read += 1
                yield number, item

        drawn = nsmallest(size, numbered(), key=lambda item: shuffle_key(0, str(item[0])))
        self._drawn = [item for _, item in sorted(drawn, key=lambda item: item[0])]
        return self._drawn

    def _given(self, row: RawRow | BadRow, given_format: Format | None, *, counted: bool = False) -> Given:
        if isinstance(row, BadRow):
            self.formats["unknown"] += counted
            return Given(row.origin, bad=row)
        made, fmt = convert(row.values, row.origin, given_format, self._view)
        if counted:
            self._count(row, fmt)
        ballots = _ballots(row.values) if fmt is VOTES else ()
        if isinstance(made, BadRow):
            return Given(row.origin, bad=made, others=row.others, ballots=ballots)
        return Given(
            row.origin,
            made.records,
            None,
            made.nothing if not made.records else "",
            made.counts.get("comparisons_left_out", 0) or int(not made.records),
            _category(row.values, self._options.category_field),
            has_joined_roles(row.values),
            row.others,
            ballots,
        )

    def _count(self, row: RawRow, fmt: Format | None) -> None:
        self.formats[fmt.name if fmt else "unknown"] += 1 + len(row.others)
        self.rows_read += len(row.others)
        if fmt:
            self.ignored.update(fmt.ignored(row.values) - {self._options.category_field})


def _ballots(values: Row) -> tuple[Ballot, ...]:
    """The votes of a row; none where they cannot be read, which is then why the row cannot be used."""
    try:
        return ballots_of(values)
    except RowFault:
        return ()


def _category(values: Row, name: str) -> str | None:
    """The category of a row; numbers and booleans count as their text."""
    value = values.get(name)
    return str(value) if isinstance(value, str | int | float) and str(value).strip() else None


def has_joined_roles(values: Row) -> bool:
    """Whether somewhere in a row two neighbouring turns are both the user's or both the assistant's."""
    for value in values.values():
        if isinstance(value, dict):
            value = value.get("messages")
        if isinstance(value, list) and value and isinstance(value[0], dict):
            roles = [_role(message) for message in value]
        elif isinstance(value, str) and value[:12].lstrip()[:2] in ("Hu", "As") and is_transcript(value):
            roles = _transcript_roles(value)
        else:
            continue
        if any(first == second and first in ("user", "assistant") for first, second in pairwise(roles)):
            return True
    return False


def _role(message: object) -> str | None:
    name = message.get("role", message.get("from")) if isinstance(message, dict) else None
    return ROLE_NAMES.get(name.strip().lower()) if isinstance(name, str) else None


def _transcript_roles(text: str) -> list[str | None]:
    return [turn.role for turn in turns_of_transcript(text.lstrip(), "text")]
