"""The section about annotators: agreement, each of them against the others, and two by two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .charts import bars
from .markup import Child, el
from .page import Section
from .parts import facts, percent, rows_table

Json = Mapping[str, Any]

_MOST_LINES = 50
_NOTE = (
    "Krippendorff's alpha: 1 is full agreement, 0 is what chance gives; 0.8 is reliable, 0.667 the least to build on."
)


def agreement_section(statistics: Json) -> Section | None:
    """Of ``statistics["agreement"]`` (docs/annotators.md); None where the data hold no votes of several annotators."""
    found = statistics.get("agreement")
    if not found or found["annotators"] < 2:
        return None
    total = sum(found["choices"].values()) or 1
    votes = bars("Votes", {name: count / total for name, count in found["choices"].items()}, note=_position(found))
    body = [facts(_tiles(found)), el("div", votes, class_="charts"), _quality(found), _cohen(found)]
    return Section("annotators", "Annotators", body, _NOTE)


def _tiles(found: Json) -> dict[str, str | tuple[str, str]]:
    tiles: dict[str, str | tuple[str, str]] = {
        "annotators": f"{found['annotators']:,}",
        "items": (f"{found['items']:,}", f"{found['votes']:,} votes"),
    }
    if found["raw"] is not None:
        tiles["raw agreement"] = percent(found["raw"]), f"unanimous: {percent(found['unanimous'])}"
    for scale in ("nominal", "ordinal"):
        if alpha := found[f"alpha_{scale}"]:
            tiles[f"alpha, {scale}"] = f"{alpha['value']:.3f}", f"95 %: {alpha['low']:.3f} to {alpha['high']:.3f}"
    if found["fleiss"] is not None:
        tiles["Fleiss' kappa"] = f"{found['fleiss']:.3f}"
    return tiles


def _position(found: Json) -> str | None:
    known = found["shown_first"]
    place = known or found["listed_first"]
    if not place:
        return None
    note = f"The answer {'shown' if known else 'listed'} first wins {percent(place['share'])} of the decisive votes"
    note += f" (95 %: {percent(place['low'])} to {percent(place['high'])})."
    if found["judged_in_both_orders"]:
        note += f" {found['flipped']:,} of {found['judged_in_both_orders']:,} winners change with the order."
    return note


def _quality(found: Json) -> Child:
    ranked = sorted(found["quality"], key=lambda one: (one["agreement"] is None, one["agreement"]))
    rows = [
        (
            one["annotator"] + (" (below the others)" if one["is_below"] else ""),
            f"{one['votes']:,}",
            *(map(percent, (one["agreement"], one["low"], one["high"])) if one["compared"] else ("", "", "")),
            *map(percent, one["choices"]),
        )
        for one in ranked[:_MOST_LINES]
    ]
    heads = ("annotator", "votes", "agrees", "95 % from", "to", "first", "tie", "second")
    more = _more(len(ranked))
    return [el("h3", "Each annotator against the majority of the others"), rows_table(heads, rows), more]


def _cohen(found: Json) -> Child:
    rows = [
        (
            " and ".join(one["annotators"]),
            f"{one['items']:,}",
            percent(one["raw"]),
            "" if one["kappa"] is None else f"{one['kappa']:.3f}",
        )
        for one in found["cohen"][:_MOST_LINES]
    ]
    if not rows:
        return None
    heads = ("annotators", "items", "agree", "Cohen's kappa")
    return [el("h3", "Two by two"), rows_table(heads, rows), _more(len(found["cohen"]))]


def _more(lines: int) -> Child:
    return el("p", f"{lines - _MOST_LINES:,} more are in the JSON.", class_="note") if lines > _MOST_LINES else None
