"""How many records of each source are used: samples by seed, and mixtures by weight in which no record comes twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import groupby
from typing import TypeVar

from ..errors import DataError
from .ordering import shuffle_key
from .sources import DataFile, Share

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Amounts:
    """What a user asked for, over all sources and of each."""

    shares: Sequence[Share]
    max_samples: int | None
    seed: int

    def of(self, read: Iterable[tuple[DataFile, Sequence[T]]]) -> tuple[T, ...]:
        """The records to use, in the order of their files and rows. Raises DataError."""
        parts: list[list[T]] = [[] for _ in self.shares]
        for (number, _), entry in groupby(read, key=lambda one: (one[0].share, one[0].entry)):
            parts[number] += self._limited(list(entry))
        kept = [sampled(part, share.max_samples, self.seed) for part, share in zip(parts, self.shares, strict=True)]
        weights = [share.weight for share in self.shares]
        sizes = [len(part) for part in kept] if None in weights else mixture([len(part) for part in kept], weights)  # type: ignore[arg-type]
        kept = [sampled(part, size, self.seed) for part, size in zip(kept, sizes, strict=True)]
        return sampled([record for part in kept for record in part], self.max_samples, self.seed)

    def _limited(self, entry: Sequence[tuple[DataFile, Sequence[T]]]) -> Sequence[T]:
        """The records of one entry of a registry, which may say how many of them to use."""
        file, records = entry[0][0], [record for _, part in entry for record in part]
        if file.num_samples is not None and file.num_samples > len(records):
            raise DataError(
                f"{file.path}: num_samples {file.num_samples} is more than the {len(records)} records there are, and "
                "repeating some would train on them twice: set it to at most that, or raise train.epochs"
            )
        return sampled(records, file.num_samples, self.seed)


def sampled(records: Sequence[T], size: int | None, seed: int) -> tuple[T, ...]:
    """A uniform sample that depends on the seed, in the given order; all where ``size`` is None or no smaller."""
    if size is None or size >= len(records):
        return tuple(records)
    places = nsmallest(size, range(len(records)), key=lambda place: shuffle_key(seed, str(place)))
    return tuple(records[place] for place in sorted(places))


def mixture(sizes: Sequence[int], weights: Sequence[float]) -> list[int]:
    """How many to take of sources of these sizes so that they stand as their weights: as many as there can be."""
    total = sum(weights)
    most = min(size * total / weight for size, weight in zip(sizes, weights, strict=True))
    return [min(size, round(most * weight / total)) for size, weight in zip(sizes, weights, strict=True)]
