"""The training loop: steps, rows, checkpoints and held-out evaluation in an order that resume can repeat."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from ..errors import Interrupted, InvariantError
from ..metrics.meter import Meter
from ..metrics.records import with_margin
from ..tokens.encode import EncodedGroup
from ..tokens.sampler import Sampler
from .optim import Schedule, set_rate
from .state import Progress
from .step import Method, measure, train_step

Row = dict[str, float | int]


class Hooks(Protocol):
    """What the loop tells the outside: rows to keep, progress to show, state to save."""

    def row(self, row: Mapping[str, float | int]) -> None:
        """A training row (``step``, ``loss``, ...) or a held-out row (``step``, ``eval_loss``, ...)."""

    def stepped(self, step: int) -> None:
        """A step is done."""

    def evaluated(self, pairs: int) -> None:
        """So many more held-out pairs are done."""

    def save(self, progress: Progress) -> None:
        """Write a checkpoint."""

    def stop_requested(self) -> bool:
        """Whether the run should save and stop."""


@dataclass(frozen=True)
class Fit:
    """One training run: data, method, schedule, and how often things happen (in steps; None = never)."""

    train: Sequence[EncodedGroup]
    held_out: Sequence[EncodedGroup]
    method: Method
    optimizer: torch.optim.Optimizer
    sampler: Sampler
    schedule: Schedule
    hooks: Hooks
    seed: int = 0
    log_every: int = 10
    save_every: int | None = 100
    eval_every: int | None = None
    starts_at_reference: bool = True
    """Whether the start model is the reference, so that step 0 must show the objective's exact loss."""
    evaluated: frozenset[int] = frozenset()
    """Steps whose held-out row exists already (a resumed run)."""

    def run(self, progress: Progress) -> Progress:
        """Train from ``progress`` to the end.

        Raises:
            Interrupted: stopping was asked for; the state is saved.
            NonFiniteError, InvariantError: see there; nothing was updated.
        """
        saved = progress.step
        try:
            if progress.step == 0:
                self._first_row()
            self._evaluate_if_due(progress.step)
            while progress.step < self.schedule.total:
                self._step(progress)
                if self._due(self.save_every, progress.step):
                    self.hooks.save(progress)
                    saved = progress.step
                self._evaluate_if_due(progress.step)
                self._stop_if_asked()
        except Interrupted:
            if progress.step > saved:
                self.hooks.save(progress)
            raise
        return progress

    def _stop_if_asked(self) -> None:
        if self.hooks.stop_requested():
            raise Interrupted("interrupted; the state is saved and the same command goes on from it")

    def _due(self, every: int | None, step: int) -> bool:
        return every is not None and step % every == 0

    def _first_row(self) -> None:
        """Step 0: the loss before any update, in eval mode; it must be the objective's own constant."""
        meter = measure(self._groups(0), self.method)
        if meter is None:
            return
        means = with_margin(meter.means())
        constant = self.method.objective.step_zero
        if self.starts_at_reference and constant is not None:
            groups = self._groups(0)
            check_step_zero(means["loss"], constant * sum(g.weight for g in groups) / len(groups), self.method)
        self.hooks.row({"step": 0, "epoch": 0.0, **means, "num_tokens": 0, "num_pairs": 0})

    def _groups(self, step: int) -> list[EncodedGroup]:
        return [self.train[i] for i in self.sampler.step(step)]

    def _step(self, progress: Progress) -> None:
        started = time.perf_counter()
        groups, rate = self._groups(progress.step), self.schedule.rate(progress.step)
        torch.manual_seed(step_seed(self.seed, progress.step))
        set_rate(self.optimizer, rate)
        meter, norm = train_step(groups, self.method, self.optimizer)
        seconds = time.perf_counter() - started
        progress.step += 1
        progress.tokens += meter.tokens
        progress.pairs += meter.pairs
        progress.seconds += seconds
        progress.window_seconds += seconds
        progress.window_steps += 1
        progress.window.merge(meter)
        if progress.step == 1 or self._due(self.log_every, progress.step) or progress.step == self.schedule.total:
            self._log(progress, rate, norm)
        self.hooks.stepped(progress.step)

    def _log(self, progress: Progress, rate: float, norm: float) -> None:
        window, seconds = progress.window, max(progress.window_seconds, 1e-9)
        row: Row = {
            "step": progress.step,
            "epoch": self.sampler.epoch_after(progress.step),
            **with_margin(window.means()),
            "learning_rate": rate,
            "grad_norm": norm,
            "num_tokens": progress.tokens,
            "num_pairs": progress.pairs,
            "tokens_per_second": window.tokens / seconds,
            "pairs_per_second": window.pairs / seconds,
            "step_seconds": seconds / progress.window_steps,
            "peak_memory_bytes": peak_memory(self.method.scorer.device),
        }
        progress.window, progress.window_seconds, progress.window_steps = Meter(), 0.0, 0
        self.hooks.row(row)

    def _evaluate_if_due(self, step: int) -> None:
        due = step in (0, self.schedule.total) or self._due(self.eval_every, step)
        if not self.held_out or not due or step in self.evaluated:
            return
        started = time.perf_counter()
        meter = measure(self.held_out, self.method, proceed=self._eval_proceeds)
        if meter is None:
            raise Interrupted("interrupted during evaluation; the state is saved and the same command goes on from it")
        seconds = time.perf_counter() - started
        epoch = self.sampler.epoch_after(step)
        values = {**with_margin(meter.means("eval_"), "eval_"), "eval_num_pairs": meter.pairs, "eval_seconds": seconds}
        self.hooks.row({"step": step, "epoch": epoch, **values})

    def _eval_proceeds(self, pairs: int) -> bool:
        self.hooks.evaluated(pairs)
        return not self.hooks.stop_requested()


def check_step_zero(loss: float, expected: float, method: Method) -> None:
    """At step 0 policy and reference are one model, so the loss is a constant of the objective.

    Raises:
        InvariantError: it is not; the reference is not the start model, or dropout is on.
    """
    dtype = method.scorer.autocast or method.parameters[0].dtype
    tolerance = {torch.float64: 1e-9, torch.float32: 1e-5}.get(dtype, 0.05) * max(1.0, expected)
    if not abs(loss - expected) <= tolerance:
        raise InvariantError(
            f"at step 0 the loss is {loss:.6f}, but {method.objective.name} starts at {expected:.6f} when "
            "the policy is the reference: the reference log-probs are not those of the start model. Delete the "
            "reference cache (reference.cache_dir) and check reference.path"
        )


def step_seed(seed: int, step: int) -> int:
    """Seed of everything random within a step, so that no generator state has to be stored."""
    return (seed * 1_000_003 + step) * 4099


def peak_memory(device: torch.device) -> int:
    """Largest memory so far: allocated on the GPU, or resident in the process (bytes)."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
