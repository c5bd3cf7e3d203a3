"""One vote a row becomes one row for each item: the votes on the same prompt and two answers, in either order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from json import dumps

from .derive import SWAPPED
from .formats.base import Row, RowFault
from .formats.votes import PROMPTS, SHOWN_FIRST, VOTES_COLUMN, answer_columns, ballots_of, single_vote
from .records import BadRow, Ballot, Origin
from .rows import RawRow

_ITEM_COLUMNS = ("item", "item_id", "pair_id", "question_id", "task_id", "example_id", "idx", "id")
"""Columns that say what was judged, where a table of votes does not hold the texts."""


@dataclass(slots=True)
class _Item:
    """The first row on an item, and what the rows on it say."""

    row: RawRow
    answers: list[object]
    ballots: list[tuple[Ballot, bool]] = field(default_factory=list)
    """With each ballot, whether its row lists the answers in the other order."""
    others: list[Origin] = field(default_factory=list)


def gathered(rows: Iterable[RawRow | BadRow]) -> Iterator[RawRow | BadRow]:
    """The same rows, those of one vote gathered by item and given at the end; others pass as they come.

    An item is known by its texts, or by its id where there are none. A vote on the answers in the other order is
    turned round; where a table has such votes, its rows tell in which order the answers were shown.
    """
    items: dict[str, _Item] = {}
    for row in rows:
        key = None if isinstance(row, BadRow) else _item_key(row.values)
        if isinstance(row, BadRow) or key is None:
            yield row
            continue
        try:
            _add(items, key, row)
        except RowFault as fault:
            yield BadRow(row.origin, fault.reason, fault.kind)
    orders_known = any(swapped for item in items.values() for _, swapped in item.ballots)
    for item in items.values():
        votes = [_vote(ballot, swapped, orders_known) for ballot, swapped in item.ballots]
        yield replace(item.row, values={**item.row.values, VOTES_COLUMN: votes}, others=tuple(item.others))


def _item_key(row: Row) -> str | None:
    """What a row of one vote judges, the same for both orders of the answers; None for any other row."""
    if VOTES_COLUMN in row or single_vote(row) is None:
        return None
    names = answer_columns(row)
    if names is None:
        name = next((name for name in _ITEM_COLUMNS if name in row), None)
        return dumps(row[name], default=str) if name else None
    asked = [row.get(name) for name in (*PROMPTS, "system")]
    return dumps([asked, *sorted(dumps(row[name], default=str) for name in names)], default=str)


def _answers(row: Row) -> list[object]:
    return [row[name] for name in answer_columns(row) or ()]


def _add(items: dict[str, _Item], key: str, row: RawRow) -> None:
    """Put the vote of a row with the others on its item; RowFault where it is none."""
    ballots = ballots_of(row.values)
    item = items.get(key)
    if item is None:
        item = items[key] = _Item(row, _answers(row.values))
    else:
        item.others.append(row.origin)
    swapped = _answers(row.values) != item.answers
    item.ballots += [(ballot, swapped) for ballot in ballots]


def _vote(ballot: Ballot, swapped: bool, orders_known: bool) -> dict[str, object]:
    """A ballot as an item of a 'votes' column, in the order of the item's first row."""
    shown = ballot.shown_first or ("first" if orders_known else None)
    choice = SWAPPED[ballot.choice] if swapped else ballot.choice
    shown_first = SWAPPED[shown] if swapped and shown else shown
    return {"annotator": ballot.annotator, "vote": choice, SHOWN_FIRST: shown_first}
