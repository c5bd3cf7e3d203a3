"""The composition root: a checked config becomes data, model, objective, training and a run folder."""

from .run import RunResult, plan, train

__all__ = ["RunResult", "plan", "train"]
