"""What the rules of the diagnosis are given: facts of the run, and what its pairs have done so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..metrics.diagnose import Evidence, Facts, Finding, Spike, Verdict, gradient_spikes, verdict, watch
from ..metrics.held_out import held_out_report
from ..metrics.pair_history import FIELDS, Floats, PairHistory
from ..objectives.advice import Advice, beta_advice, learning_rate_advice
from .pairs import PairRecorder, cases
from .prepare import Prepared
from .reference import Referee

Row = Mapping[str, float | int]


def facts_of(prepared: Prepared, referee: Referee) -> Facts:
    """What is known before the first step."""
    policy, plan, objective = prepared.policy, prepared.plan, prepared.objective
    first = objective.parts[0]
    beta = first.parameters.get("beta") if objective.needs_reference else None
    groups, checks = prepared.data.train, prepared.data.checks
    weight = sum(group.weight for group in groups) / len(groups)
    at_start = objective.step_zero if referee.is_start_model else None
    dtype = next(iter(policy.parameters.values())).dtype
    return Facts(
        warmup_steps=plan.warmup,
        steps=plan.steps,
        beta=beta,
        beta_range=_range(beta_advice(first.objective.name, policy.size)),
        loss_at_start=None if at_start is None else at_start * weight,
        learning_rate=plan.learning_rate,
        learning_rate_range=_range(learning_rate_advice(policy.size, lora=policy.is_adapter)),
        trained_dtype=str(dtype).removeprefix("torch."),
        train_pairs=len(groups),
        distinct_pairs=len({group.pair_id for group in groups}),
        style_accuracy=None if checks is None else checks.statistics.get("style", {}).get("accuracy"),
    )


def _range(advice: Advice | None) -> tuple[float, float] | None:
    return None if advice is None else (advice.low, advice.high)


@dataclass
class Diagnosis:
    """The rules, asked about a run as it goes on: each finding is told once.

    They look at all rows so far, so a long run is not asked at every row but each time its log has grown by a fiftieth.
    """

    prepared: Prepared
    facts: Facts
    pairs: PairRecorder
    _told: set[str] = field(default_factory=set)
    _rows_seen: int = 0
    _report: tuple[int, Mapping[str, Any]] = (-1, {})

    def news(self, rows: Sequence[Row]) -> list[Finding]:
        """Findings that were not told before."""
        if len(rows) < self._rows_seen * 1.02:
            return []
        self._rows_seen = len(rows)
        found = [finding for finding in watch(self.evidence(rows)) if finding.code not in self._told]
        self._told.update(finding.code for finding in found)
        return found

    def verdict(self, rows: Sequence[Row]) -> Verdict:
        """The judgement at the end."""
        return verdict(self.evidence(rows))

    def evidence(self, rows: Sequence[Row]) -> Evidence:
        """What the rules look at."""
        spikes = [self._with_pair(spike) for spike in gradient_spikes(self.pairs.grad_norms)]
        return Evidence(rows, self.facts, self._held_out(), spikes)

    def _held_out(self) -> Mapping[str, Any]:
        history = self.pairs.histories["held_out"]
        step = max(history.steps, default=-1)
        if self.prepared.objective.data == "pairs" and step > self._report[0]:
            self._report = step, held_out_report(cases(self.prepared.data.held_out, self._scores(history)))
        return self._report[1]

    def _scores(self, history: PairHistory) -> Floats:
        """The last scores; where there is no reference, those before training stand in its place."""
        scores = history.last()
        if not self.prepared.objective.needs_reference:
            start = history.first()
            for side in ("chosen", "rejected"):
                scores[:, FIELDS.index(f"{side}_reference")] = start[:, FIELDS.index(f"{side}_logp")]
        return scores

    def _with_pair(self, spike: Spike) -> Spike:
        rows = self.pairs.histories["train"].at(spike.step)
        if not len(rows):
            return spike
        losses = rows[:, 1 + FIELDS.index("loss")]
        worst = rows[losses.argmax()]
        origin = self.prepared.data.train[int(worst[0])].origin
        return replace(spike, pair=str(origin), loss=float(losses.max()))
