"""The optimiser, its state as plain tensors, and the learning rate as a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Schedule:
    """Learning rate over the updates of a run: linear warm-up, then cosine, linear or constant.

    Update k (from 0) has ``peak * k / warmup`` while k < warmup, as in transformers: the first update of a
    warm-up has rate 0. ``warmup`` is a number of updates.
    """

    peak: float
    total: int
    warmup: int
    shape: Literal["cosine", "linear", "constant"] = "cosine"

    def rate(self, update: int) -> float:
        """Learning rate of update ``update`` (from 0)."""
        if update < self.warmup:
            return self.peak * update / max(1, self.warmup)
        progress = (update - self.warmup) / max(1, self.total - self.warmup)
        if self.shape == "constant":
            return self.peak
        if self.shape == "linear":
            return self.peak * max(0.0, 1 - progress)
        return self.peak * max(0.0, 0.5 * (1 + math.cos(math.pi * progress)))


def warmup_steps(warmup: float, total: int) -> int:
    """A fraction of the run below 1, else a number of updates."""
    return math.ceil(warmup * total) if warmup < 1 else int(warmup)


def adamw(
    parameters: Mapping[str, nn.Parameter], *, weight_decay: float = 0.0, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.AdamW:
    """AdamW on named parameters; biases and norms (one dimension) are not decayed."""
    decayed = [p for p in parameters.values() if p.ndim > 1]
    others = [p for p in parameters.values() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=0.0, betas=betas, eps=1e-8)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of the next update."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_tensors(optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The optimiser's state as ``<parameter>|<field>`` tensors, for safetensors."""
    return {
        f"{name}|{key}": value.detach().clone() if isinstance(value, Tensor) else torch.tensor(value)
        for name, parameter in parameters.items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Put back what ``optimizer_tensors`` returned."""
    for key, value in tensors.items():
        name, _, entry = key.rpartition("|")
        parameter = parameters[name]
        # AdamW keeps its step counter on the CPU whatever the parameter's device.
        optimizer.state[parameter][entry] = value if value.ndim == 0 else value.to(parameter.device)
