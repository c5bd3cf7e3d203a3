"""Objectives: log-probabilities in, one loss per pair out. Pure functions; the signature is the schema."""

from . import paired  # noqa: F401 - registers its objectives
from .registry import OBJECTIVES, BoundObjective, Objective, get_objective, objective, objective_schemas

__all__ = ["OBJECTIVES", "BoundObjective", "Objective", "get_objective", "objective", "objective_schemas"]
