"""What is measured on held-out pairs: over all of them, and over each named set."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from ..metrics.meter import Meter
from ..metrics.records import with_margin
from .kinds import Groups
from .step import Method, measure

UNNAMED = ""
"""Name of the only held-out set of a run that names none."""


def evaluation(
    held_out: Mapping[str, Groups], method: Method, *, proceed: Callable[[int], bool] = lambda _: True
) -> dict[str, float | int] | None:
    """``eval_loss``, ... over all sets, and ``eval_<name>_loss``, ... of each named one.

    None where ``proceed(pairs done)`` says to stop.
    """
    started, total = time.perf_counter(), Meter()
    named: dict[str, float | int] = {}
    for name, groups in held_out.items():
        meter = measure(groups, method, proceed=proceed)
        if meter is None:
            return None
        total.merge(meter)
        if name != UNNAMED:
            named |= _values(meter, f"eval_{name}_")
    return {**_values(total, "eval_"), "eval_seconds": time.perf_counter() - started, **named}


def _values(meter: Meter, prefix: str) -> dict[str, float | int]:
    return {**with_margin(meter.means(prefix), prefix), f"{prefix}num_pairs": meter.pairs}
