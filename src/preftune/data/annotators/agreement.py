"""What the votes of annotators say about the labels, in one place: agreement, each annotator, the order of display."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from ...intervals import wilson_interval
from ..records import CHOICES, Ballot
from .quality import AnnotatorQuality, leave_one_out
from .reliability import Estimate, PairAgreement, fleiss, krippendorff, pairwise, raw_agreement, unanimous
from .tally import Orders, Tally, Wins

SHOWN_ANNOTATORS = 20
"""Annotators, those with the most votes, that are compared pair by pair."""


@dataclass(frozen=True, slots=True)
class WinRate:
    """Share of the decisive votes that the answer in first place gets, with its 95 % interval.

    Votes on one item go together, so the interval counts items, not votes.
    """

    share: float
    low: float
    high: float
    votes: int
    items: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """The figures of docs/annotators.md; None where the votes do not give one."""

    items: int
    votes: int
    items_with_several_votes: int
    choices: dict[str, int]
    raw: float | None
    unanimous: float | None
    fleiss: float | None
    alpha_nominal: Estimate | None
    alpha_ordinal: Estimate | None
    cohen: tuple[PairAgreement, ...]
    quality: tuple[AnnotatorQuality, ...]
    listed_first: WinRate | None
    shown_first: WinRate | None
    """As ``listed_first``, of the votes that tell the order of display."""
    judged_in_both_orders: int
    flipped: int
    """Winners that changed with the order, of those ``judged_in_both_orders``."""

    @property
    def below(self) -> tuple[AnnotatorQuality, ...]:
        """Annotators who agree less than the others, the least reliable first."""
        below = [one for one in self.quality if one.is_below(len(self.quality))]
        return tuple(sorted(below, key=lambda one: one.agreement or 0.0))

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the statistics of a check."""
        below = {one.annotator for one in self.below}
        quality = [asdict(one) | {"is_below": one.annotator in below} for one in self.quality]
        return asdict(self) | {"annotators": len(self.quality), "quality": quality}


def agreement(votes: Tally | Iterable[Iterable[Ballot]]) -> Agreement | None:
    """What the ballots on each item say about those who gave them. None where there are no votes."""
    tally = votes if isinstance(votes, Tally) else _tallied(votes)
    if not tally.votes:
        return None
    table, orders = tally.table(), tally.orders
    counts = table.counts
    return Agreement(
        items=table.items,
        votes=len(table.item),
        items_with_several_votes=int((counts.sum(1) >= 2).sum()),
        choices=dict(zip(CHOICES, (int(n) for n in counts.sum(0)), strict=True)),
        raw=raw_agreement(counts),
        unanimous=unanimous(counts),
        fleiss=fleiss(counts),
        alpha_nominal=krippendorff(counts, "nominal"),
        alpha_ordinal=krippendorff(counts, "ordinal"),
        cohen=pairwise(table, SHOWN_ANNOTATORS),
        quality=leave_one_out(table),
        **_places(orders),
    )


def _tallied(votes: Iterable[Iterable[Ballot]]) -> Tally:
    tally = Tally()
    for ballots in votes:
        tally.add(ballots)
    return tally


def _places(orders: Orders) -> dict[str, Any]:
    return {
        "listed_first": _win_rate(orders.listed),
        "shown_first": _win_rate(orders.shown),
        "judged_in_both_orders": orders.judged_twice,
        "flipped": orders.flipped,
    }


def _win_rate(wins: Wins) -> WinRate | None:
    if not wins.items:
        return None
    votes = wins.first + wins.second
    share = wins.first / votes
    return WinRate(share, *wilson_interval(share, wins.items), votes, wins.items)
