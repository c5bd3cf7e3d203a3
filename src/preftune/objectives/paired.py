"""Objectives on pairs with a reference. Margin: ``(logp_c - ref_c) - (logp_r - ref_r)``, in nats."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..logprobs.types import PairLogprobs
from .registry import Positive, Probability, objective


@objective(
    "sigmoid",
    source="Rafailov et al. 2023, arXiv:2305.18290, Eq. 7; label_smoothing: Mitchell 2023 (conservative DPO)",
    formula="-(1 - e) logsigmoid(beta * margin) - e logsigmoid(-beta * margin)",
    step_zero=lambda **_: math.log(2),
)
def sigmoid(
    policy: PairLogprobs, reference: PairLogprobs, *, beta: Positive = 0.1, label_smoothing: Probability = 0.0
) -> Float[Tensor, " pairs"]:
    """DPO; with label smoothing, conservative DPO (cDPO).

    Args:
        beta: strength of the pull to the reference; small optimises freely, large stays close
        label_smoothing: share e of labels that may be flipped (cDPO); 0 is plain DPO
    """
    logits = beta * (policy - reference).margin
    losses = -logsigmoid(logits)
    return losses if label_smoothing == 0 else (1 - label_smoothing) * losses - label_smoothing * logsigmoid(-logits)


@objective(
    "hinge",
    source="Liu et al. 2023 (RSO), arXiv:2309.06657, Sec. 3.1; SLiC: Zhao et al. 2023, arXiv:2305.10425",
    formula="max(0, 1 - beta * margin)",
    step_zero=lambda **_: 1.0,
)
def hinge(policy: PairLogprobs, reference: PairLogprobs, *, beta: Positive = 0.1) -> Float[Tensor, " pairs"]:
    """Hinge on the DPO margin: a pair whose scaled margin has reached 1 no longer counts.

    Args:
        beta: scale of the margin; the hinge closes at a margin of 1 / beta nats
    """
    return torch.relu(1 - beta * (policy - reference).margin)


@objective(
    "ipo",
    source="Azar et al. 2023, arXiv:2310.12036, Eq. 17; the average over tokens as its authors confirmed to TRL",
    formula="(margin - 1 / (2 beta))^2, each side of the margin averaged over its tokens (average: true) or summed",
    step_zero=lambda beta, **_: (1 / (2 * beta)) ** 2,
)
def ipo(
    policy: PairLogprobs, reference: PairLogprobs, *, beta: Positive = 0.1, average: bool = True
) -> Float[Tensor, " pairs"]:
    """IPO: regress the margin on 1 / (2 beta), so that certain preferences cannot run away.

    Args:
        beta: the paper's tau; the target margin is 1 / (2 beta) nats: per token if averaged, else per answer
        average: average log-probs over each answer's tokens (true), or use their sums (false)
    """
    ratio = policy - reference
    margin = (ratio.per_token() if average else ratio).margin
    return (margin - 1 / (2 * beta)) ** 2
