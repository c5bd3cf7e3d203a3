"""The registry of objectives: a function's signature says which data it needs, its parameters and their ranges."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, get_type_hints

from annotated_types import Ge, Gt, Lt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from torch import Tensor

from ..errors import ConfigError, did_you_mean
from ..logprobs.types import PairLogprobs

Positive = Annotated[float, Gt(0)]
"""A number above 0."""
Probability = Annotated[float, Ge(0), Lt(0.5)]
"""The share of labels that may be flipped: from 0 to below 0.5."""

LossFunction = Callable[..., Tensor]
StepZero = Callable[..., float]


@dataclass(frozen=True)
class Objective:
    """A loss with what a person and the config need to know of it."""

    name: str
    function: LossFunction
    source: str
    """Paper and equation."""
    formula: str
    step_zero: StepZero
    """Loss of every pair when the policy equals the reference, from the parameters: an exact invariant."""

    @property
    def needs_reference(self) -> bool:
        """Whether the function asks for the reference's log-probs."""
        return "reference" in inspect.signature(self.function).parameters

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (inspect.getdoc(self.function) or self.name).splitlines()[0]

    @cached_property
    def schema(self) -> type[BaseModel]:
        """The keyword-only parameters as a strict pydantic model."""
        hints = get_type_hints(self.function, include_extras=True)
        fields: dict[str, Any] = {
            name: (hints[name], Field(p.default, description=_described(self.function, name)))
            for name, p in inspect.signature(self.function).parameters.items()
            if p.kind is p.KEYWORD_ONLY
        }
        return create_model(self.name, __config__=ConfigDict(extra="forbid", frozen=True), **fields)

    def bind(self, **parameters: object) -> BoundObjective:
        """The objective with its parameters checked.

        Raises:
            ConfigError: an unknown parameter or one out of range.
        """
        try:
            values = self.schema(**parameters).model_dump()
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            hint = did_you_mean(key, self.schema.model_fields) if first["type"] == "extra_forbidden" else ""
            raise ConfigError(f"objective {self.name}: '{key}': {first['msg']}{hint}") from None
        return BoundObjective(self, values)


@dataclass(frozen=True)
class BoundObjective:
    """A loss ready to use: ``bound(policy, reference) -> losses [pairs]``."""

    objective: Objective
    parameters: Mapping[str, Any]

    def __call__(self, policy: PairLogprobs, reference: PairLogprobs) -> Tensor:
        """One loss per pair; the caller alone divides by the number of pairs."""
        if self.objective.needs_reference:
            return self.objective.function(policy, reference, **self.parameters)
        return self.objective.function(policy, **self.parameters)

    @property
    def beta(self) -> float:
        """Scale of the rewards ``beta * (policy - reference)``; 1 for a loss without beta."""
        return float(self.parameters.get("beta", 1.0))

    @property
    def step_zero(self) -> float:
        """Loss of every pair when the policy equals the reference."""
        return self.objective.step_zero(**self.parameters)

    def card(self) -> dict[str, object]:
        """What a run prints and stores of its loss."""
        return {
            "name": self.objective.name,
            "formula": self.objective.formula,
            "parameters": dict(self.parameters),
            "source": self.objective.source,
            "step_zero_loss": self.step_zero,
        }


OBJECTIVES: dict[str, Objective] = {}
"""Every objective by its config name."""


def objective(name: str, *, source: str, formula: str, step_zero: StepZero) -> Callable[[LossFunction], LossFunction]:
    """Register a function as an objective."""

    def register(function: LossFunction) -> LossFunction:
        OBJECTIVES[name] = Objective(name, function, source, formula, step_zero)
        return function

    return register


def get_objective(name: str) -> Objective:
    """The objective of this name.

    Raises:
        ConfigError: there is none; near names are given.
    """
    if name not in OBJECTIVES:
        raise ConfigError(f"unknown objective '{name}'{did_you_mean(name, OBJECTIVES)}")
    return OBJECTIVES[name]


def objective_schemas() -> dict[str, type[BaseModel]]:
    """Parameter models by objective name, for the config."""
    return {name: o.schema for name, o in OBJECTIVES.items()}


def _described(function: LossFunction, parameter: str) -> str | None:
    """The line ``parameter: text`` of the docstring's Args section."""
    lines = (line.strip() for line in (inspect.getdoc(function) or "").splitlines())
    return next((line.partition(": ")[2] for line in lines if line.startswith(f"{parameter}: ")), None)
