"""The cleaned set and its account as files: JSON lines or parquet, and JSON lines of changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import DataError
from .mend import Mended

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
Write = Callable[[Row], None]

_BATCH = 1024
_TURNS = frozenset({"prompt", "chosen", "rejected", "completion"})


def refuse_ending(path: Path) -> None:
    """Raises DataError for a file name that is neither JSON lines nor parquet."""
    if path.suffix not in (".jsonl", ".parquet"):
        raise DataError(f"--fix: {path}: the name must end in .jsonl or .parquet")


def write_mended(mended: Mended, rows_path: Path, changes_path: Path) -> None:
    """Write both files. Raises AssertionError where the rows do not add up."""
    kept = dropped = 0
    with (
        _rows_writer(rows_path, mended) as write_row,
        changes_path.open("w", encoding="utf-8", newline="\n") as account,
    ):
        for row, changes in mended.output():
            if row is None:
                dropped += 1
            else:
                kept += 1
                write_row(row)
            for change in changes:
                account.write(f"{json.dumps(change.to_json())}\n")
    if (kept, kept + dropped) != (mended.kept, mended.read):
        raise AssertionError(f"{rows_path}: {kept} kept and {dropped} dropped of {mended.read}")


@contextmanager
def _rows_writer(path: Path, mended: Mended) -> Iterator[Write]:
    if path.suffix == ".jsonl":
        with path.open("w", encoding="utf-8", newline="\n") as file:
            yield lambda row: print(json.dumps(row, ensure_ascii=False), file=file)
        return
    with _parquet_writer(path, _schema(mended)) as write:
        yield write


@contextmanager
def _parquet_writer(path: Path, schema: pa.Schema) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    batch: list[Row] = []
    with pq.ParquetWriter(path, schema) as writer:

        def flush() -> None:
            writer.write_table(pa.Table.from_pylist([_cells(row, schema) for row in batch], schema=schema))
            batch.clear()

        def write(row: Row) -> None:
            batch.append(row)
            if len(batch) == _BATCH:
                flush()

        yield write
        if batch:
            flush()


def _schema(mended: Mended) -> pa.Schema:
    """Columns of all rows. Where texts and chats are mixed, chats are JSON text in a column of text."""
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    turns = pa.list_(message) if mended.kinds == {"chat"} else pa.string()
    types = {"label": pa.bool_(), "weight": pa.float64(), "margin": pa.float64()}
    names = dict.fromkeys(name for row, _ in mended.output() if row for name in row)
    if {"chosen", "completion"} <= names.keys():
        raise DataError("--fix: pairs and single answers have different columns, which parquet cannot tell: use .jsonl")
    return pa.schema([(name, turns if name in _TURNS else types.get(name, pa.string())) for name in names])


def _cells(row: Row, schema: pa.Schema) -> Row:
    """The row as its schema wants it."""
    import pyarrow as pa

    as_text = pa.types.is_string(schema.field("prompt").type)
    return {
        name: json.dumps(value, ensure_ascii=False) if as_text and isinstance(value, list) else value
        for name, value in row.items()
    }
