"""``preftune check --html``: the report as a page."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..runs.atomic import atomic_write

if TYPE_CHECKING:
    from ..data.checks import CheckOptions, CheckReport


def write_page(path: Path, data: Sequence[str], options: CheckOptions, report: CheckReport) -> None:
    """Read the records that are shown once more, and write the page in one step."""
    from ..data.checks.shown import shown_records
    from ..runs.report import check_page

    shown = shown_records(data, options, report)
    records = report.statistics["records"]
    note = f"{len(shown):,} of {records:,} records: some of every finding, and an even draw of the others."
    atomic_write(
        path,
        check_page(
            report.to_json(),
            shown,
            title=f"Preference data: {', '.join(Path(one).name or one for one in data)}",
            made=f"Made by preftune {__version__} on {datetime.now(UTC):%Y-%m-%d}.",
            rows_note=note if len(shown) < records else f"All {records:,} records.",
        ),
    )
