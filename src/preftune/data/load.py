"""The three doors of this room: pairs, binary feedback and rankings out of whatever a user names."""

from __future__ import annotations

from dataclasses import dataclass

from .formats import FEEDBACK, RANKINGS, pairs_view
from .reading import read_source
from .records import BinaryFeedback, PreferencePair, Ranking
from .report import DataReport
from .sources import SourceList


@dataclass(frozen=True, slots=True)
class LoadedPairs:
    """Pairs in the order of their files and rows, and how they came about."""

    pairs: tuple[PreferencePair, ...]
    report: DataReport


@dataclass(frozen=True, slots=True)
class LoadedFeedback:
    """Judged answers in the order of their files and rows, and how they came about."""

    records: tuple[BinaryFeedback, ...]
    report: DataReport


@dataclass(frozen=True, slots=True)
class LoadedRankings:
    """Rankings in the order of their files and rows, and how they came about."""

    records: tuple[Ranking, ...]
    report: DataReport


def load_pairs(
    source: SourceList,
    *,
    format: str = "auto",  # noqa: A002 - the config key is data.format
    max_bad_rows: int = 0,
    max_samples: int | None = None,
    seed: int = 0,
    rankings: str | None = None,
    margin_threshold: float | None = None,
) -> LoadedPairs:
    """Read every pair of a file, folder, glob, dataset_info.json entry (``folder:name``), or a list of these.

    ``format`` names one format for all rows; ``auto`` recognises each row by its keys. ``max_samples`` keeps a
    uniform sample that depends on ``seed``, in file order. Exact duplicates are kept and counted. ``rankings``
    makes pairs of rows that hold rankings, as ``pairs_from_ranking`` does with this strategy and
    ``margin_threshold``; without it such rows are refused.
    Raises DataError where a source cannot be read, where more than ``max_bad_rows`` rows cannot be used (all of
    them are counted, ten are listed), or where no pair is left.
    """
    view = pairs_view(rankings, margin_threshold)
    return LoadedPairs(
        *read_source(source, view, format=format, max_bad_rows=max_bad_rows, max_samples=max_samples, seed=seed)
    )


def load_feedback(
    source: SourceList,
    *,
    format: str = "auto",  # noqa: A002
    max_bad_rows: int = 0,
    max_samples: int | None = None,
    seed: int = 0,
) -> LoadedFeedback:
    """As ``load_pairs``, for answers with a label.

    A preference pair gives two records, the chosen answer as desirable and then the rejected one as undesirable;
    the report counts these pairs. ``max_samples`` counts records.
    """
    return LoadedFeedback(
        *read_source(source, FEEDBACK, format=format, max_bad_rows=max_bad_rows, max_samples=max_samples, seed=seed)
    )


def load_rankings(
    source: SourceList,
    *,
    format: str = "auto",  # noqa: A002
    max_bad_rows: int = 0,
    max_samples: int | None = None,
    seed: int = 0,
) -> LoadedRankings:
    """As ``load_pairs``, for rankings of two answers or more.

    A ranking in which all answers are tied is left out; the report lists it.
    """
    return LoadedRankings(
        *read_source(source, RANKINGS, format=format, max_bad_rows=max_bad_rows, max_samples=max_samples, seed=seed)
    )
