"""What the numbers of a run say: is it healthy, and if not, what to do. Pure functions over the logged rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Row = Mapping[str, int | float]
Severity = Literal["error", "warning", "note"]

KL_HIGH_NATS = 10.0
KL_LOW_NATS = 0.1
HEALTHY_ACCURACY = 0.7
DISPLACEMENT_NATS = -10.0
"""Our mirror of the upper bound: chosen answers have lost this much log-probability on average."""
FLAT_MARGIN_NATS = 0.05
"""Our heuristic: with a mean margin below this, the sigmoid loss is still within 0.025 of ln 2."""
SUSPICIOUS_ACCURACY = 0.95
OVERFIT_GAP = 0.15
GRADIENT_SPIKE = 10.0
_RECENT_ROWS = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to know about a run: a stable code, how bad it is, what was seen and what to do."""

    code: str
    severity: Severity
    message: str
    evidence: dict[str, float] = field(default_factory=dict)
    advice: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a run is healthy, in one sentence, and all findings, worst first."""

    healthy: bool
    sentence: str
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for ``summary.json`` and displays."""
        return asdict(self) | {"findings": [finding.as_dict() for finding in self.findings]}


@dataclass(frozen=True, slots=True)
class _Run:
    """The rows sorted by kind, with the means that the rules look at."""

    train: Sequence[Row]
    held_out: Sequence[Row]
    warmup_steps: int

    @property
    def window(self) -> int:
        """How many rows stand for "now", against the noise of single steps: five, or a third of few."""
        return max(1, min(_RECENT_ROWS, len(self.train) // 3))

    def recent(self, name: str) -> float | None:
        """Mean over the last training rows."""
        return _mean(_values(self.train[-self.window :], name))

    def early(self, name: str) -> float | None:
        """Mean over the first training rows."""
        return _mean(_values(self.train[: self.window], name))

    def change(self, name: str) -> tuple[float | None, float | None]:
        """Start and end: held-out where it was measured twice, else training."""
        held_out = _values(self.held_out, f"eval_{name}")
        return (held_out[0], held_out[-1]) if len(held_out) > 1 else (self.early(name), self.recent(name))

    @property
    def past_warmup(self) -> bool:
        """Whether all rows that stand for "now" were logged after the warm-up."""
        return self.train[-self.window]["step"] > self.warmup_steps


def verdict(history: Sequence[Row], *, warmup_steps: int = 0) -> Verdict:
    """Judge a run, or what there is of it, by its logged rows (training: ``loss``; held-out: ``eval_loss``).

    Healthy is: accuracy ends above 0.7 and above its start, the margin has grown, ``kl_div`` is below 10 nats, and
    no number is broken. ``warmup_steps`` is the length of the learning rate's warm-up in updates.
    """
    run = _sorted(history, warmup_steps)
    if not run.train:
        return Verdict(False, "Not judged: no training step was logged.", ())
    findings = _apply(_RULES, run)
    reasons = [finding.message for finding in findings if finding.code in _UNHEALTHY]
    return Verdict(not reasons, _sentence(run, reasons, findings), findings)


def watch(history: Sequence[Row], *, warmup_steps: int = 0) -> tuple[Finding, ...]:
    """Findings that are worth a word while training goes on: broken numbers, ``kl_div`` out of its bounds."""
    run = _sorted(history, warmup_steps)
    return _apply(_LIVE_RULES, run) if run.train else ()


def _sorted(history: Sequence[Row], warmup_steps: int) -> _Run:
    train = [row for row in history if "loss" in row and row["step"] >= 1]
    return _Run(train, [row for row in history if "eval_loss" in row], warmup_steps)


def _apply(rules: Sequence[Callable[[_Run], Finding | None]], run: _Run) -> tuple[Finding, ...]:
    found = [finding for rule in rules if (finding := rule(run)) is not None]
    return tuple(sorted(found, key=lambda finding: _ORDER.index(finding.severity)))


def _sentence(run: _Run, reasons: Sequence[str], findings: Sequence[Finding]) -> str:
    if reasons:
        return "Not healthy: " + "; ".join(reasons) + "."
    kind = "held-out accuracy" if len(run.held_out) > 1 else "training accuracy"
    accuracy = "{:.0%} -> {:.0%}".format(*(value or 0.0 for value in run.change("rewards/accuracies")))
    margin = "{:.2f} -> {:.2f}".format(*(value or 0.0 for value in run.change("rewards/margins")))
    warnings = "; ".join(finding.message for finding in findings if finding.severity == "warning")
    drift = run.change("kl_div")[1]
    kl = "" if drift is None else f", kl_div {drift:.2g} (below 10)"
    healthy = f"Healthy: {kind} {accuracy}, margin {margin}{kl}"
    return f"{healthy}, but: {warnings}." if warnings else f"{healthy}."


def _non_finite(run: _Run) -> Finding | None:
    rows = [*run.train, *run.held_out]
    broken = [(row["step"], name) for row in rows for name, value in row.items() if not math.isfinite(value)]
    if not broken:
        return None
    step, name = min(broken)
    return Finding(
        "non_finite", "error", f"{name} is not a finite number at step {step}", {"step": step},
        "Lower the learning rate, and use float32 or bfloat16; see which pairs the message of the run names.",
    )  # fmt: skip


def _kl_high(run: _Run) -> Finding | None:
    kl = run.recent("kl_div")
    if kl is None or not kl > KL_HIGH_NATS:
        return None
    return Finding(
        "kl_high", "warning", f"kl_div is {kl:.3g}, above 10: beta is too small, the model has drifted too far",
        {"kl_div": kl, "limit": KL_HIGH_NATS}, "Raise objective.beta, lower train.learning_rate, or stop earlier.",
    )  # fmt: skip


def _kl_low(run: _Run) -> Finding | None:
    kl, margin = run.recent("kl_div"), run.recent("rewards/margins")
    if not run.past_warmup or kl is None or margin is None:
        return None
    if abs(kl) >= KL_LOW_NATS or abs(margin) >= FLAT_MARGIN_NATS:
        return None
    return Finding(
        "kl_low", "warning",
        f"kl_div is {kl:.2g}, below 0.1, and the margin is flat: beta is too large (or lr too small), "
        "the model has hardly moved",
        {"kl_div": kl, "limit": KL_LOW_NATS, "rewards/margins": margin},
        "Raise train.learning_rate first (LoRA wants about ten times the rate of full tuning), then lower "
        "objective.beta, or train for more steps.",
    )  # fmt: skip


def _displacement(run: _Run) -> Finding | None:
    kl = run.recent("kl_div")
    if kl is None or not kl < DISPLACEMENT_NATS:
        return None
    return Finding(
        "likelihood_displacement", "warning",
        f"kl_div is {kl:.3g}: the chosen answers have become much less likely (likelihood displacement)",
        {"kl_div": kl, "limit": DISPLACEMENT_NATS},
        "Read the model's own answers. Lower train.learning_rate or raise objective.beta; look for pairs whose two "
        "answers are nearly the same.",
    )  # fmt: skip


def _accuracy_low(run: _Run) -> Finding | None:
    start, end = run.change("rewards/accuracies")
    if end is None or start is None:
        return None
    where = "held-out" if len(run.held_out) > 1 else "training"
    evidence = {"start": start, "end": end, "healthy": HEALTHY_ACCURACY}
    if end > HEALTHY_ACCURACY and (end > start or start > HEALTHY_ACCURACY):
        return None
    if end <= HEALTHY_ACCURACY:
        what = f"{where} accuracy is {end:.0%}, not above 70 %"
    else:
        what = f"{where} accuracy fell from {start:.0%} to {end:.0%}"
    return Finding(
        "accuracy_low", "warning", what, evidence,
        "Train longer or raise train.learning_rate; check the data for swapped or tied answers. Noisy human "
        "preferences often end between 60 % and 75 % whatever is done.",
    )  # fmt: skip


def _margin_flat(run: _Run) -> Finding | None:
    start, end = run.change("rewards/margins")
    if start is None or end is None or (end > 0 and (end > start or len(run.train) == 1)):
        return None
    return Finding(
        "margin_not_growing", "warning", f"the margin does not grow ({start:.3g} -> {end:.3g})",
        {"start": start, "end": end}, "Raise train.learning_rate; check that chosen and rejected are not swapped.",
    )  # fmt: skip


def _start_not_half(run: _Run) -> Finding | None:
    # Without a reference (no kl_div) the rewards are the loss's own, and start wherever the model stands.
    first = next((row for row in run.held_out if row["step"] == 0 and "eval_kl_div" in row), None)
    start = None if first is None else first.get("eval_rewards/accuracies")
    if start is None or abs(start - 0.5) < 1e-9:
        return None
    return Finding(
        "start_not_half", "note", f"held-out accuracy before training is {start:.0%}, not 50 %", {"start": start},
        "The reference is not the model that training started from. If that is not meant, check reference.path.",
    )  # fmt: skip


def _too_good(run: _Run) -> Finding | None:
    end = (_values(run.held_out, "eval_rewards/accuracies") or [0.0])[-1]
    if end <= SUSPICIOUS_ACCURACY:
        return None
    return Finding(
        "accuracy_suspicious", "note", f"held-out accuracy is {end:.0%}: something may give the answer away",
        {"end": end, "limit": SUSPICIOUS_ACCURACY},
        "Compare with a guess by length or format alone, and check that no held-out prompt is in the training data.",
    )  # fmt: skip


def _overfit(run: _Run) -> Finding | None:
    train, held_out = run.recent("rewards/accuracies"), _values(run.held_out, "eval_rewards/accuracies")
    if train is None or not held_out or train - held_out[-1] <= OVERFIT_GAP:
        return None
    return Finding(
        "overfit", "warning",
        f"training accuracy {train:.0%} is far above the held-out {held_out[-1]:.0%}: the pairs are learnt by heart",
        {"train": train, "held_out": held_out[-1], "gap": OVERFIT_GAP},
        "Fewer epochs, a lower train.learning_rate, a larger objective.beta, or more data.",
    )  # fmt: skip


def _past_its_best(run: _Run) -> Finding | None:
    seen = [row for row in run.held_out if "eval_rewards/accuracies" in row]
    if len(seen) < 3:
        return None
    best, last = max(seen, key=lambda row: row["eval_rewards/accuracies"]), seen[-1]
    top, end = best["eval_rewards/accuracies"], last["eval_rewards/accuracies"]
    noise = 2 * math.sqrt(top * (1 - top) / max(1.0, last.get("eval_num_pairs", 100)))
    if top - end <= noise:
        return None
    return Finding(
        "past_its_best", "warning", f"held-out accuracy was {top:.0%} at step {best['step']} and ended at {end:.0%}",
        {"best": top, "best_step": best["step"], "end": end, "two_standard_errors": noise},
        f"Stop near step {best['step']}, or use the checkpoint nearest to it.",
    )  # fmt: skip


def _gradient_spike(run: _Run) -> Finding | None:
    norms = [(row["grad_norm"], row["step"]) for row in run.train if math.isfinite(row.get("grad_norm", math.nan))]
    if len(norms) < 5:
        return None
    median = sorted(norms)[len(norms) // 2][0]
    top, step = max(norms)
    if top <= GRADIENT_SPIKE * median:
        return None
    return Finding(
        "gradient_spike", "note", f"grad_norm reached {top:.3g} at step {step}, ten times its median or more",
        {"grad_norm": top, "median": median, "step": step},
        "One spike is clipped and harmless. Where they repeat, look for a broken row, and prefer bfloat16 to float16.",
    )  # fmt: skip


_ORDER = ("error", "warning", "note")
_LIVE_RULES = (_non_finite, _kl_high, _kl_low, _displacement)
_RULES = (
    _non_finite, _kl_high, _kl_low, _displacement, _accuracy_low, _margin_flat,
    _start_not_half, _too_good, _overfit, _past_its_best, _gradient_spike,
)  # fmt: skip
_UNHEALTHY = frozenset({"non_finite", "kl_high", "kl_low", "accuracy_low", "margin_not_growing"})


def _values(rows: Sequence[Row], name: str) -> list[float]:
    return [row[name] for row in rows if name in row and math.isfinite(row[name])]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
