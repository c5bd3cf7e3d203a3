"""What is measured on pairs, as per-pair values, so that means are exact under any split of the pairs."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from ..logprobs.types import PairLogprobs
from .held_out import TIE

Values = dict[str, Float[Tensor, " pairs"]]


def pair_values(
    policy: PairLogprobs, reference: PairLogprobs | None, losses: Float[Tensor, " pairs"], rewards: PairLogprobs
) -> Values:
    """Per-pair values of every metric, detached.

    ``rewards`` are the objective's: ``beta * (policy - reference)`` of the summed log-probs (nats times beta), or the
    loss's own without a reference. ``kl_div`` is ``logps/chosen`` less the reference's (nats, signed), where there is
    a reference; ``log_ratio_per_token/*`` is each side's log-ratio over its number of tokens (nats per token), which
    compares models and data of any length. A tie counts one half in the accuracy.
    """
    rewards, policy = rewards.detach(), policy.detach()
    values = {
        "loss": losses.detach(),
        "rewards/chosen": rewards.chosen,
        "rewards/rejected": rewards.rejected,
        "rewards/accuracies": accuracy(rewards.margin),
        "rewards/margins": rewards.margin,
        "logps/chosen": policy.chosen,
        "logps/rejected": policy.rejected,
    }
    if reference is None:
        return values
    per_token = (policy - reference).per_token()
    return {
        **values,
        "kl_div": policy.chosen - reference.chosen,
        "log_ratio_per_token/chosen": per_token.chosen,
        "log_ratio_per_token/rejected": per_token.rejected,
    }


def accuracy(margin: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """1 where the margin is positive, one half where it is a tie (within ``TIE`` of zero), else 0."""
    return (margin.where(margin.abs() > TIE, 0.0).sign() + 1) / 2
