"""What the votes of annotators say about the labels: findings for the report, and the statistics behind them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ...intervals import wilson_interval
from ..checks.catalog import CHECKS
from ..checks.findings import Finding, Severity
from ..records import CHOICES, Ballot
from .quality import AnnotatorQuality, leave_one_out
from .reliability import Estimate, fleiss, krippendorff, pairwise, raw_agreement, unanimous
from .tally import Orders, Tally, VoteTable, Wins

GOOD, TENTATIVE, POOR = 0.8, 0.667, 0.4
"""Krippendorff's own marks for alpha: reliable from 0.8, tentative conclusions from 0.667; below 0.4 labels are near
chance."""
BIAS = 0.05
"""How far from one half the share of wins of the answer shown first may be, if the interval excludes one half."""
FLIPS = 0.2
"""Share of winners that may change with the order of display."""
SHOWN_ANNOTATORS = 20
"""Annotators, those with the most votes, that are compared pair by pair."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Findings about the annotators, and plain JSON statistics (docs/annotators.md lists them)."""

    findings: tuple[Finding, ...]
    statistics: Mapping[str, Any]


def agreement(votes: Tally | Iterable[Iterable[Ballot]]) -> Agreement | None:
    """What the ballots on each item say about those who gave them. None where there are no votes."""
    tally = votes if isinstance(votes, Tally) else _tallied(votes)
    if not tally.votes:
        return None
    table, orders = tally.table(), tally.orders
    alpha = krippendorff(table.counts, "nominal")
    quality = leave_one_out(table)
    statistics = _statistics(table, alpha, quality, orders)
    found = (_disagreement(alpha, statistics), _unreliable(quality), _position(orders))
    return Agreement(tuple(finding for finding in found if finding), statistics)


def _tallied(votes: Iterable[Iterable[Ballot]]) -> Tally:
    tally = Tally()
    for ballots in votes:
        tally.add(ballots)
    return tally


def _statistics(
    table: VoteTable, alpha: Estimate | None, quality: tuple[AnnotatorQuality, ...], orders: Orders
) -> dict[str, Any]:
    counts, ordinal = table.counts, krippendorff(table.counts, "ordinal")
    return {
        "items": table.items,
        "votes": len(table.item),
        "annotators": len(table.annotators),
        "items_with_several_votes": int((counts.sum(1) >= 2).sum()),
        "choices": dict(zip(CHOICES, (int(n) for n in counts.sum(0)), strict=True)),
        "raw": raw_agreement(counts),
        "unanimous": unanimous(counts),
        "fleiss": fleiss(counts),
        "alpha_nominal": asdict(alpha) if alpha else None,
        "alpha_ordinal": asdict(ordinal) if ordinal else None,
        "cohen": [asdict(pair) for pair in pairwise(table, SHOWN_ANNOTATORS)],
        "quality": [asdict(one) | {"is_below": one.is_below(len(quality))} for one in quality],
        "position": {
            "listed_first": _share_of(orders.listed),
            "shown_first": _share_of(orders.shown),
            "judged_in_both_orders": orders.judged_twice,
            "flipped": orders.flipped,
        },
    }


def _share_of(wins: Wins) -> dict[str, float] | None:
    """Share of decisive votes, with its 95 % interval; None where there are none.

    Votes on one item go together, so the interval counts items, not votes.
    """
    if not wins.items:
        return None
    votes = wins.first + wins.second
    share = wins.first / votes
    low, high = wilson_interval(share, wins.items)
    return {"votes": votes, "items": wins.items, "share": share, "low": low, "high": high}


def _disagreement(alpha: Estimate | None, statistics: Mapping[str, Any]) -> Finding | None:
    if alpha is None or alpha.value >= GOOD:
        return None
    severity: Severity = "warning" if alpha.value < TENTATIVE else "info"
    how = "near chance" if alpha.value < POOR else "low" if alpha.value < TENTATIVE else "tentative"
    message = (
        f"agreement is {how}: Krippendorff's alpha {alpha.value:.3f} (95 % {alpha.low:.3f} to {alpha.high:.3f}), "
        f"raw agreement {statistics['raw']:.1%} on {statistics['items_with_several_votes']:,} items"
    )
    return _finding("annotator_agreement", severity, message, {"alpha": asdict(alpha), "raw": statistics["raw"]})


def _unreliable(quality: tuple[AnnotatorQuality, ...]) -> Finding | None:
    below = sorted((one for one in quality if one.is_below(len(quality))), key=lambda one: one.agreement or 0)
    if not below:
        return None
    shown = ", ".join(f"{one.annotator} {one.agreement:.0%} of {one.compared} votes" for one in below[:5])
    more = f" and {len(below) - 5} more" if len(below) > 5 else ""
    message = (
        f"{len(below)} of {len(quality)} annotators agree with the others less than these do among themselves: "
        f"{shown}{more}; the others {below[0].others:.0%}"
    )
    return _finding("annotator_quality", "warning", message, {"annotators": [asdict(one) for one in below]})


def _position(orders: Orders) -> Finding | None:
    """A preference for a place; where the order of display is not known, only a hint."""
    known = orders.shown.items > 0
    place = _share_of(orders.shown if known else orders.listed)
    flips = orders.flipped / orders.judged_twice if orders.judged_twice else 0.0
    tilted = place is not None and abs(place["share"] - 0.5) > BIAS and not place["low"] <= 0.5 <= place["high"]
    if place is None or not (tilted or flips > FLIPS):
        return None
    where = "shown" if known else "listed"
    interval = f"(95 % {place['low']:.1%} to {place['high']:.1%})"
    message = f"the answer {where} first wins {place['share']:.1%} of {place['votes']:,} decisive votes {interval}"
    if orders.judged_twice:
        message += f"; {orders.flipped} of {orders.judged_twice} winners change with the order"
    if not known:
        message += "; the data do not say in which order the answers were shown, so this may be their quality"
    details = {"place": place, "order_known": known, "judged_twice": orders.judged_twice, "flipped": orders.flipped}
    return _finding("position_bias", "warning" if known else "info", message, details)


def _finding(name: str, severity: Severity, message: str, details: dict[str, Any]) -> Finding:
    check = CHECKS[name]
    return Finding(check.code, name, severity, (), 0, 0.0, message, check.effect, check.advice, details=details)
