"""Weights & Biases: project ``WANDB_PROJECT`` or preftune; ``WANDB_MODE=offline`` sends nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from uuid import uuid4

import wandb

from .base import PROJECT, TrackedRun


class WeightsAndBiases:
    """One run; a resumed one goes on under the same id."""

    def __init__(self, run: TrackedRun) -> None:
        identity = run.earlier_id("wandb") or uuid4().hex[:12]
        run.keep_id("wandb", identity)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.name,
            id=identity,
            resume="allow",
            dir=str(run.folder),
            config=dict(run.config),
            settings=wandb.Settings(silent=True, console="off"),
        )
        # Rows of steps after a checkpoint come again on resume, which wandb's own step counter refuses.
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log({"step": step, **metrics})

    def close(self) -> None:
        self._run.finish()


begin = WeightsAndBiases
