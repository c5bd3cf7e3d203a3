"""Everything that the rows of a source hold, one entry each: records, comparisons without a winner, rows beyond use.

What is read is the number of entries; what is kept and what is dropped add up to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from ..checks.options import CheckOptions
from ..checks.stream import Given, RowStream
from ..derive import decided_pair, majority, say_votes
from ..formats import View, pairs_view
from ..formats.views import Made
from ..records import BinaryFeedback, Choice, Origin, PreferencePair, VotedPair
from ..sources import SourceList

Decide = Callable[[int, VotedPair], tuple[Choice, float]]
"""The winner of a voted pair (the first argument counts these, from 0), and how sure it is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. ``record`` is None for a tie and for a row that cannot be used; ``reason`` then says why."""

    origins: tuple[Origin, ...]
    """The row, and with it those that were gathered into it (votes on one item)."""
    kind: Literal["record", "tie", "unusable"]
    record: PreferencePair | BinaryFeedback | None = None
    check_id: str = ""
    """Id under which the check knew the record."""
    category: str | None = None
    reason: str = ""
    changes: tuple[str, ...] = ()
    """What of the row is not as it was written."""

    @property
    def origin(self) -> Origin:
        """The first of the rows, under which the check knows the entry."""
        return self.origins[0]


def entries(source: SourceList, options: CheckOptions, decide: Decide) -> Iterator[Entry]:
    """All entries, in the same order each time."""
    voted = 0
    stream = RowStream(source, options, view=_view(options.rankings))
    for given in stream.first_pass():
        if given.bad is not None:
            yield from (
                Entry((origin,), "unusable", reason=given.bad.reason) for origin in (given.origin, *given.others)
            )
            continue
        for record in given.records:
            if isinstance(record, VotedPair):
                yield _voted(given, record, *decide(voted, record))
                voted += 1
            else:
                joined = ("neighbouring turns of one role were joined",) if given.joined_roles else ()
                yield Entry((given.origin,), "record", record, record.id, given.category, changes=joined)
        why = given.nothing or "two answers without a winner"
        yield from (Entry((given.origin, *given.others), "tie", reason=why) for _ in range(given.ties))


def voted_pairs(source: SourceList, options: CheckOptions) -> Iterator[VotedPair]:
    """The voted pairs alone, in the order in which ``entries`` counts them."""
    for given in RowStream(source, options, view=_view(options.rankings)).first_pass():
        yield from (record for record in given.records if isinstance(record, VotedPair))


def _view(rankings: str) -> View[PreferencePair | BinaryFeedback | VotedPair]:
    """As the checks see rows, but votes are still to be decided."""
    pairs = pairs_view(rankings)
    as_it_is = {BinaryFeedback: lambda record: Made((record,)), VotedPair: lambda record: Made((record,))}
    return View(pairs.wants, {**pairs.takes, **as_it_is}, pairs.columns, pairs.partners, pairs.otherwise)


def _voted(given: Given, voted: VotedPair, winner: Choice, certainty: float) -> Entry:
    origins, votes = (given.origin, *given.others), say_votes(voted.ballots)
    pair = decided_pair(voted, winner, certainty)
    if pair is None:
        return Entry(origins, "tie", reason=f"the votes are tied ({votes})")
    known = decided_pair(voted, *majority(ballot.choice for ballot in voted.ballots))
    change = f"votes ({votes}) became a pair of weight {pair.weight:.3g}"
    return Entry(origins, "record", pair, known.id if known else "", given.category, changes=(change,))
