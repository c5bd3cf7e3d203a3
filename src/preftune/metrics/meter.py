"""Exact means over micro-batches and steps: sums in double precision, divided once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class Meter:
    """Sum and count per metric; ``state`` round-trips exactly through JSON. ``pairs`` counts records of any kind."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    pairs: int = 0
    tokens: int = 0

    def add(self, values: Mapping[str, Tensor], tokens: int = 0) -> None:
        """Add the values of each metric, one per record that has it, and the token positions that they cost.

        ``loss`` is there for every record, so it counts them.
        """
        for name, value in values.items():
            self._add(name, float(value.double().sum()), len(value))
        self.pairs += len(values["loss"])
        self.tokens += tokens

    def merge(self, other: Meter) -> None:
        """Add another meter's sums."""
        for name, total in other.sums.items():
            self._add(name, total, other.counts[name])
        self.pairs += other.pairs
        self.tokens += other.tokens

    def _add(self, name: str, total: float, count: int) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + total
        self.counts[name] = self.counts.get(name, 0) + count

    def means(self, prefix: str = "") -> dict[str, float]:
        """Mean of each metric over the records that have it; metrics without any are left out."""
        return {f"{prefix}{name}": self.sums[name] / n for name, n in self.counts.items() if n}

    def state(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return {"sums": dict(self.sums), "counts": dict(self.counts), "pairs": self.pairs, "tokens": self.tokens}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Meter:
        """The meter that ``state`` described."""
        return cls(**state)
