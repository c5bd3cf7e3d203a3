"""What is measured on held-out pairs: over all of them, and over each named set."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from ..metrics.meter import Meter
from ..metrics.records import with_margin
from ..metrics.scores import PairScores
from .kinds import Groups
from .step import Method, measure

UNNAMED = ""
"""Name of the only held-out set of a run that names none."""


def evaluation(
    held_out: Mapping[str, Groups], method: Method, *, proceed: Callable[[int], bool] = lambda _: True
) -> tuple[dict[str, float | int], list[PairScores]] | None:
    """``eval_loss``, ... over all sets, and ``eval_<name>_loss``, ... of each named one; and what each pair scored.

    None where ``proceed(pairs done)`` says to stop.
    """
    started, total = time.perf_counter(), Meter()
    named: dict[str, float | int] = {}
    pairs: list[PairScores] = []
    for name, groups in held_out.items():
        measured = measure(groups, method, proceed=proceed)
        if measured is None:
            return None
        total.merge(measured.meter)
        pairs += measured.pairs
        if name != UNNAMED:
            named |= _values(measured.meter, f"eval_{name}_")
    return {**_values(total, "eval_"), "eval_seconds": time.perf_counter() - started, **named}, pairs


def _values(meter: Meter, prefix: str) -> dict[str, float | int]:
    return {**with_margin(meter.means(prefix), prefix), f"{prefix}num_pairs": meter.pairs}
