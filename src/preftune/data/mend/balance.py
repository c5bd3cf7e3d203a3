"""Which records to keep so that a set is balanced: by the length of its answers, or by category."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import floor

from ...errors import DataError

BIN = 0.25
"""Width of a bin of |log(chosen length / rejected length)|."""


def balanced_by_length(log_ratios: Sequence[float], keys: Sequence[bytes]) -> set[int]:
    """Places to keep so that in every bin as many longer answers are chosen as are rejected.

    ``log_ratios`` are log(chosen length / rejected length); pairs of equal length are all kept. Of the more
    frequent direction of a bin, those with the smallest ``keys`` stay. Afterwards P(longer chosen) is exactly one
    half, and it stays so among the clearly longer ones, which dropping extreme pairs does not achieve.
    """
    kept = {place for place, ratio in enumerate(log_ratios) if ratio == 0}
    bins: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for place, ratio in enumerate(log_ratios):
        if ratio:
            bins[floor(abs(ratio) / BIN)][ratio > 0].append(place)
    for sides in bins.values():
        size = min(map(len, sides))
        for side in sides:
            kept.update(sorted(side, key=lambda place: keys[place])[:size])
    return kept


def resampled(categories: Sequence[str | None], target: Mapping[str, float], keys: Sequence[bytes]) -> set[int]:
    """Places to keep so that the shares of the categories are those of ``target``, as many as that allows.

    Categories without a target (or with a target of 0) are left out. Raises DataError where a wanted category is
    empty.
    """
    counts = Counter(categories)
    wanted = {name: share for name, share in target.items() if share > 0}
    empty = [name for name in wanted if not counts[name]]
    if empty:
        raise DataError(
            f"--resample categories: no record is of category {', '.join(map(repr, empty))}, so its share cannot be "
            "reached: collect some, leave it out of --category-target, or name another --category-field"
        )
    size = min(counts[name] / share for name, share in wanted.items())
    places: dict[str | None, list[int]] = defaultdict(list)
    for place, name in enumerate(categories):
        places[name].append(place)
    kept: set[int] = set()
    for name, share in wanted.items():
        room = min(counts[name], int(size * share + 1e-9))
        kept.update(sorted(places[name], key=lambda place: keys[place])[:room])
    return kept
