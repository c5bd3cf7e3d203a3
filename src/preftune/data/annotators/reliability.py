"""How far annotators agree: raw agreement, Cohen's and Fleiss' kappa, Krippendorff's alpha with an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..records import CHOICES
from .tally import Floats, Ints, VoteTable

Scale = Literal["nominal", "ordinal"]

RESAMPLES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """Two annotators on the items that both have judged."""

    annotators: tuple[str, str]
    items: int
    raw: float
    kappa: float | None
    """Cohen's kappa; None where both always say the same one thing."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def raw_agreement(counts: Ints) -> float | None:
    """Share of equal votes among all pairs of votes on one item, each item counting once; [items, 3] votes.

    None where no item has two votes.
    """
    agreeing = _item_agreement(counts)
    return float(agreeing.mean()) if len(agreeing) else None


def unanimous(counts: Ints) -> float | None:
    """Share of the items with two or more votes on which all say the same."""
    judged = counts[counts.sum(1) >= 2]
    return float((judged.max(1) == judged.sum(1)).mean()) if len(judged) else None


def cohen(one: Ints, other: Ints) -> float | None:
    """Cohen's kappa of two annotators' choices on the same items (Cohen 1960), [items] each; None where undefined."""
    size = len(CHOICES)
    together = np.bincount(one * size + other, minlength=size * size).reshape(size, size) / len(one)
    expected = float(together.sum(0) @ together.sum(1))
    return (float(np.trace(together)) - expected) / (1 - expected) if expected < 1 else None


def pairwise(table: VoteTable, most: int) -> tuple[PairAgreement, ...]:
    """Every two of the ``most`` annotators with the most votes, where they share an item."""
    busiest = np.argsort(-np.bincount(table.who, minlength=len(table.annotators)), kind="stable")[:most]
    choices = {}
    for who in sorted(busiest):
        own = table.who == who
        choices[who] = np.full(table.items, -1, dtype=np.int8)
        choices[who][table.item[own]] = table.choice[own]
    found = []
    for place, (one, of_one) in enumerate(choices.items()):
        for other, of_other in list(choices.items())[place + 1 :]:
            both = (of_one >= 0) & (of_other >= 0)
            if both.any():
                left, right = of_one[both].astype(np.int64), of_other[both].astype(np.int64)
                names = table.annotators[one], table.annotators[other]
                found.append(PairAgreement(names, int(both.sum()), float((left == right).mean()), cohen(left, right)))
    return tuple(found)


def fleiss(counts: Ints) -> float | None:
    """Fleiss' kappa (Fleiss 1971) of [items, 3] votes.

    None where items differ in their number of votes, or all votes are equal.
    """
    raters = set(counts.sum(1).tolist())
    if len(raters) != 1 or raters == {1}:
        return None
    shares = counts.sum(0) / counts.sum()
    expected = float(shares @ shares)
    return (float(_item_agreement(counts).mean()) - expected) / (1 - expected) if expected < 1 else None


def krippendorff(counts: Ints, scale: Scale) -> Estimate | None:
    """Krippendorff's alpha of [items, 3] votes (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability").

    Votes may be missing; items with one vote do not count. The interval is the percentile bootstrap over items,
    with a fixed seed. None where no item has two votes, or all votes are equal.
    """
    judged = counts[counts.sum(1) >= 2]
    if not len(judged):
        return None
    # Items with the same votes are alike, so drawing items is drawing from these few patterns.
    patterns, times = np.unique(judged, axis=0, return_counts=True)
    coincidences = _coincidences(patterns)
    value = _alpha(times[None].astype(float), coincidences, scale)[0]
    if np.isnan(value):
        return None
    drawn = np.random.default_rng(0).multinomial(times.sum(), times / times.sum(), size=RESAMPLES)
    alphas = _alpha(drawn.astype(float), coincidences, scale)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(alphas, [tail, 1 - tail])
    return Estimate(float(value), float(low), float(high))


def _item_agreement(counts: Ints) -> Floats:
    """Share of equal pairs of votes, for each item with two or more."""
    votes = counts.sum(1)
    judged, size = counts[votes >= 2], votes[votes >= 2]
    return np.asarray((judged * (judged - 1)).sum(1) / (size * (size - 1)), dtype=np.float64)


def _coincidences(patterns: Ints) -> Floats:
    """What one item of each pattern adds to the coincidence matrix, [patterns, 3, 3]."""
    same = np.eye(patterns.shape[1]) * patterns[:, :, None]
    together = patterns[:, :, None] * patterns[:, None, :] - same
    return np.asarray(together / (patterns.sum(1) - 1)[:, None, None], dtype=np.float64)


def _alpha(times: Floats, coincidences: Floats, scale: Scale) -> Floats:
    """Alpha for each row of ``times`` ([resamples, patterns]: how often each pattern occurs); NaN where undefined."""
    observed = np.einsum("rp,pck->rck", times, coincidences)
    totals = observed.sum(2)
    distance = _distances(totals, scale)
    votes = totals.sum(1)
    disagreement = (observed * distance).sum((1, 2))
    expected = np.einsum("rc,rk,rck->r", totals, totals, distance)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1 - (votes - 1) * disagreement / expected, dtype=np.float64)


def _distances(totals: Floats, scale: Scale) -> Floats:
    """Squared distance between choices, [resamples, 3, 3]; the ordinal one counts the votes that lie between."""
    size = totals.shape[1]
    if scale == "nominal":
        return np.broadcast_to(1.0 - np.eye(size), (len(totals), size, size))
    upto = totals.cumsum(1)
    # The votes from one choice to another, both ends counted half, are the difference of these mid-ranks.
    middle = upto - totals / 2
    return np.asarray((middle[:, :, None] - middle[:, None, :]) ** 2, dtype=np.float64)
