"""What is measured on liked and disliked answers, and on rankings; names as for pairs where they mean the same."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..logprobs.types import FeedbackLogprobs, RankingLogprobs
from .pairs import accuracy


def feedback_values(
    policy: FeedbackLogprobs, reference: FeedbackLogprobs, losses: Tensor, beta: float
) -> dict[str, Tensor]:
    """Values per record: ``chosen`` ones over liked answers only, ``rejected`` ones over disliked answers only.

    A record counts as right where a liked answer's reward is above 0, or a disliked one's below; ties one half.
    """
    answers = policy.answer.detach()
    ratio = answers - reference.answer
    liked, disliked = policy.desirable, ~policy.desirable
    sign = torch.where(liked, 1.0, -1.0).to(ratio.dtype)
    per_token = ratio / policy.answer_tokens
    return {
        "loss": losses.detach(),
        "rewards/chosen": beta * ratio[liked],
        "rewards/rejected": beta * ratio[disliked],
        "rewards/accuracies": accuracy(sign * ratio),
        "logps/chosen": answers[liked],
        "logps/rejected": answers[disliked],
        "kl_div": ratio[liked],
        "log_ratio_per_token/chosen": per_token[liked],
        "log_ratio_per_token/rejected": per_token[disliked],
    }


def with_margin(means: Mapping[str, float], prefix: str = "") -> dict[str, float]:
    """Means with the margin between classes, where records are not paired: mean liked less mean disliked reward."""
    chosen, rejected = (means.get(f"{prefix}rewards/{side}") for side in ("chosen", "rejected"))
    name = f"{prefix}rewards/margins"
    if name in means or chosen is None or rejected is None:
        return dict(means)
    return {**means, name: chosen - rejected}


def ranking_values(
    policy: RankingLogprobs, reference: RankingLogprobs, losses: Tensor, beta: float
) -> dict[str, Tensor]:
    """Values per ranking: ``chosen`` is its best, ``rejected`` its worst answer.

    The accuracy of a ranking is the share of its pairs of answers that the rewards order rightly; ties one half.
    """
    answers = policy.answers.detach()
    ratio = answers - reference.answers
    per_token = ratio / policy.answer_tokens.clamp(min=1)  # absent answers are padding
    best, worst = (getattr(_with_answers(policy, x), side) for x, side in ((ratio, "best"), (ratio, "worst")))
    return {
        "loss": losses.detach(),
        "rewards/chosen": beta * best,
        "rewards/rejected": beta * worst,
        "rewards/accuracies": _ordered_rightly(ratio, policy.present),
        "rewards/margins": beta * (best - worst),
        "logps/chosen": _with_answers(policy, answers).best,
        "logps/rejected": _with_answers(policy, answers).worst,
        "kl_div": best,
        "log_ratio_per_token/chosen": _with_answers(policy, per_token).best,
        "log_ratio_per_token/rejected": _with_answers(policy, per_token).worst,
    }


def _with_answers(like: RankingLogprobs, answers: Tensor) -> RankingLogprobs:
    return RankingLogprobs(answers, like.answer_tokens, like.present)


def _ordered_rightly(rewards: Tensor, present: Tensor) -> Tensor:
    better = rewards[:, :, None] - rewards[:, None, :]
    counted = (present[:, :, None] & present[:, None, :]).triu(1)
    return (accuracy(better) * counted).sum((1, 2)) / counted.sum((1, 2))
