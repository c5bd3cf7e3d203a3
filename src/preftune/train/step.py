"""One optimiser update, top to bottom; and the same sums without gradient, for evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import NonFiniteError
from ..logprobs.reference import Reference, evaluating
from ..logprobs.scorer import CompletionScorer
from ..logprobs.types import PairLogprobs
from ..metrics.meter import Meter
from ..metrics.scores import Measured, PairScores, pair_scores
from ..objectives.bound import BoundObjective
from ..tokens.layouts import LAYOUTS
from ..tokens.sampler import Pass, passes, shares
from .kinds import KINDS, Groups, of_processes
from .parallel import ALONE, World
from .sharding import averaging, whole


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
    world: World = ALONE
    replicas: DistributedDataParallel | None = None
    """The scorer in a wrapper that averages gradients; None alone, and where the scorer itself is sharded."""

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The trained parameters."""
        return [p for p in self.scorer.parameters() if p.requires_grad]

    def margins(self, groups: Groups) -> Tensor | None:
        """Score differences of some pairs, where the objective asks for them."""
        if not self.objective.needs_margins:
            return None
        return torch.tensor([g.margin for g in groups], dtype=torch.float64, device=self.scorer.device)

    def passes(self, groups: Groups) -> list[Pass]:
        """What this process does of a step, cut by the token budget."""
        return passes(groups, self.layout, self.token_budget, self.world.rank, self.world.size)

    @property
    def forward(self) -> nn.Module:
        """The scorer as it is called: where there is a gradient, through its replicas."""
        return self.replicas if self.replicas is not None and torch.is_grad_enabled() else self.scorer

    def mean(self, losses: Tensor, pairs: int) -> Tensor:
        """The mean over the ``pairs`` of a step, as far as this process has their losses.

        Gradients are averaged over processes afterwards, hence the size: together it is the sum of losses / pairs.
        """
        return losses.sum() / (pairs / self.world.size)


@dataclass(frozen=True, slots=True)
class Scored:
    """Log-probs of some groups under the policy and the reference, and the token positions that they cost."""

    groups: Groups
    policy: Any
    """PairLogprobs, FeedbackLogprobs or RankingLogprobs, as the objective takes them."""
    reference: Any | None
    tokens: int


@dataclass
class Tally:
    """What a step measured on this process, and which pairs had what that was not finite."""

    measured: Measured = field(default_factory=Measured)
    broken: dict[str, list[str]] = field(default_factory=dict)

    def over(self, world: World) -> Measured:
        """What it measured on all processes.

        Raises:
            NonFiniteError: something is not finite on one of them; raised on all.
        """
        told = world.gather((self.measured.meter.state(), self.measured.pairs, self.broken))
        total, broken = Measured(), dict[str, list[str]]()
        for state, pairs_there, theirs in told:
            total.meter.merge(Meter.from_state(state))
            total.pairs += [PairScores(*scores) for scores in pairs_there]
            for what, pairs in theirs.items():
                broken.setdefault(what, []).extend(pairs)
        for what, pairs in broken.items():
            raise NonFiniteError(f"{what} of these pairs is not finite; nothing was updated: {_named(pairs)}")
        return total


def train_step(groups: Groups, method: Method, optimizer: torch.optim.Optimizer) -> tuple[Measured, float]:
    """One update on the mean loss of the step's pairs, exact under any cut into processes and micro-batches.

    Returns what the step's pairs scored before the update, and the gradient norm before clipping; both are the same on
    every process.

    Raises:
        NonFiniteError: a loss or the gradient is NaN or infinite; nothing was updated.
    """
    tally = Tally()
    optimizer.zero_grad(set_to_none=True)
    backward = _coupled_backward if method.objective.couples_step else _backward
    backward(groups, method, tally)
    try:
        measured = tally.over(method.world)
        norm = float(whole(nn.utils.clip_grad_norm_(method.parameters, method.max_grad_norm or math.inf)))
        if not math.isfinite(norm):
            pairs = _named([str(g.origin) for g in groups])
            raise NonFiniteError(f"the gradient of this step is {norm}; nothing was updated. Pairs: {pairs}")
    except NonFiniteError:
        optimizer.zero_grad(set_to_none=True)
        raise
    optimizer.step()
    return measured, norm


def _backward(groups: Groups, method: Method, tally: Tally) -> None:
    todo = method.passes(groups)
    for number, one in enumerate(todo, 1):
        with averaging(method.replicas, number == len(todo)):
            scored = _score(one.groups, method)
            losses = _nothing(scored) if one.idle else _losses(scored, method, tally)
            method.mean(losses, len(groups)).backward()


def _coupled_backward(groups: Groups, method: Method, tally: Tally) -> None:
    """Backward of a loss that looks at the whole step: first d(loss)/d(log-prob) of every answer, then the model.

    The dropout of both passes is the same, because each micro-batch starts from its own seed.
    """
    todo, seed, world = method.passes(groups), torch.initial_seed(), method.world
    with torch.no_grad():
        parts = [_seeded_score(one.groups, method, seed + i * world.size) for i, one in enumerate(todo, 1)]
    scored, done = _joined(parts, todo, groups, method)
    leaves = [value.detach().requires_grad_() for value in scored.policy.values]
    losses = _losses(replace(scored, policy=scored.policy.with_values(leaves)), method, tally)
    slopes = torch.autograd.grad(method.mean(losses, len(groups)), leaves)
    for i, one in enumerate(todo, 1):
        with averaging(method.replicas, i == len(todo)):
            again = _seeded_score(one.groups, method, seed + i * world.size)
            part = slice(done, done + len(one.groups))
            # Rankings are padded to the longest of the micro-batch here, and to that of the step before.
            terms = ((s[part][..., : v.shape[-1]] * v).sum() for s, v in zip(slopes, again.policy.values, strict=True))
            (_nothing(again) if one.idle else torch.stack(list(terms)).sum()).backward()
            done += len(one.groups)


def _seeded_score(micro: Groups, method: Method, seed: int) -> Scored:
    torch.manual_seed(seed)
    return _score(micro, method)


def _nothing(scored: Scored) -> Tensor:
    """Zero, with a gradient of zero for every parameter."""
    return torch.stack([value.sum() for value in scored.policy.values]).sum() * 0.0


@torch.no_grad()
def measure(groups: Groups, method: Method, *, proceed: Callable[[int], bool] = lambda _: True) -> Measured | None:
    """What some groups score without gradient, in eval mode; None where ``proceed(pairs done)`` says to stop.

    ``proceed`` hears of this process's pairs, and has to answer the same on every process.
    """
    tally, parts, todo = Tally(), [], method.passes(groups)
    with evaluating(method.scorer):
        for one in todo:
            part = _score(one.groups, method)
            if method.objective.couples_step:
                parts.append(part)
            elif not one.idle:
                _losses(part, method, tally)
            if not proceed(0 if one.idle else len(one.groups)):
                return None
    if parts:
        _losses(_joined(parts, todo, groups, method)[0], method, tally)
    return tally.over(method.world)


def _score(micro: Groups, method: Method) -> Scored:
    kind, batch = KINDS[method.objective.data], LAYOUTS[method.layout](micro).to(method.scorer.device)
    policy = kind.read(method.forward(batch), micro)
    reference = None if method.reference is None else kind.read(method.reference.logprobs(batch), micro)
    return Scored(micro, policy, reference, batch.num_tokens)


def _joined(parts: Sequence[Scored], todo: Sequence[Pass], groups: Groups, method: Method) -> tuple[Scored, int]:
    """All log-probs of a step together, of all processes and without their tokens, and where this one's begin.

    ``tokens`` counts those of this process.
    """
    world, own = method.world, [part for part, one in zip(parts, todo, strict=True) if not one.idle]
    here = own or parts[:1]  # a process without pairs sends its idle ones, which nobody takes
    dealt = shares(groups, method.layout, method.token_budget, world.size)
    order = [[g for micro in share for g in micro] for share in dealt]

    def together(records: Sequence[Any]) -> Any:
        joined = type(records[0]).joined(records)
        return type(joined).joined([r for r, theirs in zip(of_processes(joined, world), order, strict=True) if theirs])

    scored = Scored(
        groups=[g for theirs in order for g in theirs],
        policy=together([p.policy for p in here]),
        reference=None if here[0].reference is None else together([p.reference for p in here]),
        tokens=sum(p.tokens for p in own),
    )
    return scored, sum(map(len, order[: world.rank]))


def _losses(scored: Scored, method: Method, tally: Tally) -> Tensor:
    """Weighted loss of each pair; what was measured goes into the sums, and for pairs into the list."""
    groups, policy = scored.groups, scored.policy
    reference = policy if scored.reference is None else scored.reference
    losses, extras = method.objective.terms(policy, reference, method.margins(groups))
    if any(g.weight != 1.0 for g in groups):
        losses = losses * losses.new_tensor([g.weight for g in groups])
    values = KINDS[method.objective.data].values(policy, scored.reference, losses, method.objective)
    _count({**values, **extras}, scored, losses, method, tally)
    return losses


def _count(values: dict[str, Tensor], scored: Scored, losses: Tensor, method: Method, tally: Tally) -> None:
    """Keep the values, or note what is not finite. A step that was joined counts on the first process only."""
    if method.objective.couples_step and not method.world.is_first:
        tally.measured.meter.tokens += scored.tokens
    elif not bool(losses.isfinite().all()):
        bad = [g for g, finite in zip(scored.groups, losses.isfinite().tolist(), strict=True) if not finite]
        tally.broken.setdefault("the loss", []).extend(str(g.origin) for g in bad)
    elif broken := [name for name, value in values.items() if not bool(value.isfinite().all())]:
        tally.broken.setdefault(", ".join(broken), []).extend(str(g.origin) for g in scored.groups)
    else:
        tally.measured.meter.add(values, scored.tokens)
        if isinstance(scored.policy, PairLogprobs):
            tally.measured.pairs += pair_scores([g.key for g in scored.groups], values, scored.reference)


def _named(pairs: Sequence[str], most: int = 5) -> str:
    names = ", ".join(pairs[:most])
    return names if len(pairs) <= most else f"{names} and {len(pairs) - most} more"
