"""What is measured on pairs, as sums and counts, so that means are exact under any split of the pairs."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ..logprobs.types import PairLogprobs

PAIR_METRICS = (
    "loss",
    "rewards/chosen",
    "rewards/rejected",
    "rewards/accuracies",
    "rewards/margins",
    "logps/chosen",
    "logps/rejected",
    "kl_div",
)
"""Names of the per-pair values, in the order of the tables."""


def pair_values(
    policy: PairLogprobs, reference: PairLogprobs, losses: Float[Tensor, " pairs"], beta: float
) -> dict[str, Float[Tensor, " pairs"]]:
    """Per-pair values of every metric, detached.

    Rewards are ``beta * (policy - reference)`` of the summed log-probs (nats times beta) whatever the loss;
    ``kl_div`` is ``logps/chosen`` less the reference's (nats, signed); a tie counts one half in the accuracy.
    """
    policy = policy.detach()
    ratio = policy - reference
    margin = beta * ratio.margin
    values = (
        losses.detach(),
        beta * ratio.chosen,
        beta * ratio.rejected,
        accuracy(margin),
        margin,
        policy.chosen,
        policy.rejected,
        ratio.chosen,
    )
    return dict(zip(PAIR_METRICS, values, strict=True))


def accuracy(margin: Float[Tensor, " pairs"]) -> Float[Tensor, " pairs"]:
    """1 where the margin is positive, one half where it is zero, else 0."""
    return (margin.sign() + 1) / 2
