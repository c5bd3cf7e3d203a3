"""Trackio: local dashboards in the manner of wandb (``trackio show``); project ``TRACKIO_PROJECT`` or preftune."""

from __future__ import annotations

import os
from collections.abc import Mapping

import trackio

from .base import PROJECT, TrackedRun


class Trackio:
    """One run of a project; a resumed one goes on as the last run of its name."""

    def __init__(self, run: TrackedRun) -> None:
        project = os.environ.get("TRACKIO_PROJECT", PROJECT)
        resume = "never" if run.resumed_from is None else "allow"
        self._run = trackio.init(project=project, name=run.name, config=dict(run.config), resume=resume, embed=False)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def close(self) -> None:
        self._run.finish()


begin = Trackio
