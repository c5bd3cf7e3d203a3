"""Objectives: log-probabilities in, one loss per pair out. Pure functions; the signature is the schema."""

from . import listwise, paired, reference_free, unpaired  # noqa: F401 - they register their objectives
from .bound import BoundObjective, bind, weighted_sum, with_class_weights
from .registry import OBJECTIVES, Objective, find_objective, objective, objective_schemas

__all__ = [
    "OBJECTIVES",
    "BoundObjective",
    "Objective",
    "bind",
    "find_objective",
    "objective",
    "objective_schemas",
    "weighted_sum",
    "with_class_weights",
]
