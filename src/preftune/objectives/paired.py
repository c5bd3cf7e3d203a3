"""Objectives on pairs with a reference. Margin: ``(logp_c - ref_c) - (logp_r - ref_r)``, in nats.

Scores s are log-ratios to the reference (or their image under another f-divergence); s_c - s_r is the margin.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Gt, Lt
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..logprobs.types import PairLogprobs
from .registry import NonNegative, Positive, Probability, objective
from .scores import Divergence, pair_scores

_LOG2 = math.log(2)
_Losses = Float[Tensor, " pairs"]
_Smoothing = Annotated[float, Gt(0), Lt(0.5)]


def _smoothed(logits: Tensor, smoothing: float) -> Tensor:
    """``-(1 - e) log sigmoid(l) - e log sigmoid(-l)``."""
    losses = -logsigmoid(logits)
    return losses if smoothing == 0 else (1 - smoothing) * losses - smoothing * logsigmoid(-logits)


def _margin(policy: PairLogprobs, reference: PairLogprobs, divergence: Divergence, alpha: float) -> Tensor:
    return pair_scores(policy - reference, divergence, alpha).margin


@objective(
    "sigmoid",
    source="Rafailov et al. 2023, arXiv:2305.18290, Eq. 7; label_smoothing: Mitchell 2023 (conservative DPO)",
    formula="-(1 - e) logsigmoid(beta * margin) - e logsigmoid(-beta * margin)",
    step_zero=lambda **_: _LOG2,
    token_options=True,
)
def sigmoid(
    policy: PairLogprobs,
    reference: PairLogprobs,
    *,
    beta: Positive = 0.1,
    label_smoothing: Probability = 0.0,
    divergence: Divergence = "reverse_kl",
    divergence_alpha: float = 0.5,
) -> _Losses:
    """DPO; with label smoothing, conservative DPO (cDPO).

    Args:
        beta: strength of the pull to the reference; small optimises freely, large stays close
        label_smoothing: share e of labels that may be flipped (cDPO); 0 is plain DPO
        divergence: f-divergence to the reference; reverse_kl is DPO
        divergence_alpha: alpha of the alpha divergence
    """
    return _smoothed(beta * _margin(policy, reference, divergence, divergence_alpha), label_smoothing)


@objective(
    "robust",
    source="Chowdhury et al. 2024, arXiv:2403.00409",
    formula="(-(1 - e) logsigmoid(beta * margin) + e logsigmoid(-beta * margin)) / (1 - 2e)",
    step_zero=lambda **_: _LOG2,
    token_options=True,
)
def robust(
    policy: PairLogprobs,
    reference: PairLogprobs,
    *,
    beta: Positive = 0.1,
    label_smoothing: Probability = 0.1,
    divergence: Divergence = "reverse_kl",
    divergence_alpha: float = 0.5,
) -> _Losses:
    """Robust DPO: an unbiased estimate of DPO's loss when a known share of labels is flipped.

    Args:
        beta: strength of the pull to the reference
        label_smoothing: share e of flipped labels, below one half
        divergence: f-divergence to the reference
        divergence_alpha: alpha of the alpha divergence
    """
    logits, e = beta * _margin(policy, reference, divergence, divergence_alpha), label_smoothing
    return (-(1 - e) * logsigmoid(logits) + e * logsigmoid(-logits)) / (1 - 2 * e)


@objective(
    "hinge",
    source="Liu et al. 2023 (RSO), arXiv:2309.06657, Sec. 3.1; SLiC: Zhao et al. 2023, arXiv:2305.10425",
    formula="max(0, 1 - beta * margin)",
    step_zero=lambda **_: 1.0,
    token_options=True,
)
def hinge(
    policy: PairLogprobs,
    reference: PairLogprobs,
    *,
    beta: Positive = 0.1,
    divergence: Divergence = "reverse_kl",
    divergence_alpha: float = 0.5,
) -> _Losses:
    """Hinge on the DPO margin: a pair whose scaled margin has reached 1 no longer counts.

    Args:
        beta: scale of the margin; the hinge closes at a margin of 1 / beta nats
        divergence: f-divergence to the reference
        divergence_alpha: alpha of the alpha divergence
    """
    return torch.relu(1 - beta * _margin(policy, reference, divergence, divergence_alpha))


@objective(
    "ipo",
    source="Azar et al. 2023, arXiv:2310.12036, Eq. 17; the average over tokens as its authors confirmed to TRL",
    formula="(margin - 1 / (2 beta))^2, each side of the margin averaged over its tokens (average: true) or summed",
    step_zero=lambda beta, **_: (1 / (2 * beta)) ** 2,
    token_options=True,
)
def ipo(
    policy: PairLogprobs,
    reference: PairLogprobs,
    *,
    beta: Positive = 0.1,
    average: bool = True,
    divergence: Divergence = "reverse_kl",
    divergence_alpha: float = 0.5,
) -> _Losses:
    """IPO: regress the margin on 1 / (2 beta), so that certain preferences cannot run away.

    Args:
        beta: the paper's tau; the target margin is 1 / (2 beta) nats: per token if averaged, else per answer
        average: average scores over each answer's tokens (true), or use their sums (false)
        divergence: f-divergence to the reference
        divergence_alpha: alpha of the alpha divergence
    """
    scores = pair_scores(policy - reference, divergence, divergence_alpha)
    margin = (scores.per_token() if average else scores).margin
    return (margin - 1 / (2 * beta)) ** 2


@objective(
    "sigmoid_norm",
    source="Lambert et al. 2024 (Tulu 3), arXiv:2411.15124: length-normalised DPO",
    formula="-logsigmoid(beta * (s_c / n_c - s_r / n_r))",
    step_zero=lambda **_: _LOG2,
    token_options=True,
)
def sigmoid_norm(
    policy: PairLogprobs,
    reference: PairLogprobs,
    *,
    beta: Positive = 5.0,
    divergence: Divergence = "reverse_kl",
    divergence_alpha: float = 0.5,
) -> _Losses:
    """LN-DPO: DPO on log-ratios averaged over each answer's tokens (not SimPO: it keeps the reference).

    Args:
        beta: scale of the per-token margin; 5 in Tulu 3 and OLMo 2
        divergence: f-divergence to the reference
        divergence_alpha: alpha of the alpha divergence
    """
    scores = pair_scores(policy - reference, divergence, divergence_alpha)
    return -logsigmoid(beta * scores.per_token().margin)


@objective(
    "exo_pair",
    source="Ji et al. 2024, arXiv:2402.00856",
    formula="p (log p - log(1 - e)) + q (log q - log e), p = sigmoid(beta * margin), q = 1 - p",
    step_zero=lambda label_smoothing, **_: -_LOG2 - 0.5 * math.log(label_smoothing * (1 - label_smoothing)),
    token_options=True,
)
def exo_pair(
    policy: PairLogprobs,
    reference: PairLogprobs,
    *,
    beta: Positive = 0.1,
    label_smoothing: _Smoothing = 1e-3,
    divergence: Divergence = "reverse_kl",
    divergence_alpha: float = 0.5,
) -> _Losses:
    """EXO: the reverse KL from the policy's preference to the (smoothed) label.

    Args:
        beta: strength of the pull to the reference
        label_smoothing: e of the label distribution (1 - e, e); above 0
        divergence: f-divergence to the reference
        divergence_alpha: alpha of the alpha divergence
    """
    logits, e = beta * _margin(policy, reference, divergence, divergence_alpha), label_smoothing
    log_p, log_q = logsigmoid(logits), logsigmoid(-logits)
    return log_p.exp() * (log_p - math.log(1 - e)) + log_q.exp() * (log_q - math.log(e))


@objective(
    "discopop",
    source="Lu et al. 2024, arXiv:2406.08414 (log-ratio modulated loss)",
    formula="(1 - m) (-logsigmoid(l)) + m exp(-l), l = beta * margin, m = sigmoid(l / tau)",
    step_zero=lambda **_: 0.5 * _LOG2 + 0.5,
    token_options=True,
)
def discopop(
    policy: PairLogprobs,
    reference: PairLogprobs,
    *,
    beta: Positive = 0.05,
    tau: Annotated[float, Gt(0), Lt(1)] = 0.05,
    divergence: Divergence = "reverse_kl",
    divergence_alpha: float = 0.5,
) -> _Losses:
    """DiscoPOP: a discovered blend of the logistic and the exponential loss.

    Args:
        beta: strength of the pull to the reference
        tau: temperature of the blend, below 1
        divergence: f-divergence to the reference
        divergence_alpha: alpha of the alpha divergence
    """
    logits = beta * _margin(policy, reference, divergence, divergence_alpha)
    # m exp(-l) in log space: at l far below 0 m vanishes faster than exp(-l) grows, since tau < 1.
    exponential = (logsigmoid(logits / tau) - logits).exp()
    return -torch.sigmoid(-logits / tau) * logsigmoid(logits) + exponential


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


@objective(
    "rdpo",
    source="Park et al. 2024, arXiv:2403.19159 (length-regularised DPO)",
    formula="-logsigmoid(beta * margin + length_penalty * (n_c - n_r))",
)
def rdpo(
    policy: PairLogprobs, reference: PairLogprobs, *, beta: Positive = 0.1, length_penalty: NonNegative = 0.01
) -> _Losses:
    """R-DPO: DPO for a reward that costs a little per token, so that length alone wins nothing.

    Args:
        beta: strength of the pull to the reference
        length_penalty: the paper's alpha, reward lost per token
    """
    longer = (policy.chosen_tokens - policy.rejected_tokens).to(policy.chosen.dtype)
    return -logsigmoid(beta * (policy - reference).margin + length_penalty * longer)


@objective(
    "rpo",
    source="Pang et al. 2024 (iterative RPO), arXiv:2404.19733; Liu et al. 2024, arXiv:2405.16436",
    formula="-logsigmoid(beta * margin) - nll_weight * logp_c / n_c",
)
def rpo(
    policy: PairLogprobs, reference: PairLogprobs, *, beta: Positive = 0.1, nll_weight: Positive = 1.0
) -> tuple[_Losses, dict[str, _Losses]]:
    """DPO with a likelihood term on the chosen answer, which keeps it from becoming unlikely.

    Args:
        beta: strength of the pull to the reference
        nll_weight: weight of the chosen answer's mean negative log-prob per token (nats)
    """
    nll = -policy.per_token().chosen
    return -logsigmoid(beta * (policy - reference).margin) + nll_weight * nll, {"nll_loss": nll}


@objective(
    "odpo",
    source="Amini et al. 2024, arXiv:2402.10571 (DPO with an offset)",
    formula="-logsigmoid(beta * margin - offset_weight * f(score_c - score_r)), f: log or linear",
)
def odpo(
    policy: PairLogprobs,
    reference: PairLogprobs,
    margins: Float[Tensor, " pairs"],
    *,
    beta: Positive = 0.1,
    offset_weight: NonNegative = 1.0,
    logarithm: bool = True,
) -> _Losses:
    """ODPO: pairs whose scores lie further apart must be told apart by a larger margin.

    Needs the difference of scores of every pair (column ``margin`` or the scores of both answers), above 0.

    Args:
        beta: strength of the pull to the reference
        offset_weight: the paper's alpha, weight of the offset
        logarithm: offset by the log of the score difference (the paper's choice), or by the difference itself
    """
    floor = torch.finfo(policy.chosen.dtype).tiny
    offset = margins.clamp(min=floor).log() if logarithm else margins
    return -logsigmoid(beta * (policy - reference).margin - offset_weight * offset.to(policy.chosen.dtype))


@objective(
    "aot",
    source="Melnyk et al. 2024, arXiv:2406.05882 (paired); sorted over the pairs of the whole step",
    formula="-(1 - e) logsigmoid(beta d) - e logsigmoid(-beta d), d = sort(logp_c - logp_r) - sort(ref_c - ref_r)",
    step_zero=lambda **_: _LOG2,
    couples="step",
)
def aot(
    policy: PairLogprobs, reference: PairLogprobs, *, beta: Positive = 0.1, label_smoothing: Probability = 0.0
) -> _Losses:
    """AOT: the distribution of the policy's margins should dominate that of the reference's.

    Args:
        beta: strength of the pull to the reference
        label_smoothing: share of labels that may be flipped
    """
    return _smoothed(beta * (policy.margin.sort().values - reference.margin.sort().values), label_smoothing)


@objective(
    "aot_unpaired",
    source="Melnyk et al. 2024, arXiv:2406.05882 (unpaired); sorted over the answers of the whole step",
    formula="-(1 - e) logsigmoid(beta d) - e logsigmoid(-beta d), d = sort(c) - sort(r), c and r: log-ratios",
    step_zero=lambda **_: _LOG2,
    couples="step",
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
    return _smoothed(beta * (ratio.chosen.sort().values - ratio.rejected.sort().values), label_smoothing)
