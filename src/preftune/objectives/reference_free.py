"""Objectives on pairs without a reference. Averages are per token, in nats."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, relu
from torch.nn.functional import logsigmoid

from ..logprobs.types import PairLogprobs
from .registry import NonNegative, Positive, Probability, objective
from .scores import log_odds, smoothed

_Losses = Float[Tensor, " pairs"]
_Terms = tuple[_Losses, dict[str, _Losses]]


def _scaled_average(policy: PairLogprobs, beta: float = 1.0, **_: object) -> PairLogprobs:
    """SimPO's reward: beta times the average log-prob per token."""
    average = policy.per_token()
    return policy.derived(beta * average.chosen, beta * average.rejected)


def _scaled_sum(policy: PairLogprobs, beta: float = 1.0, **_: object) -> PairLogprobs:
    """CPO's reward: beta times the log-prob of the answer."""
    return policy.derived(beta * policy.chosen, beta * policy.rejected)


def _one_gamma(gamma: float | None, gamma_beta_ratio: float | None, **_: object) -> dict[str, str]:
    both = gamma is not None and gamma_beta_ratio is not None
    return {"gamma_beta_ratio": "(gamma / beta) and gamma say the same thing: give one, not both"} if both else {}


@objective(
    "simpo",
    source="Meng et al. 2024, arXiv:2405.14734, Eq. 6; no NLL term",
    formula="-(1 - e) logsigmoid(l) - e logsigmoid(-l), l = beta * (logp_c / n_c - logp_r / n_r) - gamma",
    rewards=_scaled_average,
    conflicts=_one_gamma,
    unlike_trl="no likelihood term; TRL's CPOTrainer adds one unless cpo_alpha is 0 (here: a sum with sft)",
)
def simpo(
    policy: PairLogprobs,
    *,
    beta: Positive = 2.0,
    gamma: NonNegative | None = None,
    gamma_beta_ratio: NonNegative | None = None,
    label_smoothing: Probability = 0.0,
) -> _Losses:
    """SimPO: the average log-prob per token is the reward, and chosen must lead by gamma.

    Args:
        beta: scale of the reward, 2 to 10
        gamma: target lead of the chosen reward, absolute; or give gamma_beta_ratio
        gamma_beta_ratio: gamma / beta, as the authors' repository has it; 0.5 where neither is given
        label_smoothing: share e of labels that may be flipped, as in the authors' repository; 0 is the paper
    """
    lead = gamma if gamma is not None else beta * (0.5 if gamma_beta_ratio is None else gamma_beta_ratio)
    return smoothed(beta * policy.per_token().margin - lead, label_smoothing)


@objective(
    "orpo",
    source="Hong et al. 2024, arXiv:2403.07691, Eq. 6 and 7; the NLL is of the chosen answer given the prompt",
    formula="-logp_c / n_c - beta * logsigmoid(log odds(p_c) - log odds(p_r)), p: mean token probability",
    rewards=_scaled_average,
    unlike_trl="the likelihood term covers the answer; TRL's covers prompt and answer",
)
def orpo(policy: PairLogprobs, *, beta: Positive = 0.1) -> _Terms:
    """ORPO: supervised fine-tuning on the chosen answer with an odds-ratio term against the rejected one.

    Args:
        beta: the paper's lambda, weight of the odds-ratio term
    """
    average = policy.per_token()
    ratio = log_odds(average.chosen) - log_odds(average.rejected)
    return -average.chosen - beta * logsigmoid(ratio), {"nll_loss": -average.chosen, "log_odds_ratio": ratio}


@objective(
    "cpo",
    source="Xu et al. 2024, arXiv:2401.08417; the NLL averaged over the chosen answer's tokens",
    formula="-(1 - e) logsigmoid(l) - e logsigmoid(-l) - nll_weight * logp_c / n_c, l = beta * (logp_c - logp_r)",
    rewards=_scaled_sum,
    unlike_trl="the paper's loss alone. TRL's loss_type hinge is beta times slic with gap 1 / beta; its ipo, which has "
    "no paper, is not built",
)
def cpo(
    policy: PairLogprobs,
    *,
    beta: Positive = 0.1,
    nll_weight: NonNegative = 1.0,
    label_smoothing: Probability = 0.0,
) -> _Terms:
    """CPO: DPO with a uniform reference, and a likelihood term on the chosen answer.

    Args:
        beta: scale of the margin
        nll_weight: weight of the chosen answer's mean negative log-prob per token (nats)
        label_smoothing: share of labels that may be flipped
    """
    logits, nll = beta * policy.margin, -policy.per_token().chosen
    return smoothed(logits, label_smoothing) + nll_weight * nll, {"nll_loss": nll}


@objective(
    "slic",
    source="Zhao et al. 2023 (SLiC-HF), arXiv:2305.10425; the NLL averaged over the chosen answer's tokens",
    formula="max(0, gap - logp_c + logp_r) - nll_weight * logp_c / n_c",
    rewards=_scaled_sum,
)
def slic(policy: PairLogprobs, *, gap: Positive = 1.0, nll_weight: NonNegative = 0.1) -> _Terms:
    """SLiC-HF: the chosen answer must be more likely than the rejected one by a gap, with a likelihood term.

    Args:
        gap: the paper's delta, lead of the chosen answer in nats
        nll_weight: the paper's lambda, weight of the mean negative log-prob per token (nats)
    """
    nll = -policy.per_token().chosen
    return relu(gap - policy.margin) + nll_weight * nll, {"nll_loss": nll}


@objective(
    "sft",
    source="maximum likelihood of the chosen answer, for sums with other losses",
    formula="-logp_c / n_c, the mean over the chosen answer's tokens",
    rewards=_scaled_average,
    unlike_trl="each answer counts the same; in TRL each token of a micro-batch does, so its size changes the loss",
)
def sft(policy: PairLogprobs) -> _Losses:
    """Supervised fine-tuning on the chosen answers: each answer counts the same, whatever its length."""
    return -policy.per_token().chosen
