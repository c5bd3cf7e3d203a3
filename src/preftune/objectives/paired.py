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
from .scores import Divergence, pair_scores, smoothed

_LOG2 = math.log(2)
_Losses = Float[Tensor, " pairs"]
_Smoothing = Annotated[float, Gt(0), Lt(0.5)]


def _margin(policy: PairLogprobs, reference: PairLogprobs, divergence: Divergence, alpha: float) -> Tensor:
    return pair_scores(policy - reference, divergence, alpha).margin


@objective(
    "sigmoid",
    source="Rafailov et al. 2023, arXiv:2305.18290, Eq. 7; label_smoothing: Mitchell 2023 (conservative DPO)",
    formula="-(1 - e) logsigmoid(beta * margin) - e logsigmoid(-beta * margin)",
    step_zero=lambda **_: _LOG2,
    token_options=True,
    unlike_trl="label_smoothing is honoured (cDPO); TRL accepts it and trains without it",
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
    return smoothed(beta * _margin(policy, reference, divergence, divergence_alpha), label_smoothing)


@objective(
    "robust",
    source="Chowdhury et al. 2024, arXiv:2403.00409",
    formula="(-(1 - e) logsigmoid(beta * margin) + e logsigmoid(-beta * margin)) / (1 - 2e)",
    step_zero=lambda **_: _LOG2,
    token_options=True,
    unlike_trl="label_smoothing of one half or more is refused; TRL warns and divides by zero or less",
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
    unlike_trl="computed in log space, so finite where TRL gives NaN (beta * margin below -89 in fp32)",
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
    unlike_trl="each answer's likelihood counts the same; in TRL (sigmoid + sft) each token of a micro-batch does",
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
