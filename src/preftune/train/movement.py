"""Whether an update moved the weights at all: bfloat16 weights swallow steps that are too small for their grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_TENSORS, _PER_TENSOR = 16, 1024
"""Tensors looked at, and weights in each, evenly spread: few enough to do so at every update."""


class WeightSample:
    """A sample of the trained weights as they stand, to be compared with what they are after an update."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        few = parameters[:: max(1, len(parameters) // _TENSORS)]
        self._before = [(parameter, _sampled(parameter).clone()) for parameter in few]

    def changed(self) -> float:
        """Share of the sampled weights that are not what they were."""
        changed = [(_sampled(parameter) != before).sum() for parameter, before in self._before]
        total = sum(before.numel() for _, before in self._before)
        return float(torch.stack(changed).sum()) / max(1, total) if changed else 0.0


def _sampled(parameter: nn.Parameter) -> Tensor:
    flat = parameter.detach().flatten()
    return flat[:: max(1, len(flat) // _PER_TENSOR)][:_PER_TENSOR]
