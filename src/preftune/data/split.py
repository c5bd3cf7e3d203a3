"""Hold records out by prompt group, so that no prompt is on both sides of a split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol, TypeVar

from ..errors import DataError
from .ordering import shuffle_key


class Opened(Protocol):
    """A pair, a piece of feedback, a ranking: whatever has an opening turn."""

    @property
    def opening(self) -> str:
        """What records of one prompt group share."""


T = TypeVar("T", bound=Opened)


def split_by_prompt(pairs: Sequence[T], *, eval_fraction: float, seed: int) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """Train and held-out records, each in the given order; records of one opening turn stay together.

    Which groups are held out depends on the seed and the openings only, not on the order of the rows. Their
    number of records comes as near to ``eval_fraction`` of all as whole groups allow: at least one group where
    the fraction is above 0 and there are two, and never all. One group alone cannot be split: nothing is
    held out. Raises DataError for a fraction outside [0, 1).
    """
    if not 0 <= eval_fraction < 1:
        raise DataError(f"eval_fraction must be at least 0 and below 1, not {eval_fraction}")
    sizes = Counter(pair.opening for pair in pairs)
    held = _held_out(sizes, eval_fraction * len(pairs), seed) if eval_fraction and len(sizes) > 1 else frozenset()
    train = tuple(pair for pair in pairs if pair.opening not in held)
    return train, tuple(pair for pair in pairs if pair.opening in held)


def _held_out(sizes: Counter[str], target: float, seed: int) -> frozenset[str]:
    """Openings in shuffled order, each taken where that brings the count of records nearer to the target."""
    order = sorted(sizes, key=lambda opening: shuffle_key(seed, opening))
    held: list[str] = []
    count = 0
    for opening in order:
        nearer = abs(count + sizes[opening] - target) < abs(count - target)
        if nearer and len(held) + 1 < len(order):
            held.append(opening)
            count += sizes[opening]
    return frozenset(held or [min(order, key=lambda opening: sizes[opening])])


def overlap(train: Sequence[Opened], held_out: Sequence[T]) -> tuple[T, ...]:
    """Held-out records whose opening turn also occurs in the training records."""
    seen = {pair.opening for pair in train}
    return tuple(pair for pair in held_out if pair.opening in seen)
