"""One optimiser update, top to bottom; and the same sums without gradient, for evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import NonFiniteError
from ..logprobs.reference import Reference, evaluating
from ..logprobs.scorer import CompletionScorer
from ..logprobs.types import PairLogprobs
from ..metrics.meter import Meter
from ..metrics.pairs import pair_values
from ..objectives.registry import BoundObjective
from ..tokens.encode import EncodedGroup
from ..tokens.layouts import LAYOUTS
from ..tokens.sampler import micro_batches


@dataclass(frozen=True)
class Method:
    """What every step uses and no step changes (but for the scorer's trained parameters)."""

    scorer: CompletionScorer
    reference: Reference
    objective: BoundObjective
    layout: str
    token_budget: int
    """Token positions per micro-batch."""
    max_grad_norm: float = 1.0

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The trained parameters."""
        return [p for p in self.scorer.parameters() if p.requires_grad]


def train_step(groups: Sequence[EncodedGroup], method: Method, optimizer: torch.optim.Optimizer) -> tuple[Meter, float]:
    """One update on the mean loss of the step's pairs, exact under any cut into micro-batches.

    Returns the step's sums and the gradient norm before clipping.

    Raises:
        NonFiniteError: a loss or the gradient is NaN or infinite; nothing was updated.
    """
    meter = Meter()
    optimizer.zero_grad(set_to_none=True)
    for micro in micro_batches(groups, method.layout, method.token_budget):
        losses = _losses(micro, method, meter)
        (losses.sum() / len(groups)).backward()
    norm = float(nn.utils.clip_grad_norm_(method.parameters, method.max_grad_norm))
    if not math.isfinite(norm):
        optimizer.zero_grad(set_to_none=True)
        raise NonFiniteError(f"the gradient of this step is {norm}; nothing was updated. Pairs: {_named(groups)}")
    optimizer.step()
    return meter, norm


@torch.no_grad()
def measure(
    groups: Sequence[EncodedGroup], method: Method, *, proceed: Callable[[int], bool] = lambda _: True
) -> Meter | None:
    """The sums of a step without gradient, in eval mode; None where ``proceed(pairs done)`` says to stop."""
    meter = Meter()
    with evaluating(method.scorer):
        for micro in micro_batches(groups, method.layout, method.token_budget):
            _losses(micro, method, meter)
            if not proceed(len(micro)):
                return None
    return meter


def _losses(micro: Sequence[EncodedGroup], method: Method, meter: Meter) -> Tensor:
    """Weighted loss of each pair of a micro-batch; its values go into the meter."""
    batch = LAYOUTS[method.layout](micro)
    policy = PairLogprobs.from_sequences(method.scorer(batch))
    reference = PairLogprobs.from_sequences(method.reference.logprobs(batch.to(method.scorer.device)))
    losses = method.objective(policy, reference)
    if any(g.weight != 1.0 for g in micro):
        losses = losses * losses.new_tensor([g.weight for g in micro])
    if not bool(losses.isfinite().all()):
        bad = [g for g, finite in zip(micro, losses.isfinite().tolist(), strict=True) if not finite]
        raise NonFiniteError(f"the loss of these pairs is not finite; nothing was updated: {_named(bad)}")
    meter.add(pair_values(policy, reference, losses, method.objective.beta), batch.num_tokens)
    return losses


def _named(groups: Sequence[EncodedGroup], most: int = 5) -> str:
    names = ", ".join(str(g.origin) for g in groups[:most])
    return names if len(groups) <= most else f"{names} and {len(groups) - most} more"
