"""The formats that rows may be written in, and how they are told apart.

A new one is a module with a ``Format`` and its name in ``_ALL``.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...errors import DataError, did_you_mean
from ..records import BadRow, Origin, PreferencePair
from .base import Format, Row, RowFault
from .chat_services import OPENAI, SWIFT
from .hh import HH
from .llamafactory import ALPACA, LLAMAFACTORY, SHAREGPT
from .renamed import INTEL, RESPONSES
from .trl import TRL, ULTRAFEEDBACK

__all__ = ["FORMATS", "Format", "Row", "RowFault", "convert", "detect", "format_named"]

_ALL = (TRL, ULTRAFEEDBACK, HH, ALPACA, SHAREGPT, LLAMAFACTORY, OPENAI, SWIFT, RESPONSES, INTEL)

FORMATS: Mapping[str, Format] = {fmt.name: fmt for fmt in _ALL}
"""Every format by the name that ``data.format`` takes."""

_DETECTED = tuple(fmt for fmt in _ALL if fmt.detected)

# Known layouts that hold no pairs, by keys that only they have.
_NOT_PAIRS: Mapping[frozenset[str], str] = {
    frozenset({"completion", "label"}): "one answer with a label (binary feedback)",
    frozenset({"messages", "label"}): "one conversation with a label (binary feedback)",
    frozenset({"completions"}): "a list of rated answers",
    frozenset({"answers"}): "a list of ranked answers",
    frozenset({"human_ref_A", "human_ref_B"}): "two answers with a vote (SHP)",
    frozenset({"response1", "response2"}): "two answers with votes",
    frozenset({"output_1", "output_2"}): "two answers with a vote",
    frozenset({"response_a", "response_b"}): "two answers with a vote",
    frozenset({"prediction 1", "prediction 2"}): "several answers with votes",
}


def format_named(name: str) -> Format | None:
    """The format of this name, None for ``auto``. Raises DataError for an unknown one."""
    if name == "auto":
        return None
    if name not in FORMATS:
        raise DataError(f"data.format: unknown format {name!r}{did_you_mean(name, ['auto', *FORMATS])}")
    return FORMATS[name]


def detect(row: Row) -> Format:
    """The one format that a row is written in; RowFault where there is none or more than one."""
    found = [fmt for fmt in _DETECTED if fmt.matches(row)]
    if len(found) == 1:
        return found[0]
    keys = ", ".join(map(str, row)) or "no keys"
    if found:
        names = " and ".join(fmt.name for fmt in found)
        raise RowFault("unknown format", f"could be {names} (keys: {keys}): name one in data.format")
    for wanted, what in _NOT_PAIRS.items():
        if wanted <= set(row):
            raise RowFault("unknown format", f"{what}, not a preference pair: give rows with 'chosen' and 'rejected'")
    raise _unrecognised(row, keys)


def _unrecognised(row: Row, keys: str) -> RowFault:
    for side, other in (("chosen", "rejected"), ("rejected", "chosen")):
        if other in row and side not in row:
            return RowFault("missing column", f"no {side!r} (the row has {keys}): add it")
    if "chosen" in row:
        return RowFault(
            "unknown format", f"it is not clear which column is the prompt (keys: {keys}): name it 'prompt'"
        )
    advice = "name the columns 'prompt', 'chosen' and 'rejected', or write one of the formats of docs/data_formats.md"
    return RowFault("unknown format", f"no preference pair is recognised (keys: {keys}): {advice}")


def convert(row: Row, origin: Origin, given: Format | None) -> tuple[PreferencePair | BadRow, Format | None]:
    """The record of one row, or why it is none; and the format it was read as (None: not recognised)."""
    fmt = given
    try:
        fmt = fmt or detect(row)
        return fmt.convert(row, origin), fmt
    except RowFault as fault:
        return BadRow(origin, fault.reason, fault.kind), fmt
