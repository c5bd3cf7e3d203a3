"""Which pairs make which step, and how processes and micro-batches cut it. Nothing random has to be stored."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from .encode import EncodedGroup
from .layouts import layout_cost


@dataclass(frozen=True, slots=True)
class Sampler:
    """The order of training: step -> row numbers, a pure function of (seed, epoch, step)."""

    num_groups: int
    per_step: int
    seed: int = 0
    shuffle: bool = True
    strata: tuple[bool, ...] | None = None
    """Class of each row, where every step should hold the classes in about their shares."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass; the last one of a pass may hold fewer pairs, none is left out."""
        return math.ceil(self.num_groups / self.per_step)

    def total_steps(self, epochs: float, max_steps: int | None) -> int:
        """Steps of the run; ``max_steps`` wins over ``epochs``."""
        return max_steps if max_steps is not None else max(1, math.ceil(epochs * self.steps_per_epoch))

    def step(self, step: int) -> tuple[int, ...]:
        """Row numbers of a step (0-based)."""
        epoch, position = divmod(step, self.steps_per_epoch)
        first = position * self.per_step
        return self._order(epoch)[first : first + self.per_step]

    def epoch_after(self, step: int) -> float:
        """Passes over the data after ``step`` steps."""
        epoch, position = divmod(step, self.steps_per_epoch)
        return epoch + min(1.0, position * self.per_step / self.num_groups)

    def _order(self, epoch: int) -> tuple[int, ...]:
        return _epoch_order(self.num_groups, self.seed if self.shuffle else None, epoch, self.strata)


@lru_cache(maxsize=2)
def _epoch_order(count: int, seed: int | None, epoch: int, strata: tuple[bool, ...] | None) -> tuple[int, ...]:
    """Order of one epoch, kept because every step of it asks again."""
    order = list(range(count))
    if seed is not None:
        Random(f"preftune/{seed}/{epoch}").shuffle(order)  # noqa: S311 - an order, not a secret
    return tuple(order if strata is None else _mixed(order, strata))


def _mixed(order: Sequence[int], strata: Sequence[bool]) -> list[int]:
    """Each class spread evenly over the epoch, in the order given within it."""
    classes = ([i for i in order if strata[i] is one] for one in (True, False))
    placed = [((k + 0.5) / len(rows), i) for rows in classes for k, i in enumerate(rows)]
    return [i for _, i in sorted(placed, key=lambda place: place[0])]


def micro_batches(groups: Sequence[EncodedGroup], layout: str, token_budget: int) -> list[list[EncodedGroup]]:
    """Cut a step into batches of at most ``token_budget`` token positions, by length so that they are even.

    A group longer than the budget gets a batch of its own. The loss is a sum over pairs, so any cut is exact.
    """
    batches: list[list[EncodedGroup]] = []
    for group in _longest_first(groups, layout):
        if batches and layout_cost(layout, [*batches[-1], group]) <= token_budget:
            batches[-1].append(group)
        else:
            batches.append([group])
    return batches


def shares(
    groups: Sequence[EncodedGroup], layout: str, token_budget: int, processes: int
) -> list[list[list[EncodedGroup]]]:
    """The micro-batches of every process: groups are dealt out longest first, each to who has the fewest tokens yet.

    Every process computes the same answer, so each knows what the others do. There may be fewer groups than processes.
    """
    dealt: list[list[EncodedGroup]] = [[] for _ in range(processes)]
    loads = [(0, rank) for rank in range(processes)]
    for group in _longest_first(groups, layout):
        tokens, rank = heapq.heappop(loads)
        dealt[rank].append(group)
        heapq.heappush(loads, (tokens + layout_cost(layout, [group]), rank))
    return [micro_batches(own, layout, token_budget) for own in dealt]


@dataclass(frozen=True, slots=True)
class Pass:
    """One trip through the model. An idle one only keeps a process in step with the others; it counts for nothing."""

    groups: Sequence[EncodedGroup]
    idle: bool = False


def passes(
    groups: Sequence[EncodedGroup], layout: str, token_budget: int, rank: int = 0, processes: int = 1
) -> list[Pass]:
    """What one process does of a step: its micro-batches, then idle passes up to the number that the busiest makes.

    Sharded models (FSDP) gather their parameters in every pass, all processes together, hence the equal number.
    """
    dealt = shares(groups, layout, token_budget, processes)
    own = [Pass(micro) for micro in dealt[rank]]
    idle = Pass([min(groups, key=lambda g: layout_cost(layout, [g]))], idle=True)
    return own + [idle] * (max(map(len, dealt)) - len(own))


def _longest_first(groups: Sequence[EncodedGroup], layout: str) -> list[EncodedGroup]:
    return sorted(groups, key=lambda g: -layout_cost(layout, [g]))
