"""Pairs out of votes, by majority or by Dawid and Skene's model; each weighted by how sure the winner is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ...errors import DataError, did_you_mean
from ..derive import decided_pair, majority
from ..records import CHOICES, Ballot, Choice, PreferencePair, VotedPair
from .quality import dawid_skene
from .tally import Tally

Method = Literal["majority", "dawid_skene"]
METHODS: tuple[str, ...] = get_args(Method)


@dataclass(frozen=True, slots=True)
class Decided:
    """Every voted pair is in one of the two: ``len(pairs) + len(ties)`` of them came in."""

    pairs: tuple[PreferencePair, ...]
    """``weight`` is that of the row times the certainty: the share of the votes, or the model's probability."""
    ties: tuple[VotedPair, ...]


def decide(voted: Sequence[VotedPair], method: str = "majority") -> Decided:
    """The winner of each voted pair, in their order. Raises DataError for an unknown method."""
    pairs: list[PreferencePair] = []
    ties: list[VotedPair] = []
    for one, (winner, certainty) in zip(voted, winners([one.ballots for one in voted], method), strict=True):
        pair = decided_pair(one, winner, certainty)
        if pair is None:
            ties.append(one)
        else:
            pairs.append(pair)
    return Decided(tuple(pairs), tuple(ties))


def winners(items: Iterable[Sequence[Ballot]], method: str) -> list[tuple[Choice, float]]:
    """The winner of each item and its certainty, from the ballots on it. Raises DataError for an unknown method."""
    if method == "majority":
        return [majority(ballot.choice for ballot in ballots) for ballots in items]
    if method != "dawid_skene":
        raise DataError(f"--aggregate: unknown method {method!r}{did_you_mean(method, METHODS)}")
    tally = Tally()
    for ballots in items:
        tally.add(ballots)
    if not tally.votes:
        return []
    beliefs = dawid_skene(tally.table()).beliefs
    return [(CHOICES[int(belief.argmax())], float(belief.max())) for belief in beliefs]
