"""The formats that rows may be written in, and how they are told apart.

A new one is a module with a ``Format`` and its name in ``_ALL``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import DataError, did_you_mean
from ..records import BadRow, Origin, PreferencePair
from .base import Format, Row, RowFault
from .chat_services import OPENAI, SWIFT, SWIFT_KTO
from .compared import COMPARED, QA_FEEDBACK
from .hh import HH
from .llamafactory import ALPACA, ALPACA_KTO, LLAMAFACTORY, SHAREGPT, SHAREGPT_KTO
from .rankings import NECTAR, SCORED, ULTRAFEEDBACK_RAW
from .renamed import INTEL, RESPONSES
from .trl import TRL, ULTRAFEEDBACK
from .trl_kto import TRL_KTO
from .views import FEEDBACK, RANKINGS, WHAT, Made, R, View, pairs_view
from .votes import VOTES, answer_columns

__all__ = [
    "FEEDBACK",
    "FORMATS",
    "RANKINGS",
    "WHAT",
    "Format",
    "Made",
    "Row",
    "RowFault",
    "View",
    "convert",
    "detect",
    "format_named",
    "pairs_view",
]

_PAIRS = (TRL, ULTRAFEEDBACK, HH, ALPACA, SHAREGPT, LLAMAFACTORY, OPENAI, SWIFT, RESPONSES, INTEL)
_FEEDBACK = (TRL_KTO, SWIFT_KTO, ALPACA_KTO, SHAREGPT_KTO)
_RANKINGS = (SCORED, NECTAR, ULTRAFEEDBACK_RAW)
_ALL = (*_PAIRS, *_FEEDBACK, *_RANKINGS, VOTES, COMPARED, QA_FEEDBACK)

FORMATS: Mapping[str, Format] = {fmt.name: fmt for fmt in _ALL}
"""Every format by the name that ``data.format`` takes."""

_DETECTED = tuple(fmt for fmt in _ALL if fmt.detected)

# Known layouts of votes that are not read, by keys that only they have.
_VOTES: Mapping[frozenset[str], str] = {
    frozenset({"human_ref_A", "human_ref_B"}): "two answers with a vote (SHP)",
}


def format_named(name: str, view: View[Any]) -> Format | None:
    """The format of this name, None for ``auto``. Raises DataError for an unknown one, or one of other records."""
    if name == "auto":
        return None
    if name not in FORMATS:
        raise DataError(f"data.format: unknown format {name!r}{did_you_mean(name, ['auto', *FORMATS])}")
    found = FORMATS[name]
    refusals = [view.refusal(fmt.gives) for fmt in found.members or (found,)]
    if all(refusals):
        raise DataError(f"data.format: {name!r} holds {refusals[0]}")
    return found


def detect(row: Row, view: View[Any]) -> Format:
    """The one format that a row is written in; RowFault where there is none or more than one."""
    found = [fmt for fmt in _DETECTED if fmt.matches(row)]
    if len(found) == 1:
        return found[0]
    keys = ", ".join(map(str, row)) or "no keys"
    if found:
        names = " and ".join(fmt.name for fmt in found)
        raise RowFault("unknown format", f"could be {names} (keys: {keys}): name one in data.format")
    for wanted, what in _VOTES.items():
        if wanted <= set(row):
            raise RowFault("unknown format", f"{what}, not {view.what}: give rows with {view.columns}")
    if answers := answer_columns(row):
        both = " and ".join(map(repr, answers))
        raise RowFault("missing column", f"{both} without votes (keys: {keys}): add 'annotator1'")
    raise _unrecognised(row, keys, view)


def _unrecognised(row: Row, keys: str, view: View[Any]) -> RowFault:
    for given, wanted in view.partners:
        if given in row and wanted not in row:
            return RowFault("missing column", f"no {wanted!r} (the row has {keys}): add it")
    if "chosen" in row and PreferencePair in view.takes:
        return RowFault(
            "unknown format", f"it is not clear which column is the prompt (keys: {keys}): name it 'prompt'"
        )
    advice = f"name the columns {view.columns}, or write one of the formats of docs/data_formats.md"
    return RowFault("unknown format", f"no {view.what} are recognised (keys: {keys}): {advice}")


def convert(row: Row, origin: Origin, given: Format | None, view: View[R]) -> tuple[Made[R] | BadRow, Format | None]:
    """The records of one row, or why it is none; and the format it was read as (None: not recognised)."""
    fmt = None
    try:
        fmt = given.of(row) if given else detect(row, view)
        refusal = view.refusal(fmt.gives)
        if refusal:
            raise RowFault("unknown format", refusal)
        return view.takes[fmt.gives](fmt.convert(row, origin)), fmt
    except RowFault as fault:
        return BadRow(origin, fault.reason, fault.kind), fmt
