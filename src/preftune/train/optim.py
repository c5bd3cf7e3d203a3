"""The optimiser, its state as plain tensors, and the learning rate as a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from .sharding import divided_like, whole


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


@dataclass(frozen=True, slots=True)
class OptimizerChoice:
    """Which optimiser, and what it takes besides the learning rate."""

    name: Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "rmsprop", "sgd"] = "adamw"
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8


def build_optimizer(
    parameters: Mapping[str, nn.Parameter], choice: OptimizerChoice = OptimizerChoice()
) -> torch.optim.Optimizer:
    """The optimiser over named parameters, its rate still 0; biases and norms (one dimension) are not decayed.

    Raises:
        ConfigError: it needs bitsandbytes, which is not installed.
    """
    decayed = [p for p in parameters.values() if p.ndim > 1]
    others = [p for p in parameters.values() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": choice.weight_decay}, {"params": others, "weight_decay": 0.0}]
    filled: list[dict[str, Any]] = [group for group in groups if group["params"]]
    match choice.name:
        case "adamw":
            # Fused: one pass over each parameter instead of eight, and no second copy of it in between.
            return torch.optim.AdamW(filled, lr=0.0, betas=choice.betas, eps=choice.epsilon, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(filled, lr=0.0, eps=choice.epsilon)
        case "sgd":
            return torch.optim.SGD(filled, lr=0.0)
        case "adamw_8bit" | "paged_adamw_8bit":
            kind = getattr(_bitsandbytes(choice.name).optim, _EIGHT_BIT[choice.name])
            return cast(torch.optim.Optimizer, kind(filled, lr=0.0, betas=choice.betas, eps=choice.epsilon))


_EIGHT_BIT = {"adamw_8bit": "AdamW8bit", "paged_adamw_8bit": "PagedAdamW8bit"}


def _bitsandbytes(name: str) -> Any:
    try:
        return import_module("bitsandbytes")
    except ImportError:
        raise ConfigError(
            f"train.optimizer: {name} needs bitsandbytes: pip install 'preftune[quantization]', or use adamw"
        ) from None


def adamw(parameters: Mapping[str, nn.Parameter], *, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    """AdamW on named parameters with its usual values."""
    return build_optimizer(parameters, OptimizerChoice(weight_decay=weight_decay))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of the next update."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def optimizer_tensors(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]
) -> Iterator[tuple[str, Tensor]]:
    """The optimiser's state as ``<parameter>|<field>`` and a tensor, whole where processes divide it."""
    for name, parameter in parameters.items():
        for key, value in optimizer.state.get(parameter, {}).items():
            yield f"{name}|{key}", whole(value.detach()).clone() if isinstance(value, Tensor) else torch.tensor(value)


def restore_optimizer(
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, nn.Parameter],
    tensors: Iterable[tuple[str, Tensor]],
) -> None:
    """Put back what ``optimizer_tensors`` returned, divided as the parameters are."""
    fused, in_tensors = (isinstance(optimizer, kind) for kind in (torch.optim.AdamW, torch.optim.RMSprop))
    for key, value in tensors:
        name, _, entry = key.rpartition("|")
        parameter = parameters[name]
        if value.ndim:
            optimizer.state[parameter][entry] = divided_like(value, parameter).to(parameter.device)
        elif fused:  # the step counter: a tensor beside the parameter, on the CPU, or a number (bitsandbytes)
            optimizer.state[parameter][entry] = value.to(parameter.device)
        else:
            optimizer.state[parameter][entry] = value if in_tensors else value.item()
