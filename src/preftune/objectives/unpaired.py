"""Objectives on single answers that were liked or not. x: log-ratio of the answer to the reference, in nats."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..errors import ConfigError
from ..logprobs.types import FeedbackLogprobs
from .registry import NonNegative, Positive, objective

_Losses = Float[Tensor, " records"]


def _weights(policy: FeedbackLogprobs, desirable: float | None, undesirable: float | None) -> Tensor:
    """Weight of each record by its label; 1 where a class weight was not resolved from the data."""
    liked, disliked = (policy.answer.new_tensor(1.0 if w is None else w) for w in (desirable, undesirable))
    return torch.where(policy.desirable, liked, disliked)


def _half(desirable_weight: float | None = None, undesirable_weight: float | None = None, **_: object) -> float | None:
    liked, disliked = (1.0 if w is None else w for w in (desirable_weight, undesirable_weight))
    return 0.5 * liked if liked == disliked else None


@objective(
    "kto",
    source="Ethayarajh et al. 2024, arXiv:2402.01306, Eq. 8; z0 estimated over the pairs of the whole step",
    formula="w_d (1 - sigmoid(beta (x - z0))) if liked, w_u (1 - sigmoid(beta (z0 - x))) if not; "
    "z0 = max(0, mean log-ratio of mismatched answers), without gradient",
    step_zero=_half,
    couples="step",
    mismatched=True,
    unlike_trl="liked and disliked answers are mixed in every step; TRL trains in file order. z0 is estimated over the "
    "whole step, and class weights are computed from the counts (1 in TRL)",
)
def kto(
    policy: FeedbackLogprobs,
    reference: FeedbackLogprobs,
    *,
    beta: Positive = 0.1,
    desirable_weight: NonNegative | None = None,
    undesirable_weight: NonNegative | None = None,
) -> tuple[_Losses, dict[str, Tensor]]:
    """KTO: liked answers above, disliked ones below a reference point, with losses that saturate on both sides.

    Args:
        beta: scale of the log-ratio; small optimises freely
        desirable_weight: weight of liked answers; null computes it from the class counts
        undesirable_weight: weight of disliked answers; null computes it from the class counts
    """
    ratio = policy - reference
    if ratio.mismatched is None:
        raise ConfigError("kto needs the log-probs of mismatched answers")
    z0 = ratio.mismatched.mean().clamp(min=0).detach()
    sign = torch.where(policy.desirable, 1.0, -1.0).to(ratio.answer.dtype)
    losses = torch.sigmoid(-beta * sign * (ratio.answer - z0))
    return _weights(policy, desirable_weight, undesirable_weight) * losses, {"kl": z0.expand_as(losses)}


@objective(
    "apo_zero_unpaired",
    source="D'Oosterlinck et al. 2024, arXiv:2408.06266 (APO-zero on single answers)",
    formula="w_d (1 - sigmoid(beta x)) if liked, w_u sigmoid(beta x) if not",
    step_zero=_half,
)
def apo_zero_unpaired(
    policy: FeedbackLogprobs,
    reference: FeedbackLogprobs,
    *,
    beta: Positive = 0.1,
    desirable_weight: NonNegative | None = None,
    undesirable_weight: NonNegative | None = None,
) -> _Losses:
    """APO-zero on single answers: KTO with the reference point fixed at 0.

    Args:
        beta: scale of the log-ratio
        desirable_weight: weight of liked answers; null computes it from the class counts
        undesirable_weight: weight of disliked answers; null computes it from the class counts
    """
    x = (policy - reference).answer
    sign = torch.where(policy.desirable, 1.0, -1.0).to(x.dtype)
    return _weights(policy, desirable_weight, undesirable_weight) * torch.sigmoid(-beta * sign * x)


@objective(
    "bco",
    source="Jung et al. 2024, arXiv:2404.04656; the shift estimated over the whole step",
    formula="-logsigmoid(beta x - d) if liked, -logsigmoid(d - beta x) if not; "
    "d = (mean liked reward + mean disliked reward) / 2, without gradient",
    step_zero=lambda desirable_weight=None, undesirable_weight=None, **_: _double_log2(
        desirable_weight, undesirable_weight
    ),
    couples="step",
)
def bco(
    policy: FeedbackLogprobs,
    reference: FeedbackLogprobs,
    *,
    beta: Positive = 0.01,
    desirable_weight: NonNegative | None = None,
    undesirable_weight: NonNegative | None = None,
) -> _Losses:
    """BCO: a binary classifier of answers whose logit is the reward, shifted to the middle of both classes.

    Args:
        beta: scale of the log-ratio
        desirable_weight: weight of liked answers; null computes it from the class counts
        undesirable_weight: weight of disliked answers; null computes it from the class counts
    """
    rewards = beta * (policy - reference).answer
    liked, disliked = rewards[policy.desirable].detach(), rewards[~policy.desirable].detach()
    means = [r.mean() for r in (liked, disliked) if len(r)]
    shift = torch.stack(means).mean()
    sign = torch.where(policy.desirable, 1.0, -1.0).to(rewards.dtype)
    return -_weights(policy, desirable_weight, undesirable_weight) * logsigmoid(sign * (rewards - shift))


def _double_log2(desirable: float | None, undesirable: float | None) -> float | None:
    half = _half(desirable, undesirable)
    return None if half is None else 2 * half * float(torch.tensor(2.0, dtype=torch.float64).log())
