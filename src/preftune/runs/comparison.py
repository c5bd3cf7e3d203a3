"""Runs side by side: lines for a terminal, a table as CSV, a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .atomic import atomic_write, to_json
from .outcomes import RunOutcome, differing_keys
from .recommend import Recommendation
from .report.comparison_page import comparison_page
from .text import duration, short, visible

_MEASURES: tuple[tuple[str, Callable[[RunOutcome], Any]], ...] = (
    ("accuracy", lambda run: run.accuracy),
    ("accuracy_low_95", lambda run: run.interval and run.interval[0]),
    ("accuracy_high_95", lambda run: run.interval and run.interval[1]),
    ("held_out_pairs", lambda run: run.pairs or None),
    ("margin_gained_nats", lambda run: run.margin_gained),
    ("chosen_gained_nats", lambda run: run.chosen_gained),
    ("rejected_gained_nats", lambda run: run.rejected_gained),
    ("kl_div", lambda run: run.kl_div),
    ("reward_margin", lambda run: run.reward_margin),
    ("loss", lambda run: run.loss),
    ("step", lambda run: run.step),
    ("seconds", lambda run: run.seconds),
    ("healthy", lambda run: run.is_healthy),
    ("verdict", lambda run: run.verdict),
    ("folder", lambda run: run.root),
)
_FORMULA = ("=", "+", "-", "@")


def write_table(path: Path, runs: Sequence[RunOutcome]) -> None:
    """One line per run: name, status, the keys that differ, the numbers; what a run lacks is an empty cell."""
    keys = differing_keys(runs)
    lines: list[list[object]] = [["run", "status", *keys, *(name for name, _ in _MEASURES)]]
    for run in runs:
        settings = [_plain(run.settings.get(key)) for key in keys]
        lines.append([_plain(run.name), run.status, *settings, *(_plain(measure(run)) for _, measure in _MEASURES)])
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    atomic_write(path, text.getvalue())


def write_page(path: Path, title: str, runs: Sequence[RunOutcome], found: Recommendation) -> None:
    """The page of a sweep or of a comparison."""
    atomic_write(path, comparison_page(title, runs, found))


def lines_of(runs: Sequence[RunOutcome], found: Recommendation) -> list[str]:
    """A table of at most 80 columns where the names are short, the recommendation, and its doubt."""
    heads = ("run", "accuracy", "95 %", "margin", "kl_div", "time", "")
    rows = [heads, *(_cells(run) for run in runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    table = [
        "  ".join(_aligned(cell, width, n) for n, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    said = [found.said, found.reason, found.doubt]
    return [*(line.rstrip() for line in table), "", *(visible(line) for line in said if line)]


def _cells(run: RunOutcome) -> tuple[str, ...]:
    low, high = run.interval or (None, None)
    health = {True: "healthy", False: "not healthy", None: ""}[run.is_healthy]
    return (
        visible(run.name),
        "" if run.accuracy is None else f"{100 * run.accuracy:.1f} %",
        "" if low is None or high is None else f"{100 * low:.0f}-{100 * high:.0f}",
        "" if run.margin_gained is None else short(run.margin_gained),
        "" if run.kl_div is None else short(run.kl_div),
        "" if run.seconds is None else duration(run.seconds),
        health if run.status == "finished" else run.status.replace("running", "not finished"),
    )


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if 0 < column < 6 else cell.ljust(width)


def _plain(value: object) -> object:
    """A cell: floats with all their digits, lists as JSON, text that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return to_json(value, indent=None)
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else value
