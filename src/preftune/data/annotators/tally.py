"""Votes as arrays, filled row by row: which annotator said what about which item, and in which order it was shown."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ..records import CHOICES, Ballot, Choice

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FIRST, TIE, SECOND = range(3)
"""Places of the choices in ``CHOICES``; in this order they are an ordinal scale."""


@dataclass(frozen=True)
class VoteTable:
    """One vote for each annotator and item that has one; three arrays of equal length, [votes]."""

    items: int
    annotators: tuple[str, ...]
    item: Ints
    who: Ints
    choice: Ints
    """0 first, 1 tie, 2 second: places in ``CHOICES``."""

    @cached_property
    def counts(self) -> Ints:
        """Votes for each choice, [items, 3]."""
        flat = np.bincount(self.item * len(CHOICES) + self.choice, minlength=self.items * len(CHOICES))
        return flat.reshape(self.items, len(CHOICES))


@dataclass(slots=True)
class Wins:
    """Decisive votes for the answer in first place, for the other, and the items that they are on."""

    first: int = 0
    second: int = 0
    items: int = 0

    def add(self, won: list[bool]) -> None:
        """The decisive votes on one item: whether each is for the answer in first place."""
        self.first += sum(won)
        self.second += len(won) - sum(won)
        self.items += bool(won)


@dataclass(slots=True)
class Orders:
    """What is known about the order in which answers were shown."""

    listed: Wins = field(default_factory=Wins)
    """First place: listed first by the row."""
    shown: Wins = field(default_factory=Wins)
    """First place: shown first; votes of which that is known."""
    judged_twice: int = 0
    """Items that one annotator judged in both orders, both times with a winner."""
    flipped: int = 0
    """Those of them where the winner changed with the order."""


class Tally:
    """Collects the ballots of items one by one, in a few bytes each."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._item, self._who, self._choice = array("q"), array("q"), array("b")
        self.orders = Orders()
        self.items = 0

    @property
    def votes(self) -> int:
        """Votes so far; several of one annotator on one item count once."""
        return len(self._item)

    def add(self, ballots: Iterable[Ballot]) -> None:
        """One item. An annotator's votes on it in both orders are one vote: a tie where they differ."""
        by_annotator: dict[str, list[Ballot]] = {}
        for ballot in ballots:
            by_annotator.setdefault(ballot.annotator, []).append(ballot)
        for name, own in by_annotator.items():
            self._count_flip(own)
            self._item.append(self.items)
            self._who.append(self._places.setdefault(name, len(self._places)))
            self._choice.append(CHOICES.index(_one_choice(own)))
        self._count_order([ballot for own in by_annotator.values() for ballot in own if ballot.choice != "tie"])
        self.items += bool(by_annotator)

    def _count_order(self, decisive: list[Ballot]) -> None:
        self.orders.listed.add([ballot.choice == "first" for ballot in decisive])
        self.orders.shown.add([ballot.choice == ballot.shown_first for ballot in decisive if ballot.shown_first])

    def _count_flip(self, own: list[Ballot]) -> None:
        by_order = {ballot.shown_first: ballot.choice for ballot in own if ballot.shown_first}
        if len(by_order) == 2 and "tie" not in by_order.values():
            self.orders.judged_twice += 1
            self.orders.flipped += by_order["first"] != by_order["second"]

    def table(self) -> VoteTable:
        """The votes as arrays."""
        columns = (np.array(column, dtype=np.int64) for column in (self._item, self._who, self._choice))
        return VoteTable(self.items, tuple(self._places), *columns)


def _one_choice(own: list[Ballot]) -> Choice:
    choices = {ballot.choice for ballot in own}
    return choices.pop() if len(choices) == 1 else "tie"
