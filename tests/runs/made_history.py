"""Histories of runs that never were, for tests of what is written about them."""

from __future__ import annotations

import math
import random

Row = dict[str, int | float]


def training_row(step: int, *, steps: int = 60, kl: float = 6.0, margin: float = 1.0, accuracy: float = 0.8) -> Row:
    """A row of training: everything moves from its start to the given end."""
    way = 1 - math.exp(-4 * step / steps)
    return {
        "step": step,
        "epoch": step / steps,
        "loss": math.log1p(math.exp(-margin * way)),
        "rewards/chosen": 0.4 * margin * way,
        "rewards/rejected": -0.6 * margin * way,
        "rewards/accuracies": 0.5 + (accuracy - 0.5) * way,
        "rewards/margins": margin * way,
        "logps/chosen": -120.0 + kl * way,
        "logps/rejected": -130.0,
        "kl_div": kl * way,
        "log_ratio_per_token/chosen": kl * way / 50,
        "log_ratio_per_token/rejected": -0.1 * way,
        "learning_rate": 5e-6 * (1 - step / (steps + 1)),
        "grad_norm": 3.0,
        "weights_changed": 1.0,
        "num_tokens": 4000 * step,
        "num_pairs": 16 * step,
        "tokens_per_second": 812.5,
        "pairs_per_second": 3.25,
        "step_seconds": 4.9,
        "peak_memory_bytes": 2_000_000_000,
    }


def held_out_row(step: int, *, steps: int = 60, accuracy: float = 0.78, margin: float = 0.9, kl: float = 6.0) -> Row:
    way = 1 - math.exp(-4 * step / steps)
    return {
        "step": step,
        "epoch": step / steps,
        "eval_loss": math.log1p(math.exp(-margin * way)),
        "eval_rewards/chosen": 0.4 * margin * way,
        "eval_rewards/rejected": -0.6 * margin * way,
        "eval_rewards/accuracies": 0.5 + (accuracy - 0.5) * way,
        "eval_rewards/margins": margin * way,
        "eval_logps/chosen": -120.0 + kl * way,
        "eval_logps/rejected": -130.0,
        "eval_kl_div": kl * way,
        "eval_log_ratio_per_token/chosen": kl * way / 50,
        "eval_log_ratio_per_token/rejected": -0.1 * way,
        "eval_num_pairs": 48,
        "eval_seconds": 4.1,
    }


def history(steps: int = 60, every: int = 2, eval_every: int = 20, **ends: float) -> list[Row]:
    """Training rows each ``every`` steps and, where ``eval_every`` is not 0, held-out rows from step 0 on."""
    rows = [held_out_row(0, steps=steps)] if eval_every else []
    for step in range(every, steps + 1, every):
        rows.append(training_row(step, steps=steps, **ends))
        if eval_every and step % eval_every == 0:
            rows.append(held_out_row(step, steps=steps))
    return rows


def noisy(rows: list[Row], seed: int = 0) -> list[Row]:
    chance = random.Random(seed)
    return [
        {k: v + chance.gauss(0, 0.05) if isinstance(v, float) and k != "epoch" else v for k, v in row.items()}
        for row in rows
    ]
