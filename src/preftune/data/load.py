"""From a source that a user names to validated pairs and a report of everything that was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import nsmallest

from ..errors import DataError
from .files import sha256_of
from .formats import Format, convert, format_named
from .ordering import shuffle_key
from .records import BadRow, PreferencePair
from .report import DataReport, FileReport, count_kinds, list_bad_rows
from .rows import read_rows
from .sources import DataFile, Skipped, SourceList, resolve


@dataclass(frozen=True, slots=True)
class LoadedPairs:
    """Pairs in the order of their files and rows, and how they came about."""

    pairs: tuple[PreferencePair, ...]
    report: DataReport


@dataclass(slots=True)
class _Reading:
    """What one file has given so far."""

    file: DataFile
    pairs: list[PreferencePair] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    formats: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)


def load_pairs(
    source: SourceList,
    *,
    format: str = "auto",  # noqa: A002 - the config key is data.format
    max_bad_rows: int = 0,
    max_samples: int | None = None,
    seed: int = 0,
) -> LoadedPairs:
    """Read every pair of a file, folder, glob, dataset_info.json entry (``folder:name``), or a list of these.

    ``format`` names one format for all rows; ``auto`` recognises each row by its keys. ``max_samples`` keeps a
    uniform sample that depends on ``seed``, in file order. Exact duplicates are kept and counted.
    Raises DataError where a source cannot be read, where more than ``max_bad_rows`` rows cannot be used (all of
    them are counted, ten are listed), or where no pair is left.
    """
    if max_samples is not None and max_samples < 1:
        raise DataError(f"max_samples must be at least 1, not {max_samples}")
    given = format_named(format)
    files, skipped = resolve(source)
    readings = [_read(file, _format_of(file, given)) for file in files]
    bad = tuple(row for reading in readings for row in reading.bad)
    pairs = [pair for reading in readings for pair in reading.pairs]
    if not pairs:
        raise DataError(f"{_names(files)}: no usable preference pair ({_counted(bad)}):\n{list_bad_rows(bad)}")
    _refuse(bad, max_bad_rows)
    kept = _sample(pairs, max_samples, seed)
    return LoadedPairs(kept, _report(readings, kept, bad, skipped))


def _format_of(file: DataFile, given: Format | None) -> Format | None:
    if file.format is None or given is None:
        return file.format or given
    if given.name not in ("llamafactory", file.format.name):
        raise DataError(
            f"{file.path}: data.format is {given.name!r}, but dataset_info.json says {file.format.name!r}: "
            "set data.format: auto, or name the file itself"
        )
    return file.format


def _read(file: DataFile, given: Format | None) -> _Reading:
    reading = _Reading(file)
    for row in read_rows(file.path):
        if isinstance(row, BadRow):
            reading.formats["unknown"] += 1
            reading.bad.append(row)
            continue
        record, fmt = convert(row.values, row.origin, given)
        reading.formats[fmt.name if fmt else "unknown"] += 1
        if fmt:
            reading.ignored.update(fmt.ignored(row.values))
        (reading.bad if isinstance(record, BadRow) else reading.pairs).append(record)  # type: ignore[arg-type]
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


def _sample(pairs: list[PreferencePair], size: int | None, seed: int) -> tuple[PreferencePair, ...]:
    if size is None or size >= len(pairs):
        return tuple(pairs)
    places = nsmallest(size, range(len(pairs)), key=lambda place: shuffle_key(seed, str(place)))
    return tuple(pairs[place] for place in sorted(places))


def _report(
    readings: Sequence[_Reading],
    kept: tuple[PreferencePair, ...],
    bad: tuple[BadRow, ...],
    skipped: tuple[Skipped, ...],
) -> DataReport:
    places = {id(pair) for pair in kept}
    ids = {pair.id for pair in kept}
    ignored = sum((reading.ignored for reading in readings), Counter[str]())
    return DataReport(
        files=tuple(_file_report(reading, sum(id(p) in places for p in reading.pairs)) for reading in readings),
        bad_rows=bad,
        duplicate_pairs=len(kept) - len(ids),
        several_turn_pairs=sum(len(pair.chosen) > 1 or len(pair.rejected) > 1 for pair in kept),
        ignored_columns=dict(sorted(ignored.items())),
        skipped=skipped,
    )


def _file_report(reading: _Reading, kept: int) -> FileReport:
    return FileReport(
        path=str(reading.file.path),
        sha256=sha256_of(reading.file.path),
        formats=dict(reading.formats.most_common()),
        rows_read=reading.formats.total(),
        pairs=kept,
        bad_rows=len(reading.bad),
        sampled_out=len(reading.pairs) - kept,
        entry=reading.file.entry,
    )


def _names(files: Sequence[DataFile]) -> str:
    return ", ".join(str(file.path) for file in files[:3]) + (", ..." if len(files) > 3 else "")
