"""What was read, from where, and what was left out: nothing vanishes without a line here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from .records import BadRow
from .sources import Skipped


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file: ``rows_read = rows_used + rows_without_record + bad_rows``."""

    path: str
    sha256: str
    formats: Mapping[str, int]
    """Rows by the format that they were read as (``unknown``: recognised as none); more than one is a mixed file."""
    rows_read: int
    rows_used: int
    """Rows that gave one record or more (votes gathered by item: together), sampled or not."""
    rows_without_record: int
    """Rows that can be read and say nothing: all answers tied, or nearer than the threshold."""
    bad_rows: int
    records: int
    """Records given back."""
    sampled_out: int
    """Usable records that ``max_samples``, ``num_samples`` or the weights of a mixture left out."""
    entry: str | None = None
    """Name in dataset_info.json, where the file comes from one."""

    def __post_init__(self) -> None:
        if self.rows_read != self.rows_used + self.rows_without_record + self.bad_rows:
            raise AssertionError(f"{self.path}: rows were lost: {self}")


@dataclass(frozen=True, slots=True)
class DataReport:
    """The counts of one load, and every row that was left out with its reason."""

    holds: str
    """What the records are: ``preference pairs``, ``binary feedback`` or ``rankings``."""
    files: tuple[FileReport, ...]
    bad_rows: tuple[BadRow, ...]
    without_record: tuple[BadRow, ...]
    """Rows that can be read and prefer nothing; ``max_bad_rows`` does not count them."""
    duplicates: int
    """Records equal in prompt, answers and judgement to an earlier one; they are kept."""
    several_turns: int
    """Records in which an answer goes on over further turns; only assistant turns are scored."""
    ignored_columns: Mapping[str, int]
    """Columns that no format reads, with the number of rows that have them."""
    counts: Mapping[str, int]
    """What was made of rows of another kind: ``pairs_split`` into a desirable and an undesirable answer each,
    ``votes_counted`` to decide pairs, ``rankings_compared`` to make pairs, ``comparisons_left_out`` of those (ties,
    or nearer than the threshold), ``answers_without_score`` that were left out of rankings."""
    skipped: tuple[Skipped, ...]
    """Parts of a source that hold no such records and were not read."""

    @property
    def rows_read(self) -> int:
        """Rows of all files, usable or not."""
        return sum(file.rows_read for file in self.files)

    @property
    def records(self) -> int:
        """Records given back."""
        return sum(file.records for file in self.files)

    def to_json(self) -> dict[str, object]:
        """Plain values for data_report.json."""
        return {
            "holds": self.holds,
            "rows_read": self.rows_read,
            "records": self.records,
            "sampled_out": sum(file.sampled_out for file in self.files),
            "duplicates": self.duplicates,
            "several_turns": self.several_turns,
            "counts": dict(self.counts),
            "files": [{**asdict(file), "formats": dict(file.formats)} for file in self.files],
            "bad_row_kinds": count_kinds(self.bad_rows),
            "bad_rows": _plain(self.bad_rows),
            "without_record": _plain(self.without_record),
            "ignored_columns": dict(self.ignored_columns),
            "skipped": [asdict(one) for one in self.skipped],
        }


def _plain(rows: Sequence[BadRow]) -> list[dict[str, object]]:
    return [{"file": b.origin.file, "row": b.origin.row, "kind": b.kind, "reason": b.reason} for b in rows]


def count_kinds(bad_rows: Sequence[BadRow]) -> dict[str, int]:
    """Bad rows by kind, the most frequent first."""
    return dict(Counter(bad.kind for bad in bad_rows).most_common())


def list_bad_rows(bad_rows: Sequence[BadRow], most: int = 10) -> str:
    """One line each for the first rows, then how many more."""
    lines = [f"  {bad}" for bad in bad_rows[:most]]
    if len(bad_rows) > most:
        lines.append(f"  ... and {len(bad_rows) - most} more")
    return "\n".join(lines)
