"""A table of many rows: sorted, filtered and unfolded by ``table.js``, which writes text only, never HTML.

On a phone its rows are drawn as blocks, which would take the meaning of a table from them: hence the roles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from markupsafe import Markup

from .markup import clean, data_block, el

Kind = Literal["text", "number", "tags"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column; ``key`` names its value in a row."""

    key: str
    title: str
    kind: Kind = "text"
    """Numbers are sorted as such; ``tags`` are lists of short words, each a filter of its own."""
    digits: int = 0
    """After the point."""
    hint: str = ""
    """What it means, shown over the heading."""


@dataclass(frozen=True, slots=True)
class Detail:
    """A text of a row, shown when it is unfolded. Where two columns are ``compared``, their differences are marked."""

    key: str
    title: str
    is_compared: bool = False


def table(
    name: str,
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Any]],
    details: Sequence[Detail] = (),
    *,
    caption: str,
    sort: str | None = None,
) -> Markup:
    """The table ``name`` (an id, unique on the page). Rows are plain values; a missing or null one shows as empty.

    ``sort`` is the column that it is first sorted by, ``-key`` for the highest first; None keeps the order.
    """
    keys = [column.key for column in columns] + [detail.key for detail in details]
    held = {
        "columns": [asdict(column) for column in columns],
        "details": [asdict(detail) for detail in details],
        "rows": [[_plain(row.get(key)) for key in keys] for row in rows],
        "sort": sort,
    }
    heads = [
        el(
            "th",
            el("button", column.title, type="button", title=column.hint or None),
            scope="col",
            role="columnheader",
            data_key=column.key,
            class_=f"is-{column.kind}",
        )
        for column in columns
    ]
    controls = el(
        "div",
        el("label", "Search ", el("input", type="search", class_="search", placeholder="text in any column")),
        el("span", class_="filters"),
        el("output", class_="count", aria_live="polite"),
        class_="controls",
    )
    head = el("thead", el("tr", heads, role="row"), role="rowgroup")
    grid = el("table", el("caption", caption), head, el("tbody", role="rowgroup"), role="table")
    more = el("button", "Show more", type="button", class_="more", hidden=True)
    no_script = el("noscript", el("p", "This table needs JavaScript; everything else on this page does not."))
    return el(
        "div",
        controls,
        el("div", grid, class_="scroll"),
        more,
        no_script,
        data_block(f"{name}-data", held),
        class_="table",
        id=name,
    )


def _plain(value: object) -> object:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if (isinstance(value, float) and value != value) or value in (float("inf"), float("-inf")):
        return None
    return value
