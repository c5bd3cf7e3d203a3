"""The quick checks of the data before a run: what they find is told in a few lines, stored, or stops the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..config import Config
from ..data.checks import CheckOptions, CheckReport, Finding, check
from ..data.checks.refused import CHECK_OF_KIND
from ..errors import DataError
from ..objectives import BoundObjective
from ..runs.display import Reporter
from ..tokens.encode import EncodedGroup

_REFUSED = frozenset({"schema", *CHECK_OF_KIND.values()})
"""Findings about rows that the reader refuses: ``data.max_bad_rows`` decides about these."""


def check_data(
    config: Config, objective: BoundObjective, train: Any, held_out: Mapping[str, Any], reporter: Reporter
) -> CheckReport | None:
    """The report on the training data, told in short; None where ``data.checks`` is off.

    Raises DataError under ``data.checks: strict`` where rows that would be trained on have an error.
    """
    if config.data.checks == "off":
        return None
    options = CheckOptions(
        format=config.data.format,
        eval=_flat(held_out.values()) or None,
        rankings=config.data.rankings or "all",
        judged_answers=objective.data == "feedback",
        slow=False,
        flags=True,
    )
    with reporter.phase("checking the data", unit="rows") as phase:
        report = check(train, options, phase.advance)
    errors = [finding for finding in report.of("error") if finding.name not in _REFUSED]
    if errors and config.data.checks == "strict":
        lines = "\n".join(f"  {_in_short(finding)}" for finding in errors)
        raise DataError(
            f"data.checks is strict, and the training data have errors:\n{lines}\n"
            "Mend the rows (preftune check --json OUT lists all), or set data.checks: warn to train all the same."
        )
    _tell(report, errors, reporter)
    return report


def flags_of(report: CheckReport | None, groups: Sequence[EncodedGroup]) -> Mapping[str, Sequence[str]]:
    """The codes of each pair by its id; of answers and rankings, those of their row."""
    if report is None or all(group.pair_id in report.flags for group in groups):
        return report.flags if report else {}
    by_row = report.codes_by_row()
    return {group.pair_id: report.flags.get(group.pair_id) or by_row.get(group.origin, ()) for group in groups}


def _flat(sources: Any) -> list[Any]:
    """All sources in one list; each is one or a list."""
    return [one for source in sources for one in (source if isinstance(source, list | tuple) else [source])]


def _tell(report: CheckReport, errors: Sequence[Finding], reporter: Reporter) -> None:
    for finding in errors:
        reporter.warn(f"data: {_in_short(finding)}")
    names = [f"{f.name} ({f.share:.1%})" if f.count else f.name for f in report.of("warning")]
    if names:
        reporter.note(f"data checks, worth a look: {', '.join(names)}")
    if errors or names:
        reporter.note("what that means: run/data_report.json, or preftune check with the same data")
    else:
        reporter.note("data checks: nothing to complain of")


def _in_short(finding: Finding) -> str:
    first = f" (first: {finding.rows[0]})" if finding.rows else ""
    return f"{finding.code} {finding.name}: {finding.message}{first}"
