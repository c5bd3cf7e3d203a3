"""What was read, from where, and what was left out: nothing vanishes without a line here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from .records import BadRow
from .sources import Skipped


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file: ``rows_read = pairs + bad_rows + sampled_out``."""

    path: str
    sha256: str
    formats: Mapping[str, int]
    """Rows by the format that they were read as (``unknown``: recognised as none); more than one is a mixed file."""
    rows_read: int
    pairs: int
    bad_rows: int
    sampled_out: int
    """Usable pairs that ``max_samples`` left out."""
    entry: str | None = None
    """Name in dataset_info.json, where the file comes from one."""

    def __post_init__(self) -> None:
        if self.rows_read != self.pairs + self.bad_rows + self.sampled_out:
            raise AssertionError(f"{self.path}: rows were lost: {self}")


@dataclass(frozen=True, slots=True)
class DataReport:
    """The counts of one load, and every row that was left out with its reason."""

    files: tuple[FileReport, ...]
    bad_rows: tuple[BadRow, ...]
    duplicate_pairs: int
    """Pairs equal in prompt and both answers to an earlier one; they are kept."""
    several_turn_pairs: int
    """Pairs in which an answer goes on over further turns; only assistant turns are scored."""
    ignored_columns: Mapping[str, int]
    """Columns that no format reads, with the number of rows that have them."""
    skipped: tuple[Skipped, ...]
    """Parts of a source that hold no pairs and were not read."""

    @property
    def rows_read(self) -> int:
        """Rows of all files, usable or not."""
        return sum(file.rows_read for file in self.files)

    @property
    def pairs(self) -> int:
        """Pairs given back."""
        return sum(file.pairs for file in self.files)

    def to_json(self) -> dict[str, object]:
        """Plain values for data_report.json."""
        bad = [{"file": b.origin.file, "row": b.origin.row, "kind": b.kind, "reason": b.reason} for b in self.bad_rows]
        return {
            "rows_read": self.rows_read,
            "pairs": self.pairs,
            "sampled_out": sum(file.sampled_out for file in self.files),
            "duplicate_pairs": self.duplicate_pairs,
            "several_turn_pairs": self.several_turn_pairs,
            "files": [{**asdict(file), "formats": dict(file.formats)} for file in self.files],
            "bad_row_kinds": count_kinds(self.bad_rows),
            "bad_rows": bad,
            "ignored_columns": dict(self.ignored_columns),
            "skipped": [asdict(one) for one in self.skipped],
        }


def count_kinds(bad_rows: Sequence[BadRow]) -> dict[str, int]:
    """Bad rows by kind, the most frequent first."""
    return dict(Counter(bad.kind for bad in bad_rows).most_common())


def list_bad_rows(bad_rows: Sequence[BadRow], most: int = 10) -> str:
    """One line each for the first rows, then how many more."""
    lines = [f"  {bad}" for bad in bad_rows[:most]]
    if len(bad_rows) > most:
        lines.append(f"  ... and {len(bad_rows) - most} more")
    return "\n".join(lines)
