"""The registry of objectives: a function's signature says which data it needs, its parameters and their ranges."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Annotated, Any, Literal, get_type_hints

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from ..errors import ConfigError, did_you_mean
from ..logprobs.types import FeedbackLogprobs, PairLogprobs, RankingLogprobs

Positive = Annotated[float, Gt(0)]
"""A number above 0."""
NonNegative = Annotated[float, Ge(0)]
"""0 or above."""
Probability = Annotated[float, Ge(0), Lt(0.5)]
"""The share of labels that may be flipped: from 0 to below 0.5."""

LossFunction = Callable[..., Any]
"""Log-probs in; one loss per pair out, alone or with a dict of further per-pair values to report."""
StepZero = Callable[..., float | None]
Rewards = Callable[..., Any]
Couples = Literal["pair", "step"]
DataKind = Literal["pairs", "feedback", "rankings"]
_KINDS: dict[object, DataKind] = {
    PairLogprobs: "pairs",
    FeedbackLogprobs: "feedback",
    RankingLogprobs: "rankings",
}

_INPUTS = ("policy", "reference", "margins")
_TOKEN_OPTIONS: dict[str, tuple[Any, Any, str]] = {
    "ld_alpha": (
        Annotated[float, Ge(0), Le(1)] | None,
        None,
        "LD-DPO: weight, from 0 to 1, of tokens beyond the shorter answer's length; null counts all tokens fully",
    ),
    "wpo": (bool, False, "WPO: weight each pair by how likely the policy itself would be to write its answers"),
}


@dataclass(frozen=True)
class Objective:
    """A loss with what a person and the config need to know of it."""

    name: str
    function: LossFunction
    source: str
    """Paper and equation."""
    formula: str
    step_zero: StepZero | None = None
    """Loss of every pair when the policy equals the reference, from the parameters: an exact invariant.
    None where it depends on the data."""
    rewards: Rewards | None = None
    """The loss's own rewards; None: ``beta * (policy - reference)`` of the summed log-probs."""
    couples: Couples = "pair"
    """``step``: a loss depends on all pairs of a step (sorts, estimates)."""
    token_options: bool = False
    """Whether ``ld_alpha`` and ``wpo`` apply."""
    conflicts: Callable[..., dict[str, str]] | None = None
    """From the parameters: which do not go with the others, and why."""
    mismatched: bool = False
    """Whether unpaired data need a mismatched answer per prompt (KTO's KL estimate)."""
    unlike_trl: str | None = None
    """Where the value differs from TRL 1.16.0 on purpose."""

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Which of policy, reference and margins (score differences) the function asks for."""
        return tuple(n for n in inspect.signature(self.function).parameters if n in _INPUTS)

    @property
    def data(self) -> DataKind:
        """Which records the function judges, from the type of its ``policy`` argument; pairs where it has none."""
        try:
            hint = get_type_hints(self.function).get("policy", PairLogprobs)
        except NameError:  # a user's annotation that only a type checker can resolve
            hint = PairLogprobs
        return _KINDS.get(hint, "pairs")

    @property
    def needs_reference(self) -> bool:
        """Whether the function asks for the reference's log-probs."""
        return "reference" in self.inputs

    @property
    def needs_margins(self) -> bool:
        """Whether the function asks for the score difference of every pair."""
        return "margins" in self.inputs

    def bind_step_zero(self) -> float | None:
        """The step-0 constant with the default parameters; None where it depends on the data."""
        return self.step_zero(**self.schema().model_dump()) if self.step_zero is not None else None

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (inspect.getdoc(self.function) or self.name).splitlines()[0]

    @cached_property
    def schema(self) -> type[BaseModel]:
        """The keyword-only parameters as a strict pydantic model, with the token options where they apply."""
        hints = get_type_hints(self.function, include_extras=True)
        fields: dict[str, Any] = {
            name: (
                hints.get(name, float),
                Field(... if p.default is p.empty else p.default, description=_described(self.function, name)),
            )
            for name, p in inspect.signature(self.function).parameters.items()
            if p.kind is p.KEYWORD_ONLY
        }
        if self.token_options:
            fields |= {n: (kind, Field(d, description=text)) for n, (kind, d, text) in _TOKEN_OPTIONS.items()}
        checks: dict[str, Any] = {"no_conflicts": self._validator()} if self.conflicts else {}
        config = ConfigDict(extra="forbid", frozen=True)
        return create_model(self.name, __config__=config, __doc__=self.summary, __validators__=checks, **fields)

    def _validator(self) -> Any:
        """``conflicts`` as pydantic runs it: one error that holds every place and reason."""

        def check(values: BaseModel) -> BaseModel:
            found = self.conflicts(**values.model_dump()) if self.conflicts else {}
            if found:
                text = "; ".join(f"{key} {why}" for key, why in found.items())
                places = [((key,), why) for key, why in found.items()]
                raise PydanticCustomError("conflict", "{text}", {"text": text, "conflicts": places})
            return values

        return model_validator(mode="after")(check)


class _Registry(dict[str, Objective]):
    """Objectives by config name; ``package.module:function`` names one of the user's own."""

    def __missing__(self, name: str) -> Objective:
        if ":" not in name:
            raise KeyError(name)
        self[name] = found = _imported(name)
        return found


OBJECTIVES: dict[str, Objective] = _Registry()
"""Every objective by its config name."""


def objective(
    name: str,
    *,
    source: str,
    formula: str,
    step_zero: StepZero | None = None,
    rewards: Rewards | None = None,
    couples: Couples = "pair",
    token_options: bool = False,
    conflicts: Callable[..., dict[str, str]] | None = None,
    mismatched: bool = False,
    unlike_trl: str | None = None,
) -> Callable[[LossFunction], LossFunction]:
    """Register a function as an objective."""

    def register(function: LossFunction) -> LossFunction:
        options = (step_zero, rewards, couples, token_options, conflicts, mismatched, unlike_trl)
        OBJECTIVES[name] = Objective(name, function, source, formula, *options)
        return function

    return register


def find_objective(name: str) -> Objective:
    """The objective of this name, or the function at this import path.

    Raises:
        ConfigError: there is none; near names are given.
    """
    try:
        return OBJECTIVES[name]
    except KeyError:
        raise ConfigError(f"unknown objective '{name}'{did_you_mean(name, OBJECTIVES)}") from None


def _imported(path: str) -> Objective:
    """A user's function as an objective: its arguments named policy, reference, margins are its inputs."""
    module_name, _, attribute = path.partition(":")
    here = os.getcwd()
    if here not in sys.path:  # as `python my_script.py` has it; a console script does not
        sys.path.append(here)
    try:
        function = getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"objective '{path}' cannot be imported: {error}. Write package.module:function; modules are looked for in "
            "the current folder and on PYTHONPATH"
        ) from None
    if not callable(function):
        raise ConfigError(f"objective '{path}' is not a function")
    names = list(inspect.signature(function).parameters)
    if not names or names[0] != "policy":
        raise ConfigError(
            f"objective '{path}': its first argument must be named policy (then reference and margins, where needed, "
            "then keyword-only parameters)"
        )
    doc = (inspect.getdoc(function) or "see its source").splitlines()[0]
    return Objective(path, function, path, doc)


def _described(function: LossFunction, parameter: str) -> str | None:
    """The line ``parameter: text`` of the docstring's Args section."""
    lines = (line.strip() for line in (inspect.getdoc(function) or "").splitlines())
    return next((line.partition(": ")[2] for line in lines if line.startswith(f"{parameter}: ")), None)


class Schemas(dict[str, type[BaseModel]]):
    """Parameter models by objective name; import paths are resolved when they are asked for."""

    def get(self, name: str, default: Any = None) -> Any:
        if name not in self and ":" in name:
            self[name] = find_objective(name).schema
        return super().get(name, default)


def objective_schemas() -> Schemas:
    """Parameter models by objective name, for the config."""
    return Schemas({name: o.schema for name, o in OBJECTIVES.items() if ":" not in name})


__all__ = [
    "OBJECTIVES",
    "Couples",
    "LossFunction",
    "NonNegative",
    "Objective",
    "Positive",
    "Probability",
    "find_objective",
    "objective",
    "objective_schemas",
]
