"""What a check of the data gives back: findings with every row they name, a verdict, and the statistics of a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..records import Origin

Severity = Literal["error", "warning", "info"]
Verdict = Literal["fit", "warnings", "unfit"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

WordDiff = tuple[tuple[Literal["same", "chosen", "rejected"], str], ...]
"""Runs of words in reading order: on both sides, only in the chosen answer, or only in the rejected one."""


@dataclass(frozen=True, slots=True)
class Example:
    """One case of a finding. The texts are excerpts of the data, not escaped: whoever shows them escapes them."""

    rows: tuple[Origin, ...]
    """The row, or the rows that only together are a fault (a contradiction, a duplicate with its first copy)."""
    text: str
    """What is there, in a line or a few."""
    diff: WordDiff = ()
    """How the two answers differ, for near-identical ones."""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        value: dict[str, object] = {"rows": [_place(origin) for origin in self.rows], "text": self.text}
        return value | ({"diff": [list(run) for run in self.diff]} if self.diff else {})


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check has found. There is at most one finding of a code in a report."""

    code: str
    name: str
    severity: Severity
    rows: tuple[Origin, ...]
    """Every row affected, once, in the order of the files; empty where the finding is about the whole set. Of exact
    duplicates these are the later copies: dropping these rows mends the fault and keeps the first."""
    count: int
    """Records affected: rows that cannot be used, pairs, or judged answers. 0 where it is about the whole set."""
    share: float
    """``count`` of all such records, 0 to 1."""
    message: str
    """What was found, with its numbers: one sentence."""
    effect: str
    """What it does to training."""
    advice: str
    """What to do."""
    examples: tuple[Example, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    """Further numbers of this check, as plain JSON values, such as the count on each side."""

    def to_json(self) -> dict[str, object]:
        """Plain values: the contract of ``preftune check --json``."""
        return {
            "code": self.code,
            "name": self.name,
            "severity": self.severity,
            "count": self.count,
            "share": self.share,
            "rows": [_place(origin) for origin in self.rows],
            "message": self.message,
            "effect": self.effect,
            "advice": self.advice,
            "examples": [example.to_json() for example in self.examples],
            "details": dict(self.details),
        }


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Everything that a check of one data set says."""

    verdict: Verdict
    rows_read: int
    pairs: int
    findings: tuple[Finding, ...]
    """The most severe first, then by count."""
    statistics: Mapping[str, Any]
    """Plain JSON values; docs/checks.md lists them."""
    not_run: Mapping[str, str] = field(default_factory=dict)
    """Checks that were not made, by name, each with the reason and what would make them possible."""
    flags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Codes by the id of a record (``PreferencePair.id``); empty unless ``CheckOptions.flags`` asked for them."""

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    def named(self, word: str) -> Finding | None:
        """The finding of this code or name, if there is one."""
        return next((finding for finding in self.findings if word in (finding.code, finding.name)), None)

    def codes_by_row(self) -> dict[Origin, tuple[str, ...]]:
        """The codes of all findings that name a row; of a row with several pairs, those of any of them."""
        codes: dict[Origin, list[str]] = {}
        for finding in sorted(self.findings, key=lambda finding: finding.code):
            for origin in finding.rows:
                codes.setdefault(origin, []).append(finding.code)
        return {origin: tuple(found) for origin, found in codes.items()}

    def to_json(self) -> dict[str, object]:
        """Plain values: the contract of ``preftune check --json``; rows are 1-based."""
        return {
            "verdict": self.verdict,
            "rows_read": self.rows_read,
            "pairs": self.pairs,
            "findings": [finding.to_json() for finding in self.findings],
            "not_run": dict(self.not_run),
            "statistics": dict(self.statistics),
        }


def verdict_of(findings: Iterator[Finding] | tuple[Finding, ...]) -> Verdict:
    """``unfit`` with any error, ``warnings`` with any warning, else ``fit``."""
    found = {finding.severity for finding in findings}
    return "unfit" if "error" in found else "warnings" if "warning" in found else "fit"


def _place(origin: Origin) -> dict[str, object]:
    return {"file": origin.file, "row": origin.row}
