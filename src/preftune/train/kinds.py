"""What differs between pairs, feedback and rankings in a step: how log-probs are read, and what is measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from ..logprobs.types import FeedbackLogprobs, PairLogprobs, RankingLogprobs, SequenceLogprobs
from ..metrics.pairs import pair_values
from ..metrics.records import feedback_values, ranking_values
from ..objectives.bound import BoundObjective
from ..objectives.registry import DataKind
from ..tokens.encode import EncodedGroup
from .parallel import World

Groups = Sequence[EncodedGroup]
Records = TypeVar("Records", PairLogprobs, FeedbackLogprobs, RankingLogprobs)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of records."""

    read: Callable[[SequenceLogprobs, Groups], Any]
    """Log-probs of a batch's completions as the objective takes them."""
    values: Callable[[Any, Any | None, Tensor, BoundObjective], dict[str, Tensor]]
    """Per-record values of every metric, from policy, reference (or None), losses and objective."""


def _pairs(sequences: SequenceLogprobs, _: Groups) -> PairLogprobs:
    return PairLogprobs.from_sequences(sequences)


def _feedback(sequences: SequenceLogprobs, groups: Groups) -> FeedbackLogprobs:
    labels = torch.tensor([bool(g.label) for g in groups], device=sequences.tokens.device)
    return FeedbackLogprobs.from_sequences(sequences, labels)


def _rankings(sequences: SequenceLogprobs, groups: Groups) -> RankingLogprobs:
    return RankingLogprobs.from_sequences(sequences, [len(g.completions) for g in groups])


def _pair_values(
    policy: PairLogprobs, reference: PairLogprobs | None, losses: Tensor, objective: BoundObjective
) -> dict[str, Tensor]:
    rewards = objective.pair_rewards(policy, policy.detach() if reference is None else reference)
    return pair_values(policy, reference, losses, rewards)


KINDS: dict[DataKind, Kind] = {
    "pairs": Kind(_pairs, _pair_values),
    "feedback": Kind(_feedback, lambda p, r, losses, o: feedback_values(p, p if r is None else r, losses, o.beta)),
    "rankings": Kind(_rankings, lambda p, r, losses, o: ranking_values(p, p if r is None else r, losses, o.beta)),
}


def of_processes(records: Records, world: World) -> list[Records]:
    """The log-probs that every process has, in their order; without tokens behind them."""
    columns = {f.name: getattr(records, f.name) for f in fields(records)}
    parts: dict[str, Any] = {n: world.gather_tensor(value) for n, value in columns.items() if isinstance(value, Tensor)}
    return [replace(records, **{name: values[rank] for name, values in parts.items()}) for rank in range(world.size)]
