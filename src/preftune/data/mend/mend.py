"""A cleaned set out of checked data: what is asked for and nothing else, with an account of every entry.

Two passes: the first decides, holding a few bytes of each entry; the second gives rows and changes one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import DataError
from ..annotators import winners
from ..checks.catalog import CHECKS, Check
from ..checks.findings import CheckReport
from ..checks.options import CheckOptions
from ..derive import majority
from ..records import Choice, Origin, VotedPair
from ..sources import SourceList
from .choosing import BALANCE, KEPT, RESAMPLE, Choosing
from .entries import Decide, entries, voted_pairs
from .rows import row_of


@dataclass(frozen=True, slots=True)
class Asked:
    """What to mend."""

    drop: tuple[Check, ...] = ()
    """Rows that these checks name."""
    balance_length: bool = False
    resample_categories: bool = False
    """Towards ``CheckOptions.category_target``."""
    aggregate: str = "majority"
    """How votes decide pairs: ``majority`` or ``dawid_skene``."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the account: an entry that was dropped, or that is not as its row was written."""

    origin: Origin
    why: str
    """What it was dropped for: the name of a check, ``balance length`` or ``resample categories``; empty: changed."""
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Plain values: a line of ``OUT.changes.jsonl``."""
        named = {"code": CHECKS[self.why].code, "name": self.why} if self.why in CHECKS else {}
        action = "dropped" if self.why else "changed"
        return {"file": self.origin.file, "row": self.origin.row, "action": action, **named, "reason": self.reason}


@dataclass(frozen=True)
class Mended:
    """The decisions; ``output`` gives what to write."""

    source: SourceList
    options: CheckOptions
    decide: Decide
    decisions: Sequence[int]
    """For each entry a place in ``reasons``."""
    reasons: Sequence[str]
    """What an entry is dropped for; the first stands for those that are kept."""
    kinds: frozenset[str]
    """``text`` or ``chat``, of the records that are kept; both where they are mixed."""

    @property
    def read(self) -> int:
        """All entries."""
        return len(self.decisions)

    @property
    def dropped(self) -> Mapping[str, int]:
        """Entries that are dropped, by what for, the most frequent first."""
        counts = Counter(self.decisions)
        return {self.reasons[number]: count for number, count in counts.most_common() if number != KEPT}

    @property
    def kept(self) -> int:
        """Records that stay."""
        return sum(decision == KEPT for decision in self.decisions)

    def output(self) -> Iterator[tuple[dict[str, Any] | None, tuple[Change, ...]]]:
        """For each entry its row (None: dropped) and what there is to say about it."""
        for entry, decision in zip(entries(self.source, self.options, self.decide), self.decisions, strict=True):
            if decision == KEPT and entry.record is not None:
                row = row_of(entry.record, entry.category)
                yield row, tuple(Change(origin, "", what) for origin in entry.origins for what in entry.changes)
            else:
                why = self.reasons[decision]
                yield None, tuple(Change(origin, why, entry.reason or _say(why)) for origin in entry.origins)


def mend(source: SourceList, options: CheckOptions, report: CheckReport, asked: Asked) -> Mended:
    """Decide about every entry. ``report`` is that of a check with ``options.flags``.

    Raises DataError where something that is asked for cannot be done, where entries would be lost that nobody asked
    to drop, or where nothing would be left.
    """
    refuse_unanswerable(report, asked)
    decide = _decider(source, options, asked.aggregate)
    choosing = Choosing(report, asked.drop, asked.seed)
    for entry in entries(source, options, decide):
        choosing.add(entry)
    choosing.refuse_losses()
    if asked.balance_length:
        choosing.balance_length()
    if asked.resample_categories:
        choosing.resample_categories(options.category_target)
    mended = Mended(source, options, decide, choosing.decisions, choosing.reasons, frozenset(choosing.kinds))
    if not mended.kept:
        raise DataError(f"--fix: nothing would be left of {mended.read:,} entries: ask for less")
    return mended


def refuse_unanswerable(report: CheckReport, asked: Asked) -> None:
    """Raises DataError where a finding has no rows to drop, was not looked for, or two requests exclude each other."""
    instead = {"length_bias": "use --balance length", "category_balance": "use --resample categories"}
    for check in asked.drop:
        if check.scope == "set":
            advice = instead.get(check.name, "it names no rows that could be dropped")
            raise DataError(f"--drop: {check.code} ({check.name}) is about the whole set: {advice}")
        if check.name in report.not_run and check.name != "encoding":  # of that, only a part was not looked for
            raise DataError(f"--drop: {check.code} ({check.name}) was not checked: {report.not_run[check.name]}")
    if asked.balance_length and asked.resample_categories:
        raise DataError(
            "--balance and --resample undo each other's work: use one, and then the other on the file that it wrote"
        )


def _decider(source: SourceList, options: CheckOptions, method: str) -> Decide:
    if method == "majority":
        return lambda _, voted: majority(ballot.choice for ballot in voted.ballots)
    found = winners((voted.ballots for voted in voted_pairs(source, options)), method)

    def decide(place: int, _: VotedPair) -> tuple[Choice, float]:
        return found[place]

    return decide


def _say(why: str) -> str:
    if why == BALANCE:
        return "of pairs of this length ratio, more have the longer answer on the same side than on the other"
    if why == RESAMPLE:
        return "its category is more frequent than its target, or has no target"
    return CHECKS[why].finds
