"""One optimiser update, top to bottom; and the same sums without gradient, for evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ..errors import NonFiniteError
from ..logprobs.reference import Reference, evaluating
from ..logprobs.scorer import CompletionScorer
from ..logprobs.types import PairLogprobs
from ..metrics.meter import Meter
from ..metrics.pairs import pair_values
from ..objectives.bound import BoundObjective
from ..tokens.encode import EncodedGroup
from ..tokens.layouts import LAYOUTS
from ..tokens.sampler import micro_batches

Groups = Sequence[EncodedGroup]


@dataclass(frozen=True)
class Method:
    """What every step uses and no step changes (but for the scorer's trained parameters)."""

    scorer: CompletionScorer
    reference: Reference | None
    """None for an objective without a reference."""
    objective: BoundObjective
    layout: str
    token_budget: int
    """Token positions per micro-batch."""
    max_grad_norm: float = 1.0

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The trained parameters."""
        return [p for p in self.scorer.parameters() if p.requires_grad]

    def micro_batches(self, groups: Groups) -> list[list[EncodedGroup]]:
        """The groups of a step, cut by the token budget."""
        return micro_batches(groups, self.layout, self.token_budget)


@dataclass(frozen=True, slots=True)
class Scored:
    """Log-probs of some groups under the policy and the reference, and the token positions that they cost."""

    groups: Groups
    policy: PairLogprobs
    reference: PairLogprobs | None
    tokens: int


def train_step(groups: Groups, method: Method, optimizer: torch.optim.Optimizer) -> tuple[Meter, float]:
    """One update on the mean loss of the step's pairs, exact under any cut into micro-batches.

    Returns the step's sums and the gradient norm before clipping.

    Raises:
        NonFiniteError: a loss or the gradient is NaN or infinite; nothing was updated.
    """
    meter = Meter()
    optimizer.zero_grad(set_to_none=True)
    if method.objective.couples_step:
        _coupled_backward(groups, method, meter)
    else:
        for micro in method.micro_batches(groups):
            losses = _losses(_score(micro, method), method, meter)
            (losses.sum() / len(groups)).backward()
    norm = float(nn.utils.clip_grad_norm_(method.parameters, method.max_grad_norm))
    if not math.isfinite(norm):
        optimizer.zero_grad(set_to_none=True)
        raise NonFiniteError(f"the gradient of this step is {norm}; nothing was updated. Pairs: {_named(groups)}")
    optimizer.step()
    return meter, norm


def _coupled_backward(groups: Groups, method: Method, meter: Meter) -> None:
    """Backward of a loss that looks at the whole step: first d(loss)/d(log-prob) of every answer, then the model.

    The dropout of both passes is the same, because each micro-batch starts from its own seed.
    """
    batches, seed = method.micro_batches(groups), torch.initial_seed()
    with torch.no_grad():
        scored = _joined([_seeded_score(micro, method, seed + i) for i, micro in enumerate(batches, 1)])
    leaves = scored.policy.derived(
        *(x.detach().requires_grad_() for x in (scored.policy.chosen, scored.policy.rejected))
    )
    losses = _losses(replace(scored, policy=leaves), method, meter)
    slopes = torch.autograd.grad(losses.sum() / len(groups), (leaves.chosen, leaves.rejected))
    done = 0
    for i, micro in enumerate(batches, 1):
        policy = _seeded_score(micro, method, seed + i).policy
        chosen, rejected = (slope[done : done + len(micro)] for slope in slopes)
        (chosen * policy.chosen + rejected * policy.rejected).sum().backward()
        done += len(micro)


def _seeded_score(micro: Groups, method: Method, seed: int) -> Scored:
    torch.manual_seed(seed)
    return _score(micro, method)


@torch.no_grad()
def measure(groups: Groups, method: Method, *, proceed: Callable[[int], bool] = lambda _: True) -> Meter | None:
    """The sums of some groups without gradient, in eval mode; None where ``proceed(pairs done)`` says to stop."""
    meter, scored = Meter(), []
    with evaluating(method.scorer):
        for micro in method.micro_batches(groups):
            part = _score(micro, method)
            if method.objective.couples_step:
                scored.append(part)
            else:
                _losses(part, method, meter)
            if not proceed(len(micro)):
                return None
    if scored:
        _losses(_joined(scored), method, meter)
    return meter


def _score(micro: Groups, method: Method) -> Scored:
    batch = LAYOUTS[method.layout](micro).to(method.scorer.device)
    policy = PairLogprobs.from_sequences(method.scorer(batch))
    reference = None if method.reference is None else PairLogprobs.from_sequences(method.reference.logprobs(batch))
    return Scored(micro, policy, reference, batch.num_tokens)


def _joined(parts: Sequence[Scored]) -> Scored:
    """All log-probs of a step together, without their tokens."""
    references = [p.reference for p in parts if p.reference is not None]
    return Scored(
        groups=[g for p in parts for g in p.groups],
        policy=_concatenated(p.policy for p in parts),
        reference=_concatenated(references) if references else None,
        tokens=sum(p.tokens for p in parts),
    )


def _concatenated(parts: Iterable[PairLogprobs]) -> PairLogprobs:
    parts = list(parts)
    return PairLogprobs(
        chosen=torch.cat([p.chosen for p in parts]),
        rejected=torch.cat([p.rejected for p in parts]),
        chosen_tokens=torch.cat([p.chosen_tokens for p in parts]),
        rejected_tokens=torch.cat([p.rejected_tokens for p in parts]),
    )


def _losses(scored: Scored, method: Method, meter: Meter) -> Tensor:
    """Weighted loss of each pair; its values go into the meter."""
    groups, policy = scored.groups, scored.policy
    reference = policy.detach() if scored.reference is None else scored.reference
    margins = policy.chosen.new_tensor([g.margin for g in groups]) if method.objective.needs_margins else None
    losses, extras = method.objective.terms(policy, reference, margins)
    if any(g.weight != 1.0 for g in groups):
        losses = losses * losses.new_tensor([g.weight for g in groups])
    if not bool(losses.isfinite().all()):
        bad = [g for g, finite in zip(groups, losses.isfinite().tolist(), strict=True) if not finite]
        raise NonFiniteError(f"the loss of these pairs is not finite; nothing was updated: {_named(bad)}")
    rewards = method.objective.rewards(policy, reference)
    meter.add({**pair_values(policy, scored.reference, losses, rewards), **extras}, scored.tokens)
    return losses


def _named(groups: Groups, most: int = 5) -> str:
    names = ", ".join(str(g.origin) for g in groups[:most])
    return names if len(groups) <= most else f"{names} and {len(groups) - most} more"
