"""What came of a run, in the numbers by which runs are compared: read from its folder alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..intervals import wilson_interval
from .directory import MAY_DIFFER, RunDirectory, flat
from .metrics_log import Row, held_out_rows, read_history
from .run_report import read_config, read_record, read_summary


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """One run as its model was measured: the one that it keeps, or so far the last. All but the first four are None
    where the run has not measured it.

    ``*_gained`` are changes of the mean log-probability of whole held-out answers since before training: nats per
    answer, without beta, and so comparable between any betas and losses.
    """

    name: str
    root: Path
    status: str
    """``finished``, ``interrupted``, ``failed``, ``running`` (or killed), ``not started``."""
    settings: Mapping[str, Any]
    """The config, by dotted keys."""
    history: Sequence[Row] = ()
    step: int | None = None
    accuracy: float | None = None
    """Share of held-out pairs that are ranked rightly."""
    pairs: int = 0
    """Held-out pairs."""
    loss: float | None = None
    reward_margin: float | None = None
    """As the run logs it: times beta."""
    chosen_gained: float | None = None
    rejected_gained: float | None = None
    kl_div: float | None = None
    """Mean log-ratio of chosen answers to the reference: nats per answer, without beta."""
    seconds: float | None = None
    is_healthy: bool | None = None
    verdict: str = ""
    held_out_data: str | None = None
    """Hash of the held-out pairs: accuracies on other pairs cannot be compared."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % Wilson interval of the accuracy."""
        return wilson_interval(self.accuracy, self.pairs) if self.accuracy is not None and self.pairs else None

    @property
    def margin_gained(self) -> float | None:
        """How far chosen and rejected answers were moved apart."""
        if self.chosen_gained is None or self.rejected_gained is None:
            return None
        return self.chosen_gained - self.rejected_gained

    @property
    def distance(self) -> float | None:
        """Size of ``kl_div``."""
        return None if self.kl_div is None else abs(self.kl_div)


def read_outcome(root: Path, name: str | None = None) -> RunOutcome:
    """What the folder ``root`` says of its run; ``not started`` where it holds none.

    Raises:
        RunFolderError: a file in it is not what preftune wrote.
    """
    directory = RunDirectory(root)
    summary = read_summary(directory) or {}
    session: Mapping[str, Any] = (read_record(directory).get("sessions") or [{}])[-1]
    history = read_history(directory.metrics_jsonl)
    verdict = summary.get("verdict") or {}
    outcome = RunOutcome(
        name=name or root.absolute().name,
        root=root,
        status=str(summary.get("status") or session.get("status") or "not started"),
        settings=flat(read_config(directory)) if directory.resolved_yaml.is_file() else {},
        history=history,
        seconds=summary.get("seconds"),
        is_healthy=verdict.get("healthy"),
        verdict=str(verdict.get("sentence", "")),
        held_out_data=(session.get("model") or {}).get("held_out_data"),
    )
    kept = (summary.get("kept") or {}).get("step")
    return _measured(outcome, [row for row in held_out_rows(history) if kept is None or row["step"] <= kept])


def _measured(outcome: RunOutcome, rows: Sequence[Mapping[str, int | float]]) -> RunOutcome:
    if not rows or rows[-1]["step"] == 0:
        return outcome
    first, last = rows[0], rows[-1]

    def gained(side: str) -> float | None:
        start, end = (row.get(f"eval_logps/{side}") for row in (first, last))
        return None if start is None or end is None or first["step"] > 0 else end - start

    return replace(
        outcome,
        step=int(last["step"]),
        accuracy=last.get("eval_rewards/accuracies"),
        pairs=int(last.get("eval_num_pairs", 0)),
        loss=last.get("eval_loss"),
        reward_margin=last.get("eval_rewards/margins"),
        chosen_gained=gained("chosen"),
        rejected_gained=gained("rejected"),
        kl_div=last.get("eval_kl_div"),
    )


def differing_keys(outcomes: Sequence[RunOutcome]) -> list[str]:
    """Config keys that all runs have and that differ, in the order of the config; but for those that change no number.

    Parameters of losses that only some of the runs have are told by the name of the loss.
    """
    known = [outcome.settings for outcome in outcomes if outcome.settings]
    first = known[0] if known else {}
    return [
        key
        for key in first
        if key not in MAY_DIFFER
        and all(key in settings for settings in known)
        and any(settings[key] != first[key] for settings in known)
    ]
