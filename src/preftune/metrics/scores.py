"""What single pairs scored, beside the means: plain records that are stored, and that processes can exchange."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ..logprobs.types import PairLogprobs
from .meter import Meter


class PairScores(NamedTuple):
    """One pair under the policy and the reference, when it was seen (log-probabilities in nats, summed over tokens)."""

    key: str
    """``EncodedGroup.key``: row and content."""
    loss: float
    chosen_logp: float
    rejected_logp: float
    chosen_reward: float
    rejected_reward: float
    chosen_reference: float | None = None
    """None for an objective without a reference."""
    rejected_reference: float | None = None


@dataclass
class Measured:
    """What a step or an evaluation measured: exact sums over its records, and each pair for itself.

    ``pairs`` stays empty for records that are not pairs. Its order is that of the micro-batches.
    """

    meter: Meter = field(default_factory=Meter)
    pairs: list[PairScores] = field(default_factory=list)


def pair_scores(keys: Sequence[str], values: Mapping[str, Tensor], reference: PairLogprobs | None) -> list[PairScores]:
    """One record per pair from the per-pair values of ``pair_values``; one transfer from the device."""
    names = ("loss", "logps/chosen", "logps/rejected", "rewards/chosen", "rewards/rejected")
    columns = [values[name] for name in names]
    if reference is not None:
        columns += [reference.chosen, reference.rejected]
    rows = torch.stack([column.detach().double() for column in columns], 1).tolist()
    return [PairScores(key, *row) for key, row in zip(keys, rows, strict=True)]
