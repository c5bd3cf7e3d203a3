"""Objectives: log-probabilities in, one loss per pair out. Pure functions; the signature is the schema."""

# Each registers its objectives, and people read them in this order.
from . import paired, ratios, ordered, reference_free, unpaired, listwise  # noqa: F401, I001
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
