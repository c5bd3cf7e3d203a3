"""Stream the rows of one file, whatever its kind; a row that cannot be read is given back as a BadRow.

Row numbers are 1-based: the line in .jsonl (blank lines count), the position in a .json list, the data row in
.csv, .tsv and .parquet (the header does not count).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ..errors import DataError
from .files import DAMAGED, damaged, open_bytes, require_file
from .records import BadRow, Origin
from .tables import csv_rows, parquet_rows

_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as the file holds it, before any format is recognised."""

    values: Mapping[str, object]
    origin: Origin
    others: tuple[Origin, ...] = ()
    """Further rows that were gathered into this one: votes on the same item."""


@dataclass(frozen=True, slots=True)
class GivenRows:
    """Rows that a program holds already, with a name for them in messages and records."""

    name: str
    rows: Sequence[Mapping[str, object]]

    def read(self) -> Iterator[RawRow | BadRow]:
        """The rows in order, as ``read_rows`` gives those of a file. Raises DataError where there are none."""
        if not self.rows:
            raise DataError(f"{self.name}: holds no rows")
        return (_as_row(row, Origin(self.name, number)) for number, row in enumerate(self.rows, 1))

    def sha256(self) -> str:
        """Hash over the rows as JSON lines."""
        digest = sha256()
        for row in self.rows:
            digest.update(json.dumps(row, sort_keys=True, default=str).encode() + b"\n")
        return digest.hexdigest()


class _RepeatedKeyError(ValueError):
    """An object holds one key twice, so one of the values would be lost."""


def read_rows(path: str | Path, label: str | None = None) -> Iterator[RawRow | BadRow]:
    """Rows of a data file in order, one at a time; blank lines are skipped.

    ``label`` is the file's name in messages (default: the path as given). Raises DataError where the file is
    missing, empty, of an unknown kind, cut short, or a JSON document that is broken as a whole.
    """
    path, label = Path(path), label or str(path)
    kind = require_file(path)
    readers = {"json": _json_rows, "jsonl": _jsonl_rows}
    last = 0
    try:
        rows = readers[kind](path, label) if kind in readers else _table_rows(path, label, kind)
        for row in rows:
            last = row.origin.row
            yield row
    except DAMAGED as error:
        raise damaged(path, last, error) from None
    if not last:
        raise DataError(f"{path}: the file holds no rows: write it again")


def _table_rows(path: Path, label: str, kind: str) -> Iterator[RawRow | BadRow]:
    rows = parquet_rows(path) if kind == "parquet" else csv_rows(path, "\t" if kind == "tsv" else ",")
    for number, values in rows:
        origin = Origin(label, number)
        yield BadRow(origin, values, "unreadable") if isinstance(values, str) else RawRow(values, origin)


def _jsonl_rows(path: Path, label: str) -> Iterator[RawRow | BadRow]:
    with open_bytes(path) as file:
        yield from _rows_of_lines(file, path, label)


def _rows_of_lines(lines: Iterator[bytes], path: Path, label: str) -> Iterator[RawRow | BadRow]:
    number = 0
    for line in lines:
        if number == 0:
            if line.startswith(_UTF16):
                raise DataError(f"{path}: the file is UTF-16: save it as UTF-8")
            line = line.removeprefix(_BOM)
        # A bare \r cannot be inside a JSON string: here it ends a line, as old Macs wrote it.
        for piece in line.rstrip(b"\r\n").split(b"\r"):
            number += 1
            if piece.strip():
                yield _row_of_line(piece, Origin(label, number))


def _row_of_line(line: bytes, origin: Origin) -> RawRow | BadRow:
    try:
        return _as_row(json.loads(line.decode("utf-8"), object_pairs_hook=_unique_keys), origin)
    except UnicodeDecodeError as error:
        reason = f"invalid UTF-8 at byte {error.start + 1} of the line: save the file as UTF-8"
    except _RepeatedKeyError as error:
        reason = f"{error}: keep one"
    except json.JSONDecodeError as error:
        reason = f"broken JSON at column {error.colno}: {error.msg}: mend or remove the line"
    except ValueError as error:
        reason = f"broken JSON: {error}: mend or remove the line"
    except RecursionError:
        reason = "the JSON is nested too deeply: flatten or remove the row"
    return BadRow(origin, reason, "unreadable")


def _as_row(value: object, origin: Origin) -> RawRow | BadRow:
    if isinstance(value, Mapping):
        return RawRow(value, origin)
    what = {list: "a list", str: "text", type(None): "null"}.get(type(value), "a bare value")
    return BadRow(origin, f"the row is {what}, not an object: write {{...}} with named columns", "unreadable")


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _RepeatedKeyError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} occurs twice in one object")
    return values


def _json_rows(path: Path, label: str) -> Iterator[RawRow | BadRow]:
    with open_bytes(path) as file:
        raw = file.read()
    if raw.startswith(_UTF16):
        raise DataError(f"{path}: the file is UTF-16: save it as UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: invalid UTF-8: save the file as UTF-8") from None
    start = _skip(text, 0)
    if text.startswith("[", start):
        yield from _elements(text, start, path, label)
    elif _holds_lines(text[start:]):
        yield from _rows_of_lines(iter(raw.splitlines(keepends=True)), path, label)
    elif start < len(text):
        yield from _wrapped_elements(text, path, label)


def _holds_lines(text: str) -> bool:
    """Whether the first line is an object by itself and more follows: JSON lines under the name .json."""
    first, _, rest = text.partition("\n")
    try:
        return isinstance(json.loads(first), dict) and bool(rest.strip())
    except (ValueError, RecursionError):
        return False


def _wrapped_elements(text: str, path: Path, label: str) -> Iterator[RawRow | BadRow]:
    """Rows of ``{"data": [...]}``."""
    value = _whole(text, path)
    rows = value.get("data") if isinstance(value, dict) else None
    if not isinstance(rows, list):
        raise DataError(f'{path}: must hold a list of rows, or {{"data": [...]}}; one object per line is .jsonl')
    for number, row in enumerate(rows, 1):
        yield _as_row(row, Origin(label, number))


def _whole(text: str, path: Path) -> object:
    try:
        return json.loads(text, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        raise _broken(path, text, error.pos, error.msg, 0) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read: {error}: mend the file") from None


def _elements(text: str, start: int, path: Path, label: str) -> Iterator[RawRow | BadRow]:
    """Rows of a JSON list, decoded one by one so that a fault in one does not hide the others."""
    strict, plain = json.JSONDecoder(object_pairs_hook=_unique_keys), json.JSONDecoder()
    number, place = 0, _skip(text, start + 1)
    while not text.startswith("]", place) or number:
        number += 1
        origin = Origin(label, number)
        try:
            value, place = strict.raw_decode(text, place)
            yield _as_row(value, origin)
        except _RepeatedKeyError as error:
            yield BadRow(origin, f"{error}: keep one", "unreadable")
            place = plain.raw_decode(text, place)[1]
        except json.JSONDecodeError as error:
            raise _broken(path, text, error.pos, error.msg, number) from None
        except (ValueError, RecursionError) as error:
            raise _broken(path, text, place, str(error), number) from None
        place = _skip(text, place)
        if text.startswith("]", place):
            break
        if not text.startswith(",", place):
            raise _broken(path, text, place, "Expecting ',' or ']'", number)
        place = _skip(text, place + 1)
    end = _skip(text, place + 1)
    if end < len(text):
        raise _broken(path, text, end, "Extra data after the list", number)


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in _SPACE:
        place += 1
    return place


def _broken(path: Path, text: str, place: int, message: str, row: int) -> DataError:
    line, column = text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place)
    where = f" in row {row}" if row else ""
    return DataError(f"{path}:{line}:{column}: broken JSON{where}: {message}: mend the file")
