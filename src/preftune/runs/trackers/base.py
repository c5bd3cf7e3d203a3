"""What a tracker is, which there are, and what they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from ...errors import ConfigError
from ..atomic import atomic_write

TRACKERS: Mapping[str, str] = {
    "tensorboard": ".tensorboard",
    "trackio": ".trackio",
    "wandb": ".wandb",
    "mlflow": ".mlflow",
}
"""Module of each adapter here; the package it needs, and the extra that brings it, have the tracker's name."""
PROJECT = "preftune"
"""Where a tracker has projects and its own environment variable names none."""


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """What a tracker is told of a run before its first row."""

    folder: Path
    config: Mapping[str, Any]
    resumed_from: int | None = None
    """Rows after this step come again."""

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.absolute().name

    def earlier_id(self, tracker: str) -> str | None:
        """The id under which a resumed run was known to a tracker; None for a run that starts."""
        file = self._id_file(tracker)
        return file.read_text(encoding="utf-8").strip() if self.resumed_from is not None and file.is_file() else None

    def keep_id(self, tracker: str, identity: str) -> None:
        """Remember it for the next start."""
        atomic_write(self._id_file(tracker), f"{identity}\n")

    def _id_file(self, tracker: str) -> Path:
        return self.folder / "run" / f"{tracker}_run_id"


class Tracker(Protocol):
    """An adapter. Whatever it raises is told once and costs the run nothing."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Pass on one row, under the names of ``log_history.json``."""

    def close(self) -> None:
        """Everything is passed on."""


def require(names: Sequence[str]) -> None:
    """Raise ConfigError where a tracker's package is not installed."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"report_to: {', '.join(missing)} is not installed: pip install 'preftune[{','.join(missing)}]', or leave "
            "it out; all metrics are in dpo_metrics/ anyway"
        )


def open_tracker(name: str, run: TrackedRun) -> Tracker:
    """The tracker of this name, begun; its package is imported now."""
    tracker: Tracker = import_module(TRACKERS[name], __package__).begin(run)
    return tracker
