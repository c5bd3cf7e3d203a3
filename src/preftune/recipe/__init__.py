"""The composition root: a checked config becomes data, model, objective, training and a run folder."""

from .given import Given
from .observer import Beginning, Observer
from .prepare import Prepared, prepare
from .run import RunResult, plan, train, train_prepared

__all__ = ["Beginning", "Given", "Observer", "Prepared", "RunResult", "plan", "prepare", "train", "train_prepared"]
