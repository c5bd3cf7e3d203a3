"""What the rules look at: the logged rows, what is known of the run beside them, and what single pairs did."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ...intervals import wilson_interval

Row = Mapping[str, int | float]
_RECENT_ROWS = 5


@dataclass(frozen=True, slots=True)
class Facts:
    """What is decided before a run, as far as a rule asks for it. Ranges are the advised ones; None: not known."""

    warmup_steps: int = 0
    steps: int = 0
    """Updates that are planned; 0: not known."""
    beta: float | None = None
    beta_range: tuple[float, float] | None = None
    loss_at_start: float | None = None
    """Loss of every pair while the policy is the reference, where that is a constant of the objective."""
    learning_rate: float | None = None
    learning_rate_range: tuple[float, float] | None = None
    trained_dtype: str = "float32"
    train_pairs: int = 0
    distinct_pairs: int = 0
    style_accuracy: float | None = None
    """How often a guess by style alone is right (of the data checks)."""


@dataclass(frozen=True, slots=True)
class Spike:
    """An update whose gradient was far above the usual, and the pair with the largest loss in it."""

    step: int
    grad_norm: float
    usual: float
    """Median before it."""
    pair: str | None = None
    """Its file and row."""
    loss: float | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """A share, the number of records it was measured on, and what is 95 % sure of it (Wilson's interval)."""

    value: float
    count: int

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end."""
        return wilson_interval(self.value, self.count)

    @property
    def low(self) -> float:
        """Lower end."""
        return self.interval[0]

    @property
    def high(self) -> float:
        """Upper end."""
        return self.interval[1]

    def __str__(self) -> str:
        return f"{self.value:.0%} (95 %: {self.low:.0%} to {self.high:.0%})"


@dataclass(frozen=True)
class Evidence:
    """The rows sorted by kind, with the means that the rules look at."""

    history: Sequence[Row]
    facts: Facts = Facts()
    report: Mapping[str, Any] = field(default_factory=dict)
    """The last ``held_out_report``; empty where there is none."""
    spikes: Sequence[Spike] = ()

    @cached_property
    def train(self) -> list[Row]:
        """Rows of updates."""
        return [row for row in self.history if "loss" in row and row["step"] >= 1]

    @cached_property
    def held_out(self) -> list[Row]:
        """Rows of evaluations."""
        return [row for row in self.history if "eval_loss" in row]

    @property
    def window(self) -> int:
        """How many rows stand for "now", against the noise of single steps: five, or a third of few."""
        return max(1, min(_RECENT_ROWS, len(self.train) // 3))

    def recent(self, name: str) -> float | None:
        """Mean over the last training rows."""
        return mean(values(self.train[-self.window :], name))

    def early(self, name: str) -> float | None:
        """Mean over the first training rows."""
        return mean(values(self.train[: self.window], name))

    def ends(self, name: str) -> tuple[float | None, float | None]:
        """Start and end: held-out where it was measured twice, else training."""
        held_out = values(self.held_out, f"eval_{name}")
        return (held_out[0], held_out[-1]) if len(held_out) > 1 else (self.early(name), self.recent(name))

    def last(self, name: str) -> float | None:
        """The end: held-out where it was measured after training began, else over the last training rows."""
        return self.ends(name)[1]

    @property
    def judged_on(self) -> str:
        """Which records ``ends`` are of."""
        return "held-out" if len(self.held_out) > 1 else "training"

    @property
    def held_out_accuracy(self) -> Share | None:
        """Accuracy on the held-out records at the last evaluation after training began."""
        rows = [row for row in self.held_out if row["step"] > 0 and "eval_rewards/accuracies" in row]
        if not rows or not rows[-1].get("eval_num_pairs"):
            return None
        return Share(rows[-1]["eval_rewards/accuracies"], int(rows[-1]["eval_num_pairs"]))

    @property
    def training_accuracy(self) -> Share | None:
        """Accuracy over the last training rows, on the records that they saw (each before its own update)."""
        value, before = self.recent("rewards/accuracies"), self.train[: -self.window]
        if value is None:
            return None
        seen = self.train[-1].get("num_pairs", 0) - (before[-1].get("num_pairs", 0) if before else 0)
        return Share(value, int(seen)) if seen > 0 else None

    @property
    def past_warmup(self) -> bool:
        """Whether all rows that stand for "now" were logged after the warm-up."""
        return bool(self.train) and self.train[-self.window]["step"] > self.facts.warmup_steps

    @property
    def past_first_half(self) -> bool:
        """Whether half of the planned updates are done: before that, healthy runs too may have hardly moved."""
        return bool(self.train) and 2 * self.train[-1]["step"] >= self.facts.steps

    @property
    def margin_nats(self) -> float | None:
        """The recent margin without beta: the change of the log-odds of an answer pair (nats)."""
        margin, beta = self.recent("rewards/margins"), self.facts.beta
        return None if margin is None or not beta else margin / beta

    @property
    def chosen_per_token(self) -> float | None:
        """What chosen answers have gained (nats per token): in recent updates against the reference, or where there is
        none, on held-out pairs against the start."""
        recent = self.recent("log_ratio_per_token/chosen")
        return (self.report.get("displacement") or {}).get("chosen_per_token") if recent is None else recent

    @property
    def rate_is(self) -> str:
        """``above``, ``below`` or ``within`` the advised range; empty where one is not known."""
        return _place(self.facts.learning_rate, self.facts.learning_rate_range)

    @property
    def beta_is(self) -> str:
        """As ``rate_is``."""
        return _place(self.facts.beta, self.facts.beta_range)


def _place(value: float | None, limits: tuple[float, float] | None) -> str:
    if value is None or limits is None:
        return ""
    return "above" if value > limits[1] else "below" if value < limits[0] else "within"


def values(rows: Sequence[Row], name: str) -> list[float]:
    """The finite values of a column, where rows have it."""
    return [row[name] for row in rows if name in row and math.isfinite(row[name])]


def mean(numbers: Sequence[float]) -> float | None:
    """The mean; None of none."""
    return sum(numbers) / len(numbers) if numbers else None
