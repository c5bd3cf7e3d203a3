"""One optimiser update, top to bottom; and the same sums without gradient, for evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import NonFiniteError
from ..logprobs.reference import Reference, evaluating
from ..logprobs.scorer import CompletionScorer
from ..logprobs.types import PairLogprobs
from ..metrics.scores import Measured, pair_scores
from ..objectives.bound import BoundObjective
from ..tokens.encode import EncodedGroup
from ..tokens.layouts import LAYOUTS
from ..tokens.sampler import micro_batches
from .kinds import KINDS, Groups


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
    max_grad_norm: float | None = 1.0
    """Larger gradient norms are scaled down to it; None: never."""

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The trained parameters."""
        return [p for p in self.scorer.parameters() if p.requires_grad]

    def margins(self, groups: Groups) -> Tensor | None:
        """Score differences of some pairs, where the objective asks for them."""
        if not self.objective.needs_margins:
            return None
        return torch.tensor([g.margin for g in groups], dtype=torch.float64, device=self.scorer.device)

    def micro_batches(self, groups: Groups) -> list[list[EncodedGroup]]:
        """The groups of a step, cut by the token budget."""
        return micro_batches(groups, self.layout, self.token_budget)


@dataclass(frozen=True, slots=True)
class Scored:
    """Log-probs of some groups under the policy and the reference, and the token positions that they cost."""

    groups: Groups
    policy: Any
    """PairLogprobs, FeedbackLogprobs or RankingLogprobs, as the objective takes them."""
    reference: Any | None
    tokens: int


def train_step(groups: Groups, method: Method, optimizer: torch.optim.Optimizer) -> tuple[Measured, float]:
    """One update on the mean loss of the step's pairs, exact under any cut into micro-batches.

    Returns what the step's pairs scored before the update, and the gradient norm before clipping.

    Raises:
        NonFiniteError: a loss or the gradient is NaN or infinite; nothing was updated.
    """
    measured = Measured()
    optimizer.zero_grad(set_to_none=True)
    if method.objective.couples_step:
        _coupled_backward(groups, method, measured)
    else:
        for micro in method.micro_batches(groups):
            losses = _losses(_score(micro, method), method, measured)
            (losses.sum() / len(groups)).backward()
    norm = float(nn.utils.clip_grad_norm_(method.parameters, method.max_grad_norm or math.inf))
    if not math.isfinite(norm):
        optimizer.zero_grad(set_to_none=True)
        raise NonFiniteError(f"the gradient of this step is {norm}; nothing was updated. Pairs: {_named(groups)}")
    optimizer.step()
    return measured, norm


def _coupled_backward(groups: Groups, method: Method, measured: Measured) -> None:
    """Backward of a loss that looks at the whole step: first d(loss)/d(log-prob) of every answer, then the model.

    The dropout of both passes is the same, because each micro-batch starts from its own seed.
    """
    batches, seed = method.micro_batches(groups), torch.initial_seed()
    with torch.no_grad():
        scored = _joined([_seeded_score(micro, method, seed + i) for i, micro in enumerate(batches, 1)])
    leaves = [value.detach().requires_grad_() for value in scored.policy.values]
    losses = _losses(replace(scored, policy=scored.policy.with_values(leaves)), method, measured)
    slopes = torch.autograd.grad(losses.sum() / len(groups), leaves)
    done = 0
    for i, micro in enumerate(batches, 1):
        values = _seeded_score(micro, method, seed + i).policy.values
        part = slice(done, done + len(micro))
        # Rankings are padded to the longest of the micro-batch here, and to that of the step before.
        terms = ((s[part][..., : v.shape[-1]] * v).sum() for s, v in zip(slopes, values, strict=True))
        torch.stack(list(terms)).sum().backward()
        done += len(micro)


def _seeded_score(micro: Groups, method: Method, seed: int) -> Scored:
    torch.manual_seed(seed)
    return _score(micro, method)


@torch.no_grad()
def measure(groups: Groups, method: Method, *, proceed: Callable[[int], bool] = lambda _: True) -> Measured | None:
    """What some groups score without gradient, in eval mode; None where ``proceed(pairs done)`` says to stop."""
    measured = Measured()
    scored: list[Scored] = []
    with evaluating(method.scorer):
        for micro in method.micro_batches(groups):
            part = _score(micro, method)
            if method.objective.couples_step:
                scored.append(part)
            else:
                _losses(part, method, measured)
            if not proceed(len(micro)):
                return None
    if scored:
        _losses(_joined(scored), method, measured)
    return measured


def _score(micro: Groups, method: Method) -> Scored:
    kind, batch = KINDS[method.objective.data], LAYOUTS[method.layout](micro).to(method.scorer.device)
    policy = kind.read(method.scorer(batch), micro)
    reference = None if method.reference is None else kind.read(method.reference.logprobs(batch), micro)
    return Scored(micro, policy, reference, batch.num_tokens)


def _joined(parts: Sequence[Scored]) -> Scored:
    """All log-probs of a step together, without their tokens."""
    kind = type(parts[0].policy)
    references = [p.reference for p in parts if p.reference is not None]
    return Scored(
        groups=[g for p in parts for g in p.groups],
        policy=kind.joined([p.policy for p in parts]),
        reference=kind.joined(references) if references else None,
        tokens=sum(p.tokens for p in parts),
    )


def _losses(scored: Scored, method: Method, measured: Measured) -> Tensor:
    """Weighted loss of each pair; what was measured goes into the sums, and for pairs into the list."""
    groups, policy = scored.groups, scored.policy
    reference = policy if scored.reference is None else scored.reference
    margins = method.margins(groups)
    losses, extras = method.objective.terms(policy, reference, margins)
    if any(g.weight != 1.0 for g in groups):
        losses = losses * losses.new_tensor([g.weight for g in groups])
    if not bool(losses.isfinite().all()):
        bad = [g for g, finite in zip(groups, losses.isfinite().tolist(), strict=True) if not finite]
        raise NonFiniteError(f"the loss of these pairs is not finite; nothing was updated: {_named(bad)}")
    values = KINDS[method.objective.data].values(policy, scored.reference, losses, method.objective)
    everything = {**values, **extras}
    broken = [name for name, value in everything.items() if not bool(value.isfinite().all())]
    if broken:
        raise NonFiniteError(f"{', '.join(broken)} is not finite; nothing was updated. Pairs: {_named(groups)}")
    measured.meter.add(everything, scored.tokens)
    if isinstance(policy, PairLogprobs):
        measured.pairs += pair_scores([g.key for g in groups], values, scored.reference)
    return losses


def _named(groups: Groups, most: int = 5) -> str:
    names = ", ".join(str(g.origin) for g in groups[:most])
    return names if len(groups) <= most else f"{names} and {len(groups) - most} more"
