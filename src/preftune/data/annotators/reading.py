"""Votes out of whatever a user names, also those on rows whose texts cannot be trained on."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import DataError
from ..formats import pairs_view
from ..formats.base import RowFault
from ..formats.votes import ballots_of
from ..gather import gathered
from ..records import BadRow, Ballot
from ..report import list_bad_rows
from ..sources import SourceList, resolve


@dataclass(frozen=True, slots=True)
class VotesRead:
    """The ballots on each item, and every row that gave none, with its reason."""

    items: tuple[tuple[Ballot, ...], ...]
    bad_rows: tuple[BadRow, ...]


def read_votes(source: SourceList) -> VotesRead:
    """The votes of a file, folder, glob, or a list of these. Raises DataError where there are none."""
    items: list[tuple[Ballot, ...]] = []
    bad: list[BadRow] = []
    files, _ = resolve(source, pairs_view())
    for file in files:
        for row in gathered(file.read()):
            if isinstance(row, BadRow):
                bad.append(row)
                continue
            try:
                ballots = ballots_of(row.values)
            except RowFault as fault:
                bad.append(BadRow(row.origin, fault.reason, fault.kind))
                continue
            if ballots:
                items.append(ballots)
            else:
                bad.append(
                    BadRow(row.origin, "no votes (such as 'annotator1'): add them or remove the row", "no votes")
                )
    if not items:
        raise DataError(f"no row holds a vote:\n{list_bad_rows(bad)}")
    return VotesRead(tuple(items), tuple(bad))
