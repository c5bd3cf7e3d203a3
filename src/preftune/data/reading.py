"""The one path from a source that a user names to validated records of a kind and a report of what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic

from ..errors import DataError
from .formats import Format, View, convert, format_named
from .formats.views import R
from .formats.votes import VOTES
from .gather import gathered
from .mixing import Amounts
from .records import BadRow
from .report import DataReport, FileReport, count_kinds, list_bad_rows
from .rows import RawRow
from .sources import DataFile, Skipped, SourceList, as_shares, resolve


@dataclass(slots=True)
class _Reading(Generic[R]):
    """What one file has given so far."""

    file: DataFile
    records: list[R] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    without: list[BadRow] = field(default_factory=list)
    formats: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    rows_used: int = 0

    def add(self, row: RawRow, given: Format | None, view: View[R]) -> None:
        """Convert one row and count it, and with it those that were gathered into it."""
        made, fmt = convert(row.values, row.origin, given, view)
        origins = (row.origin, *row.others)
        self.formats[fmt.name if fmt else "unknown"] += len(origins)
        if fmt:
            self.ignored.update(fmt.ignored(row.values))
        if isinstance(made, BadRow):
            self.bad += [replace(made, origin=origin) for origin in origins]
            return
        self.records += made.records
        self.counts.update(made.counts)
        self.counts["answers_without_score"] += fmt.unrated(row.values) if fmt else 0
        if made.records:
            self.rows_used += len(origins)
        else:
            self.without += [BadRow(origin, made.nothing, "tie") for origin in origins]


def read_source(
    source: SourceList,
    view: View[R],
    *,
    format: str,  # noqa: A002 - the config key is data.format
    max_bad_rows: int,
    max_samples: int | None,
    seed: int,
) -> tuple[tuple[R, ...], DataReport]:
    """Records of the kind that ``view`` wants, in the order of their files and rows. Raises DataError."""
    if max_samples is not None and max_samples < 1:
        raise DataError(f"max_samples must be at least 1, not {max_samples}")
    given = format_named(format, view)
    files, skipped = resolve(source, view)
    readings = [_read(file, format_of(file, given), view) for file in files]
    bad = [row for reading in readings for row in reading.bad]
    records = [record for reading in readings for record in reading.records]
    if not records:
        left = [*bad, *(row for reading in readings for row in reading.without)]
        raise DataError(f"{_names(files)}: no usable {view.what} ({_counted(left)}):\n{list_bad_rows(left)}")
    _refuse(bad, max_bad_rows)
    amounts = Amounts(as_shares(source), max_samples, seed)
    kept = amounts.of((reading.file, reading.records) for reading in readings)
    return kept, _report(view, readings, kept, skipped)


def format_of(file: DataFile, given: Format | None) -> Format | None:
    """The format of a file's rows: its registry's, or the one that the user named. Raises DataError for a conflict."""
    if file.format is None or given is None:
        return file.format or given
    if file.format.name not in (given.name, *(member.name for member in given.members)):
        raise DataError(
            f"{file.path}: data.format is {given.name!r}, but dataset_info.json says {file.format.name!r}: "
            "set data.format: auto, or name the file itself"
        )
    return file.format


def _read(file: DataFile, given: Format | None, view: View[R]) -> _Reading[R]:
    reading: _Reading[R] = _Reading(file)
    rows = file.read()
    for row in gathered(rows) if given in (None, VOTES) else rows:
        if isinstance(row, BadRow):
            reading.formats["unknown"] += 1
            reading.bad.append(row)
        else:
            reading.add(row, given, view)
    return reading


def _refuse(bad: Sequence[BadRow], allowed: int) -> None:
    if len(bad) <= allowed:
        return
    raise DataError(
        f"{_counted(bad)}; data.max_bad_rows allows {allowed}:\n{list_bad_rows(bad)}\n"
        f"Mend or remove them, or set data.max_bad_rows: {len(bad)} to leave them out."
    )


def _counted(bad: Sequence[BadRow]) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in count_kinds(bad).items())
    return f"{'1 row' if len(bad) == 1 else f'{len(bad)} rows'} cannot be used: {kinds}"


def _report(
    view: View[R], readings: Sequence[_Reading[R]], kept: tuple[R, ...], skipped: tuple[Skipped, ...]
) -> DataReport:
    places = {id(record) for record in kept}
    ignored = sum((reading.ignored for reading in readings), Counter[str]())
    counts = sum((reading.counts for reading in readings), Counter[str]())
    return DataReport(
        holds=view.what,
        files=tuple(_file_report(reading, sum(id(r) in places for r in reading.records)) for reading in readings),
        bad_rows=tuple(row for reading in readings for row in reading.bad),
        without_record=tuple(row for reading in readings for row in reading.without),
        duplicates=len(kept) - len({record.id for record in kept}),
        several_turns=sum(any(len(answer) > 1 for answer in record.completions) for record in kept),
        ignored_columns=dict(sorted(ignored.items())),
        counts=dict(sorted(counts.items())),
        skipped=skipped,
    )


def _file_report(reading: _Reading[Any], kept: int) -> FileReport:
    return FileReport(
        path=str(reading.file.path),
        sha256=reading.file.sha256(),
        formats=dict(reading.formats.most_common()),
        rows_read=reading.formats.total(),
        rows_used=reading.rows_used,
        rows_without_record=len(reading.without),
        bad_rows=len(reading.bad),
        records=kept,
        sampled_out=len(reading.records) - kept,
        entry=reading.file.entry,
    )


def _names(files: Sequence[DataFile]) -> str:
    return ", ".join(str(file.path) for file in files[:3]) + (", ..." if len(files) > 3 else "")
