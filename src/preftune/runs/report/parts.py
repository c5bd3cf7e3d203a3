"""Pieces that several pages share: the verdict, facts, badges, folds, word diffs, places in files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from .markup import Child, el

SEVERITY_WORDS = {"error": "Error", "warning": "Warning", "info": "Note"}


def verdict_banner(kind: str, title: str, *sentences: Child) -> Markup:
    """The first thing that is read; ``kind`` is ``fit``, ``warning`` or ``error``."""
    return el("div", el("strong", title), [el("p", one) for one in sentences if one], class_=f"verdict {kind}")


def facts(values: Mapping[str, str | tuple[str, str]]) -> Markup:
    """A few numbers with their names; a second text stands below the number."""
    tiles = []
    for name, value in values.items():
        number, below = value if isinstance(value, tuple) else (value, "")
        tiles.append(el("div", el("dt", name), el("dd", number, el("small", below) if below else None)))
    return el("dl", tiles, class_="facts")


def badge(severity: str) -> Markup:
    """A severity in its colour."""
    return el("span", SEVERITY_WORDS.get(severity, severity), class_=f"badge {severity}")


def fold(severity: str, what: Child, said: Child, much: str, inside: Child, anchor: str) -> Markup:
    """A line that unfolds."""
    head = el(
        "summary",
        badge(severity),
        el("span", what, class_="what"),
        el("span", much, class_="much"),
        el("span", said, class_="said"),
    )
    return el("details", head, el("div", inside, class_="inside"), class_="fold", id=anchor)


def diff(runs: Sequence[Sequence[str]]) -> Markup:
    """Runs of words (``same``, ``chosen``, ``rejected``) with the differences marked."""
    tags = {"chosen": "ins", "rejected": "del"}
    return el("div", [(el(tags[kind], text) if kind in tags else text, " ") for kind, text in runs], class_="text")


class Places:
    """Writes ``file:row`` with as few folders as tell the files apart."""

    def __init__(self, files: Iterable[str]) -> None:
        parts = {file: file.replace("\\", "/").split("/") for file in files}
        longest = max((len(names) for names in parts.values()), default=1)
        self._short = dict.fromkeys(parts, "")
        for size in range(1, longest + 1):
            tails = {file: "/".join(names[-size:]) for file, names in parts.items()}
            if len(set(tails.values())) == len(tails):
                self._short = tails
                break

    def listed(self, rows: Sequence[Mapping[str, Any]], most: int) -> str:
        """``a.jsonl: 3, 17; b.jsonl: 2``: the first rows by file, and how many more."""
        by_file: dict[str, list[str]] = {}
        for row in rows[:most]:
            by_file.setdefault(self._name(row), []).append(str(row["row"]))
        said = "; ".join(f"{name}: {', '.join(numbers)}" for name, numbers in by_file.items())
        return said + (f" and {len(rows) - most:,} more" if len(rows) > most else "")

    def _name(self, row: Mapping[str, Any]) -> str:
        return self._short.get(row["file"]) or str(row["file"])

    def __call__(self, row: Mapping[str, Any]) -> str:
        """The place of ``{"file": ..., "row": ...}``."""
        return f"{self._name(row)}:{row['row']}"


def percent(share: float) -> str:
    """``12.3 %`` with a space that does not break; ``<0.1 %`` for what would round to nothing."""
    return "<0.1\xa0%" if 0 < share < 0.0005 else f"{100 * share:.1f}\xa0%"


def some(values: Sequence[str], most: int) -> str:
    """The first of them, and how many more."""
    left = len(values) - most
    return ", ".join(values[:most]) + (f" and {left:,} more" if left > 0 else "")


def rows_table(heads: Sequence[str], rows: Sequence[Sequence[Child]]) -> Markup:
    """A short table without scripts; all columns but the first are numbers."""
    head = el("tr", [el("th", name, scope="col", class_="number" if k else None) for k, name in enumerate(heads)])
    body = [el("tr", [el("td", value, class_="number" if k else None) for k, value in enumerate(row)]) for row in rows]
    return el("div", el("table", el("thead", head), el("tbody", body)), class_="scroll small")
