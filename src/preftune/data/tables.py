"""Rows of CSV, TSV and parquet tables; cells that hold messages as JSON text are parsed."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import DataError
from .files import open_bytes

TableRow = tuple[int, Mapping[str, object] | str]
"""1-based data row, and its values or why it cannot be read."""

_MESSAGES = re.compile(r"""\s*(\[\s*)?\{\s*(["'])(?:role|from|content|value|messages)\2\s*:""")
_UNDECODED = re.compile("[\udc80-\udcff]")


def csv_rows(path: Path, delimiter: str) -> Iterator[TableRow]:
    """Data rows of a table with a header line; blank lines count but give no row."""
    # The module's limit is per process; 128 KiB is less than one long conversation.
    csv.field_size_limit(max(csv.field_size_limit(), 2**31 - 1))
    with open_bytes(path) as file:
        if file.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):  # type: ignore[attr-defined]
            raise DataError(f"{path}: the file is UTF-16: save it as UTF-8")
        lines = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        names = _header(reader, path)
        number = 0
        while True:
            number += 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if "unexpected end" in str(error):
                    reason = f"a quote opened in data row {number} is never closed: close it"
                    raise DataError(f"{path}: {reason}") from None
                yield number, f"broken table row (line {reader.line_num}): {error}: mend its quotes"
                continue
            if cells:
                yield number, _values(names, cells)


def _header(reader: Iterator[list[str]], path: Path) -> list[str]:
    try:
        names = next((cells for cells in reader if cells), [])
    except csv.Error as error:
        raise DataError(f"{path}: broken header line: {error}: mend its quotes") from None
    names = [name.strip() for name in names]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise DataError(f"{path}: the header names {', '.join(map(repr, sorted(repeated)))} twice: rename one")
    return names


def _values(names: list[str], cells: list[str]) -> Mapping[str, object] | str:
    if len(cells) != len(names):
        return f"{len(cells)} cells where the header has {len(names)}: mend its quotes and separators"
    if any(_UNDECODED.search(cell) for cell in cells if not cell.isascii()):
        return "invalid UTF-8: save the file as UTF-8"
    return parse_cells(dict(zip(names, cells, strict=True)))


def parquet_rows(path: Path) -> Iterator[TableRow]:
    """Rows of a parquet file, read in batches."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as table:
            names = table.schema_arrow.names
            if len(set(names)) < len(names):
                raise DataError(f"{path}: two columns have one name: rename one")
            for batch in table.iter_batches(batch_size=1024):
                for values in batch.to_pylist():
                    number += 1
                    yield number, parse_cells(values)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as parquet after row {number} ({error}): write it again") from None


def parse_cells(values: Mapping[str, object]) -> Mapping[str, object] | str:
    """The row with messages that are stored as JSON text parsed, or why that cannot be done.

    Only text that opens like a message or a list of messages is touched: an answer that is itself JSON stays text.
    """
    parsed: dict[str, object] = dict(values)
    for name, value in values.items():
        if isinstance(value, str) and value.lstrip()[:1] in ("[", "{") and (start := _MESSAGES.match(value)):
            if start[2] == "'":
                return f"{name!r} holds messages as Python text, not JSON: write the column with json.dumps"
            try:
                parsed[name] = _messages_in(json.loads(value), value)
            except (ValueError, RecursionError) as error:
                if start[1]:
                    return f"{name!r} holds messages as broken JSON ({error}): mend or remove the row"
    return parsed


def _messages_in(value: object, text: str) -> object:
    """The parsed value where it is one message or several (or holds them, as OpenAI's input does), else the text."""
    first = value[0] if isinstance(value, list) and value else value
    is_message = isinstance(first, dict) and bool({"role", "from", "messages"} & set(first))
    return value if is_message else text
