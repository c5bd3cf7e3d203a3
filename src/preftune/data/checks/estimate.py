"""About how many rows a source holds, for the time that is left: from the size of the files and of their first rows."""

from __future__ import annotations

import json
from contextlib import closing
from itertools import islice

from ...errors import DataError
from ..files import file_kind
from ..records import BadRow
from ..sources import DataFile, SourceList, resolve
from .options import CheckOptions
from .stream import judged_view

_ROWS = 100
_GZIP_RATIO = 2.7  # text to gzip; the size in a gzip's last bytes is only known below 4 GiB and for one member


def estimated_rows(source: SourceList, options: CheckOptions) -> int | None:
    """Rows of all files, exact for parquet; None where the first rows tell nothing."""
    try:
        files, _ = resolve(source, judged_view(options))
        counts = [_rows_of(file) for file in files]
    except (DataError, OSError):  # the check itself will say what is wrong
        return None
    return None if None in counts else sum(count for count in counts if count)


def _rows_of(file: DataFile) -> int | None:
    if file.given is not None:
        return len(file.given.rows)
    if file_kind(file.path) == "parquet":
        return _parquet_rows(file)
    with closing(file.read()) as rows:  # type: ignore[type-var]
        first = [row for row in islice(rows, _ROWS) if not isinstance(row, BadRow)]
    if not first:
        return None
    if len(first) < _ROWS:
        return len(first)
    mean = sum(len(json.dumps(row.values, ensure_ascii=False, default=str).encode("utf-8", "replace")) for row in first)
    size = file.path.stat().st_size * (_GZIP_RATIO if file.path.suffix.lower() in (".gz", ".zst") else 1)
    return round(size / (mean / len(first) + 1))


def _parquet_rows(file: DataFile) -> int | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(file.path).num_rows)
    except pa.ArrowException:
        return None
