"""What a check is made of: a part is fed every record in one pass and then drafts findings, without holding texts.

Examples are read again at the end: a draft names the records to show and how to tell of them.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..records import BadRow, Origin
from .findings import Example, Severity
from .normal import excerpt
from .seen import Seen

MOST_EXAMPLES = 5
MANY = 200  # records among which examples of different rows are looked for

Case = tuple[int, ...]
"""Ordinals of the records that are one example."""


class Places:
    """Where every record comes from, in 8 bytes each."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._files, self._rows = array("H"), array("I")
        self.pairs = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, seen: Seen) -> None:
        """Note the next record."""
        origin = seen.record.origin
        self._files.append(self._names.setdefault(origin.file, len(self._names)))
        self._rows.append(origin.row)
        self.pairs += seen.is_pair

    def origins(self, ordinals: Iterable[int]) -> tuple[Origin, ...]:
        """The rows of these records in the order given, each once."""
        names = list(self._names)
        found = {(self._files[ordinal], self._rows[ordinal]): None for ordinal in ordinals}
        return tuple(Origin(names[file], row) for file, row in found)

    def order(self, origin: Origin) -> tuple[int, int]:
        """Sorts rows by the order of the files, then by row."""
        return self._names.setdefault(origin.file, len(self._names)), origin.row

    def row_keys(self) -> npt.NDArray[np.int64]:
        """A number for the row of each record: equal for records of one row."""
        return np.asarray(self._files, np.int64) << 40 | np.asarray(self._rows, np.int64)

    def shown(self, ordinals: Sequence[int]) -> list[Case]:
        """The first of these records as examples, one of each row."""
        cases: dict[tuple[int, int], Case] = {}
        for ordinal in ordinals:
            cases.setdefault((self._files[ordinal], self._rows[ordinal]), (int(ordinal),))
            if len(cases) == MOST_EXAMPLES:
                break
        return list(cases.values())

    def within_row(self, ordinal: int) -> int:
        """Which of the records of its row this one is, from 0."""
        first = ordinal
        while first and (self._files[first - 1], self._rows[first - 1]) == (self._files[ordinal], self._rows[ordinal]):
            first -= 1
        return ordinal - first


@dataclass(frozen=True, slots=True)
class Draft:
    """A finding whose examples are still to be read; of a check named ``name``."""

    name: str
    severity: Severity
    message: str
    ordinals: Sequence[int] = ()
    """Records affected, in order."""
    bad: Sequence[BadRow] = ()
    """Rows affected that gave no record."""
    total: int = 0
    """What ``share`` is a share of."""
    cases: Sequence[Case] = ()
    tell: Callable[[Sequence[Seen]], Example] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


class Part(Protocol):
    """One or several checks that look at the same things."""

    def add(self, seen: Seen) -> None:
        """Look at the next record."""

    def drafts(self, places: Places) -> Iterable[Draft]:
        """What was found, after the last record."""

    def statistics(self) -> Mapping[str, Any]:
        """What a page shows beside the findings: plain JSON values, names as in docs/checks.md."""


class Hit(NamedTuple):
    """One fault in one text of a record."""

    side: str
    """``prompt``, the side of an answer, or ``pair`` where both are needed to see it."""
    what: str
    start: int = 0
    """Where it is in the text."""
    is_grave: bool = False
    """Whether it should be among the examples before others."""


@dataclass(slots=True)
class Tally:
    """How often a fault was found: records by side, and by side and what it is."""

    records: int = 0
    total: int = 0
    totals: Counter[str] = field(default_factory=Counter)
    """All records that have this side."""
    sides: Counter[str] = field(default_factory=Counter)
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def noun(self) -> str:
        """What the records are called."""
        if not self.totals["desirable"] + self.totals["undesirable"]:
            return "pair"
        return "record" if self.totals["chosen"] else "answer"

    @property
    def found(self) -> str:
        """``12 pairs``: the records with this fault."""
        return plural(self.records, self.noun)

    def by_side(self) -> str:
        """``12 chosen, 3 rejected``."""
        return ", ".join(f"{count} {side}" for side, count in sorted(self.sides.items()))

    def to_json(self) -> dict[str, Any]:
        """``{"chosen": 12, ..., "kinds": {"chosen": {"U+FFFD": 3}}}``."""
        kinds: dict[str, dict[str, int]] = {}
        for (side, what), count in sorted(self.kinds.items()):
            kinds.setdefault(side, {})[what] = count
        return {**dict(sorted(self.sides.items())), "kinds": kinds}


Conclude = Callable[[Tally], tuple[Severity, str] | None]


class RowCheck:
    """A check of each record by itself: ``find`` is pure, ``conclude`` says what the counts mean."""

    def __init__(
        self,
        name: str,
        find: Callable[[Seen], Iterable[Hit]],
        conclude: Conclude,
        tell: Callable[[Seen, Sequence[Hit]], Example] | None = None,
        *,
        pairs_only: bool = False,
    ) -> None:
        self.name, self._find, self._conclude, self._pairs_only = name, find, conclude, pairs_only
        self._tell = tell or tell_hits
        self._tally = Tally()
        self._ordinals = array("I")
        self._grave: list[int] = []

    def add(self, seen: Seen) -> None:
        """Look at the next record."""
        if self._pairs_only and not seen.is_pair:
            return
        tally = self._tally
        tally.total += 1
        for answer in seen.answers:
            tally.totals[answer.side] += 1
        hits = list(self._find(seen))
        if not hits:
            return
        self._ordinals.append(seen.ordinal)
        if len(self._grave) < MOST_EXAMPLES and any(hit.is_grave for hit in hits):
            self._grave.append(seen.ordinal)
        tally.records += 1
        tally.sides.update({hit.side for hit in hits})
        tally.kinds.update({(hit.side, hit.what) for hit in hits})

    def drafts(self, places: Places) -> Iterable[Draft]:
        """The finding, where there is one."""
        concluded = self._conclude(self._tally) if self._tally.records else None
        if concluded is None:
            return
        severity, message = concluded
        yield Draft(
            self.name,
            severity,
            message,
            self._ordinals,
            total=self._tally.total,
            cases=places.shown([*self._grave, *self._ordinals[:MANY]]),
            tell=lambda records: self._tell(records[0], list(self._find(records[0]))),
            details=self._tally.to_json(),
        )

    def statistics(self) -> Mapping[str, Any]:
        """Counts by side."""
        return {"sides": {self.name: dict(sorted(self._tally.sides.items()))}}


def tell_hits(seen: Seen, hits: Sequence[Hit]) -> Example:
    """What was found, side by side with an excerpt from where it is."""
    texts = {"prompt": seen.prompt, **{answer.side: answer.text for answer in seen.answers}}
    lines = [f"{hit.side} ({hit.what}): {excerpt(texts.get(hit.side, ''), hit.start)}" for hit in hits[:2]]
    return Example((seen.record.origin,), "\n".join(lines))


def tell_answers(seen: Seen) -> Example:
    """The start of each answer."""
    lines = [f"{answer.side}: {excerpt(answer.text)}" for answer in seen.answers]
    return Example((seen.record.origin,), "\n".join(lines))


def plural(count: int, word: str, many: str = "") -> str:
    """``1 pair``, ``2 pairs``."""
    return f"{count:,} {word if count == 1 else many or f'{word}s'}"


def percent(part: float, whole: float = 1.0) -> str:
    """A share in two digits: ``12 %``, ``1.2 %``, ``0.03 %``."""
    share = 100 * part / whole if whole else 0.0
    return f"{share:.0f} %" if share >= 10 or share == 0 else f"{share:.2g} %"
