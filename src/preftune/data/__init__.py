"""Room 1: preference files become validated records; nothing here needs torch or transformers."""

from __future__ import annotations

from .formats import FORMATS, Format
from .load import LoadedPairs, load_pairs
from .records import ROLES, BadRow, Message, Origin, PreferencePair, Role, Turns
from .report import DataReport, FileReport
from .rows import RawRow, read_rows
from .sources import Skipped
from .split import overlap, split_by_prompt

__all__ = [
    "FORMATS",
    "ROLES",
    "BadRow",
    "DataReport",
    "FileReport",
    "Format",
    "LoadedPairs",
    "Message",
    "Origin",
    "PreferencePair",
    "RawRow",
    "Role",
    "Skipped",
    "Turns",
    "load_pairs",
    "overlap",
    "read_rows",
    "split_by_prompt",
]
