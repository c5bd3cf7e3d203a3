"""What several objectives share: scores of a log-ratio under an f-divergence, token weightings, safe exponentials."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..errors import ConfigError
from ..logprobs.types import PairLogprobs, SequenceLogprobs

Divergence = Literal["reverse_kl", "forward_kl", "js", "alpha"]

EXPONENT_CAP = 40.0
"""Exponentials go on as a straight line beyond this many nats, so that a gradient never overflows in fp32."""


def pair_scores(ratio: PairLogprobs, divergence: Divergence, alpha: float) -> PairLogprobs:
    """Each side's log-ratio x to the reference as the score of the divergence (Wang et al. 2023, arXiv:2309.16240).

    reverse_kl: x. forward_kl: 1 - exp(-x). js: log 2 + log sigmoid(x). alpha: (exp((alpha - 1) x) - 1) / (alpha - 1),
    which is reverse_kl at alpha 1 and forward_kl at alpha 0. All are 0 at x = 0.
    """
    if divergence == "reverse_kl":
        return ratio
    return ratio.derived(_score(ratio.chosen, divergence, alpha), _score(ratio.rejected, divergence, alpha))


def _score(x: Float[Tensor, " pairs"], divergence: Divergence, alpha: float) -> Float[Tensor, " pairs"]:
    if divergence == "forward_kl":
        return 1 - bounded_exp(-x)
    if divergence == "js":
        return math.log(2) + logsigmoid(x)
    slope = alpha - 1
    return x if abs(slope) < 1e-6 else (bounded_exp(slope * x) - 1) / slope


def bounded_exp(x: Tensor) -> Tensor:
    """``exp(x)``, and its tangent line beyond ``EXPONENT_CAP``: finite values, and a gradient that never vanishes."""
    cap = EXPONENT_CAP
    return torch.where(x > cap, math.exp(cap) * (1 + x - cap), x.clamp(max=cap).exp())


def length_desensitized(logprobs: PairLogprobs, alpha: float) -> PairLogprobs:
    """LD-DPO (Liu et al. 2024, arXiv:2409.06411): tokens beyond the shorter answer's length count ``alpha``.

    Raises:
        ConfigError: the log-probs come as sums without their tokens.
    """
    sequences = _tokens(logprobs, "ld_alpha")
    shared = torch.minimum(logprobs.chosen_tokens, logprobs.rejected_tokens).repeat_interleave(2)
    within = sequences.position < shared[sequences.sequence]
    weights = torch.where(within, 1.0, alpha).to(sequences.tokens.dtype)
    sums = sequences.total(sequences.tokens * weights)
    return logprobs.derived(sums[0::2], sums[1::2])


def wpo_weights(policy: PairLogprobs) -> Float[Tensor, " pairs"]:
    """WPO (Zhou et al. 2024, arXiv:2406.11827): how likely the policy itself would be to write each pair.

    The product over both answers of ``exp(mean_t(log p_t - log sum_v p_v^2))``, at most 1, without gradient.
    """
    sequences = _tokens(policy, "wpo")
    if sequences.log_sum_sq is None:
        raise ConfigError("wpo needs the token statistic log_sum_sq, which these log-probs do not carry")
    aligned = sequences.tokens.detach() - sequences.log_sum_sq
    means = sequences.total(aligned) / sequences.counts
    return (means[0::2] + means[1::2]).exp().clamp(max=1.0)


def smoothed(logits: Tensor, smoothing: float) -> Tensor:
    """``-(1 - e) log sigmoid(l) - e log sigmoid(-l)``: the logistic loss where a share e of labels may be flipped."""
    losses = -logsigmoid(logits)
    return losses if smoothing == 0 else (1 - smoothing) * losses - smoothing * logsigmoid(-logits)


def _tokens(logprobs: PairLogprobs, option: str) -> SequenceLogprobs:
    if logprobs.sequences is None:
        raise ConfigError(f"{option} needs per-token log-probs, and these are sums only")
    return logprobs.sequences


def log_odds(mean_logprob: Tensor) -> Tensor:
    """``log(p / (1 - p))`` of a mean token probability from its log, stable towards p = 1."""
    floor = torch.finfo(mean_logprob.dtype).eps
    return mean_logprob - log1mexp(mean_logprob.clamp(max=-floor))


def log1mexp(x: Tensor) -> Tensor:
    """``log(1 - exp(x))`` for x < 0 (Maechler 2012)."""
    near = x > -math.log(2)
    # The unused branch must not produce an infinite gradient either, hence the safe arguments.
    small = torch.where(near, x, torch.full_like(x, -0.5))
    large = torch.where(near, torch.full_like(x, -1.0), x)
    return torch.where(near, (-torch.expm1(small)).log(), torch.log1p(-large.exp()))
