"""Room 1: preference files become validated records; nothing here needs torch or transformers."""

from __future__ import annotations

from .derive import STRATEGIES, Strategy, feedback_from_pair, pair_from_votes, pairs_from_ranking
from .formats import FORMATS, Format
from .load import LoadedFeedback, LoadedPairs, LoadedRankings, load_feedback, load_pairs, load_rankings
from .records import (
    CHOICES,
    ROLES,
    BadRow,
    Ballot,
    BinaryFeedback,
    Choice,
    ComparedAnswers,
    Comparison,
    Message,
    Origin,
    PreferencePair,
    Ranking,
    Record,
    Role,
    Turns,
    VotedPair,
)
from .report import DataReport, FileReport
from .rows import GivenRows, RawRow, read_rows
from .sources import Share, Skipped, SourceList
from .split import overlap, split_by_prompt

__all__ = [
    "CHOICES",
    "FORMATS",
    "ROLES",
    "STRATEGIES",
    "BadRow",
    "Ballot",
    "BinaryFeedback",
    "Choice",
    "ComparedAnswers",
    "Comparison",
    "DataReport",
    "FileReport",
    "Format",
    "GivenRows",
    "LoadedFeedback",
    "LoadedPairs",
    "LoadedRankings",
    "Message",
    "Origin",
    "PreferencePair",
    "Ranking",
    "RawRow",
    "Record",
    "Role",
    "Share",
    "Skipped",
    "SourceList",
    "Strategy",
    "Turns",
    "VotedPair",
    "feedback_from_pair",
    "load_feedback",
    "load_pairs",
    "load_rankings",
    "overlap",
    "pair_from_votes",
    "pairs_from_ranking",
    "read_rows",
    "split_by_prompt",
]
