"""One row per pair: where it is from, how long it is, and what the model said of it before and after training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..tokens.encode import EncodedGroup
from .pair_history import FIELDS, PairHistory


@dataclass(frozen=True, slots=True)
class PairRow:
    """Log-probabilities in nats, summed over tokens; ``margin`` is the chosen reward less the rejected one.

    What is not known is None: a training pair that no update has reached, or what a loss without a reference lacks.
    """

    id: str
    file: str
    row: int
    split: Literal["train", "held_out"]
    category: str | None
    flags: tuple[str, ...]
    prompt_tokens: int
    chosen_tokens: int
    rejected_tokens: int
    chosen_logp_reference: float | None
    rejected_logp_reference: float | None
    chosen_logp_before: float | None
    rejected_logp_before: float | None
    chosen_logp_after: float | None
    rejected_logp_after: float | None
    chosen_reward: float | None
    rejected_reward: float | None
    margin: float | None
    loss: float | None
    last_step: int | None
    """Updates made when the ``after`` values were taken."""
    times_seen: int
    """Measurements of the pair by a model that had been trained: visits in training, or evaluations."""
    times_negative: int
    """How many of these had a negative margin."""
    mean_margin: float | None

    @property
    def place(self) -> str:
        """File and row."""
        return f"{self.file}:{self.row}"


def pair_rows(
    groups: Sequence[EncodedGroup],
    history: PairHistory,
    split: Literal["train", "held_out"],
    *,
    flags: Mapping[str, Sequence[str]],
    starts_at_reference: bool,
) -> list[PairRow]:
    """Rows in the order of ``groups``. ``flags`` holds codes of the data checks by pair id.

    Held-out pairs are measured before training; for training pairs "before" is the reference where that is the start
    model. The first visit of a training pair counts as a measurement of a trained model but for that of the first
    update, which nothing has trained yet.
    """
    first, last, steps = history.first(), history.last(), history.last_step()
    seen, negative, mean = history.margins(after=1 if split == "train" else 0)
    at = {name: place for place, name in enumerate(FIELDS)}
    rows = []
    for number, group in enumerate(groups):
        now = {name: _known(last[number, place]) for name, place in at.items()}
        start = {name: _known(first[number, place]) for name, place in at.items()}
        if split == "train":
            start = {"chosen_logp": now["chosen_reference"], "rejected_logp": now["rejected_reference"]}
            start = start if starts_at_reference else dict.fromkeys(start)
        rows.append(
            PairRow(
                id=group.pair_id,
                file=group.origin.file,
                row=group.origin.row,
                split=split,
                category=group.category,
                flags=tuple(flags.get(group.pair_id, ())),
                prompt_tokens=len(group.prompt),
                chosen_tokens=group.completions[0].num_scored,
                rejected_tokens=group.completions[1].num_scored,
                chosen_logp_reference=now["chosen_reference"],
                rejected_logp_reference=now["rejected_reference"],
                chosen_logp_before=start["chosen_logp"],
                rejected_logp_before=start["rejected_logp"],
                chosen_logp_after=now["chosen_logp"],
                rejected_logp_after=now["rejected_logp"],
                chosen_reward=now["chosen_reward"],
                rejected_reward=now["rejected_reward"],
                margin=_difference(now["chosen_reward"], now["rejected_reward"]),
                loss=now["loss"],
                last_step=int(steps[number]) if steps[number] >= 0 else None,
                times_seen=int(seen[number]),
                times_negative=int(negative[number]),
                mean_margin=float(mean[number]) if seen[number] else None,
            )
        )
    return rows


def likely_mislabelled(rows: Sequence[PairRow]) -> list[PairRow]:
    """Pairs on which the trained model disagrees with the label every time, and clearly; the clearest first.

    Clearly: by more than the median size of a margin. A model that ranks less than 60 % of the pairs rightly knows too
    little to say, and names none. The sign of persistent disagreement is that of confident learning
    (arXiv:1911.00068); the two limits are our heuristics.
    """
    known = [row for row in rows if row.mean_margin is not None]
    if not known or np.mean([row.mean_margin > 0 for row in known if row.mean_margin is not None]) < KNOWS_ENOUGH:
        return []
    usual = float(np.median([abs(row.mean_margin) for row in known if row.mean_margin is not None]))
    wrong = [row for row in known if row.times_negative == row.times_seen and (row.mean_margin or 0.0) < -usual]
    return sorted(wrong, key=lambda row: row.mean_margin or 0.0)


def hardest(rows: Sequence[PairRow]) -> list[PairRow]:
    """Pairs that the model ranks wrongly at the end, the lowest margin first."""
    wrong = [row for row in rows if row.margin is not None and row.margin < 0]
    return sorted(wrong, key=lambda row: row.margin or 0.0)


KNOWS_ENOUGH = 0.6


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _difference(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other
