"""Charts as inline SVG, readable without scripts; ``chart.js`` adds the values under the pointer, and zoom to curves.

Drawings are 380 units wide, about the width of a phone, so that their text has a readable size there. Colours are
names of the style sheet: ``chosen``, ``rejected``, ``first`` to ``fourth``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise

from markupsafe import Markup

from .axes import Scale, fitted, tick_label
from .markup import Child, el
from .parts import percent

WIDTH, HEIGHT = 380, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 374, 10, 210
_BAR_TOP, _LABEL, _ROW = 6, 122, 26
_COLOURS = ("first", "second", "third", "fourth")

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """One curve. Values that are None or not finite are gaps."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float | None]
    colour: str = ""
    """A colour of the style sheet; empty: the next in line."""
    is_dashed: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """A range of y values that is shaded, such as that of a healthy KL."""

    low: float
    high: float
    name: str


def lines(
    title: str,
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    note: Child = None,
    bands: Sequence[Band] = (),
) -> Markup:
    """Curves over a common x, such as a metric by step. Drag over a range to zoom; a double click shows all again."""
    series = _coloured(series)
    ys = [y for one in series for y in one.ys if y is not None]
    x = fitted([x for one in series for x in one.xs], _LEFT, _RIGHT)
    y = fitted(ys, _BOTTOM, _TOP)
    shades = [_shade(band, y) for band in bands if band.low < y.high and band.high > y.low]
    curves = [
        el("path", class_=f"line {one.colour}{' dashed' if one.is_dashed else ''}", d=_path(one, x, y))
        for one in series
    ]
    drawing = [_axes(x, y, x_label, y_label), shades, el("g", curves, class_="curves")]
    return _figure(title, _legend(series), drawing, note, hover=_hover(series, x, y), can_zoom=True)


def scatter(
    title: str,
    points: Sequence[Point],
    *,
    x_label: str,
    y_label: str,
    above: str,
    below: str,
    note: Child = None,
) -> Markup:
    """Points on common logarithmic axes; those above and below the diagonal have names and colours of their own."""
    placed = [(max(1.0, x), max(1.0, y)) for x, y in points]
    every = [value for point in placed for value in point]
    x, y = fitted(every, _LEFT, _RIGHT, is_log=True), fitted(every, _BOTTOM, _TOP, is_log=True)
    sides = {
        "rejected": [p for p in placed if p[1] > p[0]],
        "chosen": [p for p in placed if p[1] < p[0]],
        "even": [p for p in placed if p[1] == p[0]],
    }
    # One path of dots for each side: a tenth of the bytes of so many circles.
    dots = [
        el("path", class_=f"dots {side}", d="".join(f"M{x(px)} {y(py)}h0" for px, py in found))
        for side, found in sides.items()
        if found
    ]
    diagonal = el("line", class_="diagonal", x1=x.start, y1=y.start, x2=x.end, y2=y.end)
    legend = _keys([("chosen", below), ("rejected", above)])
    return _figure(title, legend, [_axes(x, y, x_label, y_label), diagonal, *dots], note)


def histogram(
    title: str,
    edges: Sequence[float],
    counts: Mapping[str, Sequence[float]],
    *,
    x_label: str,
    is_log: bool = False,
    note: Child = None,
) -> Markup:
    """Shares of several groups in common bins, as outlines; each group adds up to 1."""
    shares = {name: [n / (sum(group) or 1) for n in group] for name, group in counts.items()}
    x = fitted(edges, _LEFT, _RIGHT, is_log=is_log)
    y = fitted([share for group in shares.values() for share in group], _BOTTOM, _TOP, zero=True)
    middles = [math.sqrt(a * b) if is_log else (a + b) / 2 for a, b in pairwise(edges)]
    series = _coloured([Series(name, middles, group, name) for name, group in shares.items()])
    outlines = [el("path", class_=f"area {one.colour}", d=_outline(edges, one.ys, x, y)) for one in series]
    drawing = [_axes(x, y, x_label, "share", is_share=True), *outlines]
    hover = _hover(series, x, y) | {"percent": True, "edges": list(edges)}
    return _figure(title, _legend(series), drawing, note, hover=hover)


def bars(
    title: str,
    shares: Mapping[str, float],
    target: Mapping[str, float] | None = None,
    note: Child = None,
    *,
    value: str = "share",
    mark: str = "target",
) -> Markup:
    """Horizontal bars of shares, long names cut; ``target`` is a mark for each bar. The legend names both."""
    target = target or {}
    names = list(dict.fromkeys([*shares, *target]))
    x = Scale(0.0, max([*shares.values(), *target.values(), 0.01]) * 1.02, _LABEL, WIDTH - 58)
    drawing = [
        _bar(name, shares.get(name, 0.0), target.get(name), x, _BAR_TOP + place * _ROW, mark)
        for place, name in enumerate(names)
    ]
    legend = _keys([("bar", value), ("target", mark)]) if target else None
    return _figure(title, legend, drawing, note, height=_BAR_TOP * 2 + _ROW * len(names))


def _bar(name: str, share: float, target: float | None, x: Scale, y: float, mark: str) -> Markup:
    said = f"{name}: {percent(share)}" + (f" ({mark} {percent(target)})" if target is not None else "")
    end = x(target) if target is not None else None
    return el(
        "g",
        el("title", said),
        el("text", name if len(name) <= 18 else f"{name[:17]}…", class_="name", x=_LABEL - 8, y=y + 14),
        el("rect", class_="bar", x=_LABEL, y=y + 2, width=round(x(share) - _LABEL, 1), height=_ROW - 10, rx=2),
        el("line", class_="target", x1=end, x2=end, y1=y - 1, y2=y + _ROW - 5) if end is not None else None,
        el("text", percent(share), class_="value", x=WIDTH - 4, y=y + 14),
    )


def _figure(
    title: str,
    legend: Child,
    drawing: Child,
    note: Child,
    *,
    height: int = HEIGHT,
    hover: Mapping[str, object] | None = None,
    can_zoom: bool = False,
) -> Markup:
    plot = json.dumps({**hover, "zoom": can_zoom}, separators=(",", ":")) if hover else None
    picture = el(
        "svg", drawing, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=title, tabindex="0" if hover else None
    )
    reset = el("button", "Show all", type="button", class_="reset", hidden=True) if can_zoom else None
    head = el("figcaption", el("span", title, class_="title"), legend, reset)
    note = el("p", note, class_="note") if note else None
    return el("figure", head, el("div", picture, class_="plot", data_plot=plot), note, class_="chart")


def _axes(x: Scale, y: Scale, x_label: str, y_label: str, *, is_share: bool = False) -> Markup:
    grid = [el("line", class_="grid", x1=_LEFT, x2=_RIGHT, y1=y(tick), y2=y(tick)) for tick in y.ticks()]
    said = _tick_percent if is_share else tick_label
    y_ticks = [el("text", said(tick), x=_LEFT - 6, y=y(tick) + 4) for tick in y.ticks()]
    x_ticks = [el("text", tick_label(tick), x=x(tick), y=_BOTTOM + 17) for tick in x.ticks()]
    return el(
        "g",
        el("g", grid, class_="rules"),
        el("g", y_ticks, class_="y-ticks"),
        el("g", x_ticks, class_="x-ticks"),
        el("text", x_label, class_="x-label", x=(_LEFT + _RIGHT) / 2, y=HEIGHT - 6),
        el("text", y_label, class_="y-label", x=-(_TOP + _BOTTOM) / 2, y=12, transform="rotate(-90)"),
        class_="axes",
    )


def _tick_percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _shade(band: Band, y: Scale) -> Markup:
    top, bottom = y(min(band.high, y.high)), y(max(band.low, y.low))
    return el("rect", el("title", band.name), class_="band", x=_LEFT, y=top, width=_RIGHT - _LEFT, height=bottom - top)


def _path(one: Series, x: Scale, y: Scale) -> str:
    pieces, pen = [], "M"
    for px, py in zip(one.xs, one.ys, strict=True):
        if py is None or not math.isfinite(py):
            pen = "M"
            continue
        pieces.append(f"{pen}{x(px)} {y(py)}")
        pen = "L"
    return "".join(pieces)


def _outline(edges: Sequence[float], shares: Sequence[float | None], x: Scale, y: Scale) -> str:
    pieces = [f"M{x(edges[0])} {y(0)}"]
    for left, right, share in zip(edges[:-1], edges[1:], shares, strict=True):
        pieces.append(f"L{x(left)} {y(share or 0)}H{x(right)}")
    return "".join([*pieces, f"V{y(0)}"])


def _coloured(series: Sequence[Series]) -> list[Series]:
    known = {"chosen", "rejected", *_COLOURS}
    spare = cycle(_COLOURS)
    return [Series(s.name, s.xs, s.ys, s.colour if s.colour in known else next(spare), s.is_dashed) for s in series]


def _legend(series: Sequence[Series]) -> Markup:
    return _keys([(f"{s.colour}{' dashed' if s.is_dashed else ''}", s.name) for s in series])


def _keys(keys: Sequence[tuple[str, str]]) -> Markup:
    return el("span", [el("span", el("i", class_=colour), name, class_="key") for colour, name in keys], class_="keys")


def _hover(series: Sequence[Series], x: Scale, y: Scale) -> dict[str, object]:
    """What ``chart.js`` needs to find values under the pointer and to draw a range again."""
    finite = [[v if v is not None and math.isfinite(v) else None for v in s.ys] for s in series]
    return {
        "box": [_LEFT, _TOP, _RIGHT, _BOTTOM],
        "x": [x.low, x.high],
        "y": [y.low, y.high],
        "log": x.is_log,
        "series": [
            {"name": s.name, "colour": s.colour, "xs": list(s.xs), "ys": ys}
            for s, ys in zip(series, finite, strict=True)
        ],
    }
