"""The win rate on the screen: the table, what the judge leans to, what it took, and a sentence to take away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TextIO

from ..runs.text import visible
from ..runs.win_rate import COLUMNS, conclusion, leanings, rates, who_and_what

if TYPE_CHECKING:
    from ..recipe.win_rate import Judged

_WIDTH = 100
_LISTED, _PROMPT = 5, 40


def show(judged: Judged, stream: TextIO) -> None:
    """Print it as wide as the terminal, at most 100 columns."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False)
    console.width = min(console.width, _WIDTH)
    console.print(_grid(who_and_what(judged.report)))
    if judged.report["judged"]:
        console.print()
        console.print(_table(judged.report))
        console.print()
        console.print(_grid(leanings(judged.report)))
    missing = list(_not_judged(judged))
    if missing:
        console.print("\nwithout a verdict:")
        console.print(_grid(missing[:_LISTED]))
        if len(missing) > _LISTED:
            console.print(f"and {len(missing) - _LISTED} more, in the file of verdicts")
    console.print(Text(f"\n{conclusion(judged.report)}", style="bold"))


def _grid(rows: Iterable[tuple[str, str]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    for name, text in rows:
        grid.add_row(Text(visible(name)), Text(visible(text), overflow="fold"))
    return grid


def _table(report: Mapping[str, Any]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", overflow="fold")
    for title in COLUMNS:
        table.add_column(title, justify="right", no_wrap=True)
    for place, (name, *cells) in enumerate(rates(report)):
        table.add_row(Text(visible(name)), *cells, style=None if place else "bold")
    return table


def _not_judged(judged: Judged) -> Iterator[tuple[str, str]]:
    """Prompts without a verdict, shortened, each with the reason."""
    for match, ruling in zip(judged.contest.matches, judged.rulings, strict=True):
        if ruling.verdict is None:
            prompt = " ".join(match.prompt.split())
            yield prompt if len(prompt) <= _PROMPT else f"{prompt[: _PROMPT - 3]}...", ruling.reason
