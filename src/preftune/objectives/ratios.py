"""Objectives that look at each answer's log-ratio to the reference by itself: c (chosen) and r (rejected), in nats."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..logprobs.types import PairLogprobs
from .registry import NonNegative, Positive, objective

_LOG2 = math.log(2)
_Losses = Float[Tensor, " pairs"]


@objective(
    "nca_pair",
    source="Chen et al. 2024, arXiv:2402.05369 (NCA for pairs)",
    formula="-logsigmoid(beta c) - logsigmoid(-beta c) / 2 - logsigmoid(-beta r) / 2, c and r: log-ratios",
    step_zero=lambda **_: 2 * _LOG2,
)
def nca_pair(policy: PairLogprobs, reference: PairLogprobs, *, beta: Positive = 0.01) -> _Losses:
    """NCA: raise the chosen log-ratio itself, not only its lead over the rejected one.

    Args:
        beta: scale of the log-ratios
    """
    ratio = policy - reference
    c, r = beta * ratio.chosen, beta * ratio.rejected
    return -logsigmoid(c) - 0.5 * logsigmoid(-c) - 0.5 * logsigmoid(-r)


@objective(
    "bco_pair",
    source="Jung et al. 2024, arXiv:2404.04656, without the running shift (as TRL)",
    formula="-logsigmoid(beta c) - logsigmoid(-beta r), c and r: log-ratios",
    step_zero=lambda **_: 2 * _LOG2,
)
def bco_pair(policy: PairLogprobs, reference: PairLogprobs, *, beta: Positive = 0.01) -> _Losses:
    """BCO on pairs: a binary classifier of answers whose logit is the reward.

    Args:
        beta: scale of the log-ratios
    """
    ratio = policy - reference
    return -logsigmoid(beta * ratio.chosen) - logsigmoid(-beta * ratio.rejected)


@objective(
    "sppo_hard",
    source="Wu et al. 2024, arXiv:2405.00675, with hard labels",
    formula="(c - 1 / (2 beta))^2 + (r + 1 / (2 beta))^2, c and r: log-ratios",
    step_zero=lambda beta, **_: 2 * (0.5 / beta) ** 2,
)
def sppo_hard(policy: PairLogprobs, reference: PairLogprobs, *, beta: Positive = 0.1) -> _Losses:
    """SPPO: push the chosen log-ratio to 1 / (2 beta) and the rejected one to its negative.

    Args:
        beta: inverse of the target distance, in nats per answer; the paper's runs use 0.001
    """
    ratio = policy - reference
    return (ratio.chosen - 0.5 / beta) ** 2 + (ratio.rejected + 0.5 / beta) ** 2


@objective(
    "apo_zero",
    source="D'Oosterlinck et al. 2024, arXiv:2408.06266 (APO-zero)",
    formula="1 - sigmoid(beta c) + sigmoid(beta r), c and r: log-ratios",
    step_zero=lambda **_: 1.0,
)
def apo_zero(policy: PairLogprobs, reference: PairLogprobs, *, beta: Positive = 0.1) -> _Losses:
    """APO-zero: chosen answers up, rejected ones down; for chosen answers better than the model's own.

    Args:
        beta: scale of the log-ratios
    """
    ratio = policy - reference
    return torch.sigmoid(-beta * ratio.chosen) + torch.sigmoid(beta * ratio.rejected)


@objective(
    "apo_down",
    source="D'Oosterlinck et al. 2024, arXiv:2408.06266 (APO-down)",
    formula="sigmoid(beta c) + 1 - sigmoid(beta (c - r)), c and r: log-ratios",
    step_zero=lambda **_: 1.0,
)
def apo_down(policy: PairLogprobs, reference: PairLogprobs, *, beta: Positive = 0.1) -> _Losses:
    """APO-down: both answers down, the rejected one further; for chosen answers worse than the model's own.

    Args:
        beta: scale of the log-ratios
    """
    ratio = policy - reference
    return torch.sigmoid(beta * ratio.chosen) + torch.sigmoid(-beta * ratio.margin)


@objective(
    "dpop",
    source="Pal et al. 2024, arXiv:2402.13228, Eq. 3 (DPO-Positive)",
    formula="-logsigmoid(beta * (margin - penalty * max(0, ref_c - logp_c)))",
    step_zero=lambda **_: _LOG2,
)
def dpop(
    policy: PairLogprobs, reference: PairLogprobs, *, beta: Positive = 0.3, penalty: NonNegative = 50.0
) -> _Losses:
    """DPO-Positive: DPO that is punished when the chosen answer becomes less likely than under the reference.

    Args:
        beta: strength of the pull to the reference
        penalty: the paper's lambda, weight of the chosen answer's fall in nats
    """
    ratio = policy - reference
    return -logsigmoid(beta * (ratio.margin - penalty * torch.relu(-ratio.chosen)))
