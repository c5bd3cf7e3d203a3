"""P027, P033, P034: annotators who disagree, annotators whom the others do not follow, and a liking for a place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from ..annotators.agreement import Agreement, agreement
from ..annotators.tally import Tally as VoteTally
from ..records import Ballot
from .findings import Severity
from .parts import Draft, Places, percent
from .seen import Seen

GOOD, TENTATIVE, POOR = 0.8, 0.667, 0.4
"""Krippendorff's own marks for alpha: reliable from 0.8, tentative conclusions from 0.667; below 0.4 labels are near
chance."""
BIAS = 0.05
"""How far from one half the share of wins of the answer in first place may be, if the interval excludes one half."""
FLIPS = 0.2
"""Share of winners that may change with the order of display."""
_NAMED = 5


class Votes:
    """A part that looks at the ballots of rows (``add_ballots``), also of those that give no record."""

    def __init__(self) -> None:
        self._tally = VoteTally()
        self._found: Agreement | None = None

    def add(self, seen: Seen) -> None:
        """Nothing: what annotators said is decided by then."""

    def add_ballots(self, ballots: Iterable[Ballot]) -> None:
        """The votes on the next item."""
        self._tally.add(ballots)

    def drafts(self, places: Places) -> Iterator[Draft]:  # noqa: ARG002 - the shape of a part
        """What is wrong with the votes."""
        if found := self._agreement():
            yield from vote_drafts(found)

    def statistics(self) -> Mapping[str, Any]:
        """Every figure of docs/annotators.md."""
        found = self._agreement()
        return {"agreement": found.to_json()} if found else {}

    def _agreement(self) -> Agreement | None:
        if self._found is None:
            self._found = agreement(self._tally)
        return self._found


def vote_drafts(found: Agreement) -> Iterator[Draft]:
    """The findings about annotators."""
    yield from _disagreement(found)
    yield from _unreliable(found)
    yield from _position(found)


def _disagreement(found: Agreement) -> Iterator[Draft]:
    alpha = found.alpha_nominal
    if alpha is None or alpha.value >= GOOD:
        return
    severity: Severity = "warning" if alpha.value < TENTATIVE else "info"
    how = "near chance" if alpha.value < POOR else "low" if alpha.value < TENTATIVE else "tentative"
    message = (
        f"agreement is {how}: Krippendorff's alpha {alpha.value:.3f} (95 % interval {alpha.low:.3f} to "
        f"{alpha.high:.3f}), raw agreement {percent(found.raw or 0.0)} on {found.items_with_several_votes:,} items"
    )
    yield Draft("annotator_agreement", severity, message, details={"alpha": asdict(alpha), "raw": found.raw})


def _unreliable(found: Agreement) -> Iterator[Draft]:
    below = found.below
    if not below:
        return
    named = ", ".join(
        f"{one.annotator} {percent(one.agreement or 0.0)} of {one.compared:,} votes" for one in below[:_NAMED]
    )
    more = f" and {len(below) - _NAMED:,} more" if len(below) > _NAMED else ""
    message = (
        f"{len(below)} of {len(found.quality)} annotators agree with the majority less than the others do "
        f"({percent(below[0].others or 0.0)}): {named}{more}"
    )
    yield Draft("annotator_quality", "warning", message, details={"annotators": [asdict(one) for one in below]})


def _position(found: Agreement) -> Iterator[Draft]:
    """A preference for a place; where the order of display is not known, only a hint."""
    known = found.shown_first is not None
    rate = found.shown_first or found.listed_first
    flips = found.flipped / found.judged_in_both_orders if found.judged_in_both_orders else 0.0
    tilted = rate is not None and abs(rate.share - 0.5) > BIAS and not rate.low <= 0.5 <= rate.high
    if rate is None or not (tilted or flips > FLIPS):
        return
    where = "shown" if known else "listed"
    message = (
        f"the answer {where} first wins {percent(rate.share)} of {rate.votes:,} decisive votes "
        f"(95 % interval {percent(rate.low)} to {percent(rate.high)})"
    )
    if found.judged_in_both_orders:
        message += f"; {found.flipped:,} of {found.judged_in_both_orders:,} winners change with the order"
    if not known:
        message += "; the data do not say in which order the answers were shown, so this may be their quality"
    details = {
        "place": asdict(rate),
        "order_known": known,
        "judged_in_both_orders": found.judged_in_both_orders,
        "flipped": found.flipped,
    }
    yield Draft("position_bias", "warning" if known else "info", message, details=details)
