"""Text for people: numbers and durations in few characters, and nothing of the input able to act on the terminal."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

_BLOCKS = "▁▂▃▄▅▆▇█"


def visible(text: str) -> str:
    """``text`` with control and direction characters spelled out (``\\x1b``); line ends stay."""
    return "".join(c if c == "\n" or not _acts(c) else c.encode("unicode_escape").decode("ascii") for c in text)


def duration(seconds: float) -> str:
    """``45s``, ``2m10s``, ``1h04m``, ``3d02h``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole // 60 % 60:02d}m"
    return f"{whole // 86400}d{whole // 3600 % 24:02d}h"


def short(value: float, digits: int = 3) -> str:
    """A number in few characters: ``0.651``, ``-12.3``, ``4.2e-06``, ``1.25e+05``; whole numbers as they are."""
    if isinstance(value, int):
        return str(value)
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.{digits - 1}e}"
    whole = len(str(int(abs(value))))
    return f"{value:.{max(0, digits + (abs(value) < 1) - whole)}f}"


def sparkline(values: list[float], width: int) -> str:
    """``values`` as at most ``width`` blocks of eight heights, each a mean of neighbours; flat values as a low line."""
    count = min(width, len(values))
    edges = [len(values) * i // count for i in range(count + 1)] if count else []
    shown = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(shown, default=0.0), max(shown, default=0.0)
    if high <= low:
        return _BLOCKS[0] * len(shown)
    return "".join(_BLOCKS[round((value - low) / (high - low) * (len(_BLOCKS) - 1))] for value in shown)


def trend(values: list[float]) -> str:
    """``↑``, ``↓`` or ``→``: the mean of the last quarter against the quarter before it."""
    size = max(1, len(values) // 4)
    before, last = values[-2 * size : -size], values[-size:]
    if not before:
        return " "
    change = sum(last) / len(last) - sum(before) / len(before)
    spread = max(values) - min(values)
    if abs(change) <= 0.02 * spread:
        return "→"
    return "↑" if change > 0 else "↓"


def _acts(character: str) -> bool:
    category = unicodedata.category(character)
    direction = unicodedata.bidirectional(character)
    return category in ("Cc", "Cs", "Zl", "Zp") or direction in (
        "LRE",
        "RLE",
        "LRO",
        "RLO",
        "PDF",
        "LRI",
        "RLI",
        "FSI",
        "PDI",
    )
