"""How reliable each annotator is: agreement with the others, and Dawid and Skene's error rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ...intervals import wilson_interval
from ..records import CHOICES
from .tally import Floats, VoteTable

BELOW = 0.05
"""How far an annotator's agreement must be below that of the others to be worth a word, beside being no chance."""

_FALSE_ALARMS = 0.025  # chance that any of the annotators is named although all are alike

_MOST_ROUNDS = 200
_SMALL_CHANGE = 1e-7  # nats per vote
_PRIOR = 0.01  # votes added to each cell of a confusion matrix, so that no probability is 0


@dataclass(frozen=True, slots=True)
class AnnotatorQuality:
    """One annotator against the majority of the others, item by item."""

    annotator: str
    votes: int
    compared: int
    """Votes on items where the others have a majority."""
    agreement: float | None
    """Share of these that agree with it; None where there are none."""
    low: float | None
    high: float | None
    others: float | None
    """The same share for all other annotators together."""
    choices: tuple[float, ...]
    """Share of this annotator's votes for the first answer, a tie, and the second."""

    def is_below(self, annotators: int) -> bool:
        """Whether the agreement is below that of the others by ``BELOW``, and by more than chance explains.

        The more annotators, the more standard errors that takes (Bonferroni): 2.0 for one, 3.5 for a hundred.
        """
        if self.agreement is None or self.others is None:
            return False
        errors = NormalDist().inv_cdf(1 - _FALSE_ALARMS / annotators)
        chance = errors * math.sqrt(self.others * (1 - self.others) / self.compared)
        return self.agreement < self.others - max(BELOW, chance)


@dataclass(frozen=True, eq=False)
class Consensus:
    """What Dawid and Skene's model believes after seeing all votes."""

    beliefs: Floats
    """Probability of each choice being the true one, [items, 3]."""
    confusion: Floats
    """Probability of a vote (last axis) given the true choice (middle), for each annotator: [annotators, 3, 3]."""
    prevalence: Floats
    """Share of each true choice, [3]."""


def leave_one_out(table: VoteTable) -> tuple[AnnotatorQuality, ...]:
    """Every annotator in the order of the first vote."""
    others = table.counts[table.item]
    others[np.arange(len(others)), table.choice] -= 1
    top = others.max(1)
    clear = (top > 0) & ((others == top[:, None]).sum(1) == 1)
    agrees = clear & (others.argmax(1) == table.choice)
    size = len(table.annotators)
    votes, compared, agreed = (
        np.bincount(table.who[mask], minlength=size) for mask in (np.ones_like(clear), clear, agrees)
    )
    shares = np.bincount(table.who * 3 + table.choice, minlength=size * 3).reshape(size, 3) / votes[:, None]
    return tuple(
        _quality(name, int(votes[i]), int(compared[i]), int(agreed[i]), shares[i], compared.sum(), agreed.sum())
        for i, name in enumerate(table.annotators)
    )


def _quality(
    name: str, votes: int, compared: int, agreed: int, shares: Floats, all_compared: int, all_agreed: int
) -> AnnotatorQuality:
    share = agreed / compared if compared else None
    low, high = wilson_interval(share, compared) if share is not None else (None, None)
    rest = int(all_compared) - compared
    others = (int(all_agreed) - agreed) / rest if rest else None
    return AnnotatorQuality(name, votes, compared, share, low, high, others, tuple(map(float, shares)))


def dawid_skene(table: VoteTable) -> Consensus:
    """The true choice of each item and each annotator's error rates, by EM (Dawid and Skene 1979).

    It starts from the shares of the votes and stops when the likelihood stands still.
    """
    beliefs = table.counts / np.maximum(table.counts.sum(1, keepdims=True), 1)
    before = -math.inf
    for _ in range(_MOST_ROUNDS):
        prevalence = beliefs.mean(0) + 1e-12
        confusion = _confusion(table, beliefs)
        logs = np.tile(np.log(prevalence / prevalence.sum()), (table.items, 1))
        np.add.at(logs, table.item, np.log(confusion[table.who, :, table.choice]))
        highest = logs.max(1, keepdims=True)
        beliefs = np.exp(logs - highest)
        totals = beliefs.sum(1, keepdims=True)
        likelihood = float((np.log(totals) + highest).sum())
        beliefs /= totals
        if likelihood - before < _SMALL_CHANGE * len(table.item):
            break
        before = likelihood
    return Consensus(beliefs, confusion, prevalence / prevalence.sum())


def _confusion(table: VoteTable, beliefs: Floats) -> Floats:
    """Expected votes of each annotator by true choice and vote, as shares; [annotators, 3, 3]."""
    size = len(CHOICES)
    votes = np.full((len(table.annotators), size, size), _PRIOR)
    np.add.at(votes.transpose(0, 2, 1), (table.who, table.choice), beliefs[table.item])
    return np.asarray(votes / votes.sum(2, keepdims=True), dtype=np.float64)
