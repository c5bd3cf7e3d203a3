"""The data doctor: what is wrong with preference data, and what to do about it, before anything is trained."""

from __future__ import annotations

from .catalog import CHECKS, Check, check_named, checks_named
from .examine import check
from .findings import SEVERITIES, CheckReport, Example, Finding, Severity, Verdict, WordDiff, verdict_of
from .options import CheckOptions

__all__ = [
    "CHECKS",
    "SEVERITIES",
    "Check",
    "CheckOptions",
    "CheckReport",
    "Example",
    "Finding",
    "Severity",
    "Verdict",
    "WordDiff",
    "check",
    "check_named",
    "checks_named",
    "verdict_of",
]
