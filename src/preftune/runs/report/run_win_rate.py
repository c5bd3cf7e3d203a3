"""The win rate on a run's page: what a judge said of the answers, after ``preftune eval``."""

from __future__ import annotations

from ..win_rate import COLUMNS, conclusion, leanings, rates, who_and_what
from .markup import Child, el
from .page import Section
from .parts import percent, rows_table
from .run_facts import RunFacts


def win_rate_section(run: RunFacts) -> Section | None:
    """Rates with their intervals, and what the judge leans to, in the words of the terminal."""
    report = run.win_rate
    if not report:
        return None
    told = list(who_and_what(report))
    body: list[Child] = []
    if report["judged"]:
        body.append(rows_table(("", *COLUMNS), list(rates(report))))
        told += leanings(report)
    body.append(el("dl", [(el("dt", name), el("dd", text)) for name, text in told], class_="about"))
    note = f"{conclusion(report)} Each prompt, with both answers and its verdict, is in win_rate/verdicts.jsonl."
    return Section("win-rate", "Win rate", body, note)


def win_rate_tile(run: RunFacts) -> dict[str, str | tuple[str, str]]:
    """The rate and its interval; nothing where no judge has decided anything."""
    if not run.win_rate or not run.win_rate["judged"]:
        return {}
    low, high = run.win_rate["interval_95"]
    return {"win rate": (percent(run.win_rate["win_rate"]), f"95 %: {percent(low)} to {percent(high)}")}
