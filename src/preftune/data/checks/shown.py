"""Which pairs a page shows: some of every finding, the most severe first, and an even draw of the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..records import Origin
from ..sources import SourceList
from .findings import CheckReport
from .options import CheckOptions
from .seen import Seen
from .stream import RowStream

MOST = 1000
"""Records on a page."""
LONGEST = 2000
"""Characters of a text; the rest is counted."""

_PER_FINDING, _FLAGGED = 60, 700


def shown_records(source: SourceList, options: CheckOptions, report: CheckReport) -> list[dict[str, Any]]:
    """At most ``MOST`` records as plain values, in the order of the files.

    Each has ``file``, ``row``, ``category``, ``flags`` (codes), ``prompt``, and by side ``answers`` (texts) and
    ``lengths`` (characters).
    """
    wanted = dict.fromkeys(_flagged(report))
    records = int(report.statistics["records"])
    every = max(1, -(-records // (MOST - min(len(wanted), _FLAGGED))))
    kept: list[Seen] = []
    number = 0
    for given in RowStream(source, options).first_pass():
        for record in given.records:
            number += 1
            if len(kept) < MOST and (given.origin in wanted or number % every == 0):
                kept.append(Seen(number - 1, record, given.category))
    flags = _codes(report, {seen.record.origin for seen in kept})
    return [_plain(seen, flags[seen.record.origin]) for seen in kept]


def _flagged(report: CheckReport) -> Iterator[Origin]:
    """Up to 60 rows of each finding, up to 700 in all."""
    found: dict[Origin, None] = {}
    for finding in report.findings:
        found |= dict.fromkeys(finding.rows[:_PER_FINDING])
    yield from list(found)[:_FLAGGED]


def _codes(report: CheckReport, origins: set[Origin]) -> dict[Origin, list[str]]:
    """The codes of all findings that name each of these rows."""
    codes: dict[Origin, list[str]] = {origin: [] for origin in origins}
    for finding in report.findings:
        for origin in finding.rows:
            if origin in codes:
                codes[origin].append(finding.code)
    return codes


def _plain(seen: Seen, flags: list[str]) -> dict[str, Any]:
    origin = seen.record.origin
    return {
        "file": origin.file,
        "row": origin.row,
        "category": seen.category,
        "flags": flags,
        "prompt": _cut(seen.prompt),
        "answers": {answer.side: _cut(answer.text) for answer in seen.answers},
        "lengths": {answer.side: len(answer.text) for answer in seen.answers},
    }


def _cut(text: str) -> str:
    left = len(text) - LONGEST
    return text if left <= 0 else f"{text[:LONGEST]} … ({left:,} more characters)"
