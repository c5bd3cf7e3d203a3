"""Which of the measured models of a run is kept, and when the measurements say that the run should end.

All of it is decided by the logged held-out rows alone, so a resumed run decides as the run that was left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..config.schema import Eval
from ..train.loop import Wish

Row = Mapping[str, float | int]
AnyRow = TypeVar("AnyRow", bound=Row)
MEASURES = {"accuracy": "eval_rewards/accuracies", "margin": "eval_rewards/margins", "loss": "eval_loss"}


@dataclass(frozen=True, slots=True)
class Kept:
    """The model that a run keeps, as ``summary.json`` has it."""

    step: int
    last_step: int
    by: str | None
    """The measure that it should be the best by; None: the last within the KL budget should be kept."""
    value: float | None
    """Of this measure; None also where no measured model could be chosen, and the last one is kept."""
    ended: str | None
    """Why the run ended before its last step."""
    found: bool = True
    """Whether a measured model could be chosen."""

    def __str__(self) -> str:
        if not self.found:
            which = "the last one: none that was measured fits eval.max_kl and eval.keep_best"
        elif self.value is None:
            which = "the last within the KL budget"
        else:
            which = f"the best held-out {self.by}, {self.value:.4g}"
        ended = f"; the run ended at step {self.last_step}: {self.ended}" if self.ended else ""
        return f"the model of step {self.step} is kept ({which}){ended}"


@dataclass(frozen=True)
class Keeping:
    """The rules of ``eval.keep_best``, ``eval.max_kl`` and ``eval.patience``."""

    by: str | None
    max_kl: float | None
    patience: int | None
    every: int | None
    """Steps between two measurements."""
    lost: frozenset[int] = frozenset()
    """Measured steps whose checkpoint was gone when the run was taken up again."""

    @classmethod
    def of(cls, config: Eval, every: int | None) -> Keeping:
        """The rules that a config asks for."""
        return cls(config.keep_best, config.max_kl, config.patience, every)

    @property
    def chooses(self) -> bool:
        """Whether another model than the last one may be kept."""
        return self.by is not None or self.max_kl is not None

    def best(self, rows: Sequence[Row]) -> Row | None:
        """The row of the model to keep: the best within the KL budget, or without a measure the last within it.

        Of equals the earlier one; of equal accuracies the one with the lower loss. None: nothing was measured yet, or
        nothing within the budget.
        """
        found = [row for row in _measured(rows) if not self._beyond(row) and row["step"] not in self.lost]
        if self.by is not None:  # single answers of one kind alone have no margin
            found = [row for row in found if MEASURES[self.by] in row]
        if not self.chooses or not found:
            return None
        return found[-1] if self.by is None else max(found, key=self._rank)

    def why_end(self, rows: Sequence[Row]) -> str | None:
        """Why the run should end here; None: it should go on."""
        measured = _measured(rows)
        over = next((row for row in measured if self._beyond(row)), None)
        if over is not None:
            return f"held-out kl_div is {over['eval_kl_div']:.3g}, above eval.max_kl {self.max_kl:g}"
        best = self.best(rows)
        if self.patience is None or best is None:
            return None
        since = sum(row["step"] > best["step"] for row in measured)
        if since < self.patience:
            return None
        return f"no better {self.by} in {since} measurements since step {best['step']} (eval.patience)"

    def wants(self, wish: Wish, rows: Sequence[Row], step: int) -> bool:
        """What the loop should do after ``step``: a row before each measurement, a checkpoint of each best, the end."""
        if not self.chooses:  # asked at every step, and the log gets long
            return False
        if wish == "log":  # so that no half-filled row is left where a measurement ends the run
            return self.every is not None and step % self.every == 0
        if wish == "save":
            best = self.best(rows)
            return best is not None and best["step"] == step
        return wish == "end" and self.why_end(rows) is not None

    def kept(self, rows: Sequence[Row], last_step: int) -> Kept | None:
        """What was decided in a run of so many steps; None where no rule was given."""
        if not self.chooses:
            return None
        best = self.best(rows)
        value = None if best is None or self.by is None else best[MEASURES[self.by]]
        step = last_step if best is None else int(best["step"])
        return Kept(step, last_step, self.by, value, self.why_end(rows), found=best is not None)

    def _beyond(self, row: Row) -> bool:
        return self.max_kl is not None and row.get("eval_kl_div", 0.0) > self.max_kl

    def _rank(self, row: Row) -> tuple[float, float, float]:
        value = row[MEASURES[self.by or "loss"]]
        return (-value if self.by == "loss" else value, -row["eval_loss"], -row["step"])


def _measured(rows: Sequence[Row]) -> list[Row]:
    """Held-out rows of trained models."""
    return [row for row in rows if "eval_loss" in row and row["step"] > 0]


def until(rows: Sequence[AnyRow], kept: Kept | None) -> list[AnyRow]:
    """The rows up to the model that is kept."""
    return [row for row in rows if kept is None or row["step"] <= kept.step]
