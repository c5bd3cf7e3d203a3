"""Exact means over micro-batches and steps: sums in double precision, divided once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Meter:
    """Sums per metric and the number of pairs behind them; ``state`` round-trips exactly through JSON."""

    sums: dict[str, float] = field(default_factory=dict)
    pairs: int = 0
    tokens: int = 0

    def add(self, values: Mapping[str, Tensor], tokens: int = 0) -> None:
        """Add per-pair values [pairs] of each metric, and the token positions that they cost."""
        if not values:
            return
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value.double().sum())
        self.pairs += len(next(iter(values.values())))
        self.tokens += tokens

    def merge(self, other: Meter) -> None:
        """Add another meter's sums."""
        for name, total in other.sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + total
        self.pairs += other.pairs
        self.tokens += other.tokens

    def means(self, prefix: str = "") -> dict[str, float]:
        """Mean over pairs of each metric."""
        return {f"{prefix}{name}": total / self.pairs for name, total in self.sums.items()}

    def state(self) -> dict[str, object]:
        """Everything, as JSON values."""
        return {"sums": dict(self.sums), "pairs": self.pairs, "tokens": self.tokens}

    @classmethod
    def from_state(cls, state: Mapping[str, object]) -> Meter:
        """The meter that ``state`` described."""
        return cls(**state)  # type: ignore[arg-type]
