"""Objectives on rankings of several answers. Rewards: beta times the log-ratio to the reference."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ..logprobs.types import RankingLogprobs
from .registry import Positive, objective


@objective(
    "plackett_luce",
    source="Rafailov et al. 2023, arXiv:2305.18290, Appendix A.3 (DPO under the Plackett-Luce model)",
    formula="sum over ranks i of (logsumexp of the rewards from rank i on) - reward i",
)
def plackett_luce(
    policy: RankingLogprobs, reference: RankingLogprobs, *, beta: Positive = 0.1
) -> Float[Tensor, " rankings"]:
    """DPO on whole rankings: each answer in turn is the best of those not yet ranked. Two answers are plain DPO.

    Args:
        beta: strength of the pull to the reference
    """
    rewards = beta * (policy - reference).answers
    masked = rewards.masked_fill(~policy.present, float("-inf"))
    # logcumsumexp from the right: the log of the sum over this rank and all below it.
    below = masked.flip(1).logcumsumexp(1).flip(1)
    terms = torch.where(policy.present, below - rewards, torch.zeros_like(rewards))
    return terms.sum(1)
