"""What the page of a run is made from: the plain values of its files (docs/run_folder.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]
Row = Mapping[str, int | float]


@dataclass(frozen=True, slots=True)
class ShownPairs:
    """Rows of ``pairs.parquet`` with the texts that are known, and how many rows there are in all."""

    rows: Sequence[Json] = ()
    total: int = 0


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run. Every part may be empty: what a folder lacks is left out of the page."""

    name: str
    """Of the run's folder."""
    summary: Json
    """``summary.json``, or what can be said of a run that has not written one."""
    history: Sequence[Row] = ()
    """Logged rows, training and held-out."""
    record: Json = field(default_factory=dict)
    """``run.json``."""
    data: Json = field(default_factory=dict)
    """``data_report.json``."""
    config: str = ""
    """``resolved.yaml`` as text."""
    pairs: ShownPairs = ShownPairs()
    samples: Sequence[Json] = ()
    """Answers to held-out prompts: ``prompt``, ``before``, ``after``, ``file``, ``row``."""
    win_rate: Json = field(default_factory=dict)
    """``win_rate.json``: what a judge said of the model's answers."""

    @property
    def sides(self) -> tuple[str, str]:
        """What the two kinds of answers are called in this run's data."""
        kind = (self.summary.get("objective") or {}).get("data", "pairs")
        return {"feedback": ("liked", "disliked"), "rankings": ("best", "worst")}.get(kind, ("chosen", "rejected"))

    @property
    def records(self) -> str:
        """What one item of the data is called."""
        kind = (self.summary.get("objective") or {}).get("data", "pairs")
        return {"feedback": "judged answers", "rankings": "rankings"}.get(kind, "pairs")
