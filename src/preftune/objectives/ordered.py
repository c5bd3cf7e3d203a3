"""Objectives that compare the sorted log-probs of all pairs of a step (optimal transport), in nats."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from ..logprobs.types import PairLogprobs
from .registry import Positive, Probability, objective
from .scores import smoothed

_LOG2 = math.log(2)
_Losses = Float[Tensor, " pairs"]


@objective(
    "aot",
    source="Melnyk et al. 2024, arXiv:2406.05882 (paired); sorted over the pairs of the whole step",
    formula="-(1 - e) logsigmoid(beta d) - e logsigmoid(-beta d), d = sort(logp_c - logp_r) - sort(ref_c - ref_r)",
    step_zero=lambda **_: _LOG2,
    couples="step",
    unlike_trl="sorted over the whole step; TRL sorts each micro-batch, so its loss depends on their size",
)
def aot(
    policy: PairLogprobs, reference: PairLogprobs, *, beta: Positive = 0.1, label_smoothing: Probability = 0.0
) -> _Losses:
    """AOT: the distribution of the policy's margins should dominate that of the reference's.

    Args:
        beta: strength of the pull to the reference
        label_smoothing: share of labels that may be flipped
    """
    return smoothed(beta * (policy.margin.sort().values - reference.margin.sort().values), label_smoothing)


@objective(
    "aot_unpaired",
    source="Melnyk et al. 2024, arXiv:2406.05882 (unpaired); sorted over the answers of the whole step",
    formula="-(1 - e) logsigmoid(beta d) - e logsigmoid(-beta d), d = sort(c) - sort(r), c and r: log-ratios",
    step_zero=lambda **_: _LOG2,
    couples="step",
    unlike_trl="sorted over the whole step; TRL sorts each micro-batch, so its loss depends on their size",
)
def aot_unpaired(
    policy: PairLogprobs, reference: PairLogprobs, *, beta: Positive = 0.1, label_smoothing: Probability = 0.0
) -> _Losses:
    """AOT without pairs: the distribution of chosen log-ratios should dominate that of the rejected ones.

    Args:
        beta: strength of the pull to the reference
        label_smoothing: share of labels that may be flipped
    """
    ratio = policy - reference
    return smoothed(beta * (ratio.chosen.sort().values - ratio.rejected.sort().values), label_smoothing)
