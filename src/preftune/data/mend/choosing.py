"""The first pass over the entries: a decision about each, and what balancing needs of those that stay so far."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from math import log

from ...errors import DataError
from ..checks.catalog import Check
from ..checks.findings import CheckReport
from ..checks.seen import text_of_turns
from ..ordering import shuffle_key
from ..records import Origin, PreferencePair
from .balance import balanced_by_length, resampled
from .entries import Entry

BALANCE, RESAMPLE = "balance length", "resample categories"
KEPT = 0


class Choosing:
    """Fed every entry; ``decisions`` are places in ``reasons``."""

    def __init__(self, report: CheckReport, drop: Sequence[Check], seed: int) -> None:
        self._findings, self._flags, self._drop, self._seed = report.findings, report.flags, drop, seed
        found = {finding.name: frozenset(finding.rows) for finding in report.findings}
        self._rows = {check.name: found.get(check.name, frozenset()) for check in drop}
        self.reasons = ["", *(check.name for check in drop), BALANCE, RESAMPLE]
        self._numbers = {why: number for number, why in enumerate(self.reasons)}
        self.decisions = array("B")
        self.kinds: set[str] = set()
        self._unasked: Counter[str] = Counter()
        self._unasked_rows: set[Origin] = set()
        self._places, self._log_ratios = array("Q"), array("d")
        self._categories: list[str | None] = []
        self._keys: list[bytes] = []

    def add(self, entry: Entry) -> None:
        """Decide about the next entry."""
        why = self._why_dropped(entry)
        self.decisions.append(self._numbers[why] if why else KEPT)
        if why:
            return
        if entry.record is None:
            self._unasked["ties" if entry.kind == "tie" else "rows that cannot be used"] += 1
            self._unasked_rows.add(entry.origin)
            return
        self.kinds.add(entry.record.kind)
        self._places.append(len(self.decisions) - 1)
        self._categories.append(entry.category or entry.record.category)
        self._log_ratios.append(_log_ratio(entry.record) if isinstance(entry.record, PreferencePair) else 0.0)
        self._keys.append(shuffle_key(self._seed, f"{entry.record.id} {entry.origin.row}"))

    def _why_dropped(self, entry: Entry) -> str | None:
        if entry.kind == "tie":
            return "tie" if "tie" in self._rows else None
        codes = self._flags.get(entry.check_id, ())
        for check in self._drop:
            # Equal records share their codes; of these only the rows are meant that the finding names (later copies).
            if entry.origin in self._rows[check.name] and (entry.kind == "unusable" or check.code in codes):
                return check.name
        return None

    def refuse_losses(self) -> None:
        """Raises DataError where entries that cannot be written are not among those to drop."""
        if not self._unasked:
            return
        lost = " and ".join(f"{count:,} {what}" for what, count in self._unasked.items())
        codes = {one.code for one in self._findings if not self._unasked_rows.isdisjoint(one.rows)}
        codes |= {check.code for check in self._drop}
        raise DataError(
            f"--fix: {lost} would be lost unasked: name their checks too (--drop {','.join(sorted(codes))})"
        )

    def balance_length(self) -> None:
        """Drop pairs until, at every length ratio, the longer answer is chosen in half of the pairs."""
        self._keep_only(balanced_by_length(self._log_ratios, self._keys), BALANCE)

    def resample_categories(self, target: Mapping[str, float]) -> None:
        """Drop records until the categories have their target shares. Raises DataError."""
        self._keep_only(resampled(self._categories, target, self._keys), RESAMPLE)

    def _keep_only(self, kept: set[int], why: str) -> None:
        for number, place in enumerate(self._places):
            if number not in kept:
                self.decisions[place] = self._numbers[why]


def _log_ratio(pair: PreferencePair) -> float:
    """log(chosen length / rejected length), in characters."""
    chosen, rejected = (len(text_of_turns(turns)) for turns in pair.completions)
    return log(chosen / rejected)
