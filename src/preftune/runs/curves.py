"""The training curves as one picture: six panels, training and held-out, for readers of any colour vision."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .atomic import atomic_write
from .metrics_log import held_out_rows, training_rows
from .text import short, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, int | float]
Rows = Sequence[Row]

# Okabe and Ito's palette, told apart in every common form of colour blindness; the purple darker, for text in it.
BLUE, VERMILLION, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#B0508A", "#666666"
KL_BAND_NATS = (0.1, 10.0)
SMOOTH_ABOVE_POINTS = 30

_WIDTH_INCHES, _HEIGHT_INCHES, _DOTS_PER_INCH = 10.7, 10.0, 150
_LABEL_GAP = 0.075
"""Least distance of two labels, as a fraction of the panel's height."""
_CJK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "Microsoft YaHei",
    "PingFang SC",
)


def draw_curves(path: Path, history: Rows, *, title: str, subtitle: str = "", health: str = "") -> None:
    """Write ``training_curves.png`` (about 1600 x 1500 pixels) from the logged rows.

    ``title`` names the model, ``subtitle`` the objective and its settings, ``health`` is the verdict's sentence. Any
    number of rows will do, also none.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fonts = _fonts()
    style: Any = {"font.family": fonts, "text.usetex": False, "text.parse_math": False, "agg.path.chunksize": 10_000}
    picture = io.BytesIO()
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES), dpi=_DOTS_PER_INCH, facecolor="white")
        FigureCanvasAgg(figure)
        top, bottom = _write_frame(figure, history, *(_printable(text, fonts) for text in (title, subtitle, health)))
        axes = figure.subplots(3, 2)
        figure.subplots_adjust(left=0.075, right=0.925, top=top, bottom=bottom, hspace=0.42, wspace=0.34)
        for axis, draw in zip(axes.flat, _PANELS, strict=True):
            _prepare(axis, history)
            draw(axis, training_rows(history), held_out_rows(history))
        figure.savefig(picture, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    atomic_write(path, picture.getvalue())


def smoothed(values: Sequence[float], window: int) -> list[float]:
    """Centred running mean over ``window`` values; near the ends over those of them that there are."""
    total = [0.0]
    for value in values:
        total.append(total[-1] + value)
    half, count = window // 2, len(values)
    spans = ((max(0, i - half), min(count, i + half + 1)) for i in range(count))
    return [(total[stop] - total[start]) / (stop - start) for start, stop in spans]


def _loss(axis: Axes, train: Rows, held_out: Rows) -> None:
    axis.set_title("Loss", loc="left", fontweight="bold")
    axis.set_ylabel("loss (mean per pair)")
    ends = _both(axis, train, held_out, "loss")
    _label_ends(axis, ends)


def _accuracy(axis: Axes, train: Rows, held_out: Rows) -> None:
    axis.set_title("Preference accuracy", loc="left", fontweight="bold")
    axis.set_ylabel("pairs ranked rightly (%)")
    axis.axhline(50, color=GREY, linewidth=1.2, linestyle=(0, (5, 3)), zorder=1)
    axis.annotate("chance", (1.01, 50), xycoords=("axes fraction", "data"), va="center", fontsize=9, color=GREY)
    ends = _both(axis, train, held_out, "rewards/accuracies", scale=100)
    low = min((value for row in (*train, *held_out) for value in _values([row], "rewards/accuracies")), default=0.5)
    axis.set_ylim(min(40.0, 100 * low - 4), 104)
    _label_ends(axis, [(value, f"{value:.0f} %", color) for value, _, color in ends], taken=[50.0])


def _rewards(axis: Axes, train: Rows, held_out: Rows) -> None:
    own = bool(train or held_out) and not _values((*train, *held_out), "kl_div")
    what = "the loss's own (no reference)" if own else "beta × log-ratio to the reference"
    axis.set_title(f"Rewards, {what}", loc="left", fontweight="bold")
    axis.set_ylabel("reward (nats)")
    axis.axhline(0, color=GREY, linewidth=0.8, zorder=1)
    _both_sides(axis, train, held_out, "rewards")


def _margin(axis: Axes, train: Rows, held_out: Rows) -> None:
    axis.set_title("Margin, chosen reward less rejected", loc="left", fontweight="bold")
    axis.set_ylabel("margin (nats)")
    axis.axhline(0, color=GREY, linewidth=0.8, zorder=1)
    ends = _both(axis, train, held_out, "rewards/margins")
    _label_ends(axis, [(value, short(value, 2), color) for value, _, color in ends])


def _drift(axis: Axes, train: Rows, held_out: Rows) -> None:
    """kl_div; where there is no reference, the log-probs themselves, whose common fall is the drift to watch for."""
    if _values((*train, *held_out), "logps/chosen") and not _values((*train, *held_out), "kl_div"):
        axis.set_title("Log-probs of the answers (no reference, so no KL)", loc="left", fontweight="bold")
        axis.set_ylabel("log-prob (nats per answer)")
        _both_sides(axis, train, held_out, "logps")
    else:
        _kl(axis, train, held_out)


def _kl(axis: Axes, train: Rows, held_out: Rows) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    low, high = KL_BAND_NATS
    axis.set_title("kl_div, drift on chosen answers (band: 0.1–10)", loc="left", fontweight="bold")
    axis.set_ylabel("kl_div (nats per answer)")
    axis.axhspan(low, high, color=GREEN, alpha=0.13, linewidth=0, zorder=0)
    axis.axhline(0, color=GREY, linewidth=0.8, zorder=1)
    ends = _both(axis, train, held_out, "kl_div")
    values = [value for row in (*train, *held_out) for value in _values([row], "kl_div")]
    # Linear within the band's lower bound, logarithmic beyond: near 0, far above and far below can all be read.
    axis.set_yscale("symlog", linthresh=low, linscale=0.5)
    bottom, top = min([*values, -low]) * 1.6, max([*values, high]) * 1.6
    axis.set_ylim(bottom, top)
    decades = [10.0**power for power in range(-1, 9)]
    ticks = [tick for tick in (*(-d for d in reversed(decades)), 0.0, *decades) if bottom <= tick <= top]
    axis.yaxis.set_major_locator(FixedLocator(ticks))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))
    _label_ends(axis, [(value, short(value, 2).replace("-", "−"), color) for value, _, color in ends])


def _learning_rate(axis: Axes, train: Rows, _: Rows) -> None:
    axis.set_title("Learning rate", loc="left", fontweight="bold")
    axis.set_ylabel("learning rate")
    steps = [row["step"] for row in train if "learning_rate" in row]
    rates = _values(train, "learning_rate")
    axis.plot(
        steps, rates, color=BLUE, linewidth=2, marker="o" if len(rates) <= SMOOTH_ABOVE_POINTS else "", markersize=4
    )
    axis.set_ylim(0, max([*rates, 0.0]) * 1.08 or 1)
    axis.yaxis.set_major_formatter(lambda value, _: "0" if value == 0 else f"{value:.3g}".replace("e-0", "e-"))


_PANELS: tuple[Callable[[Axes, Rows, Rows], None], ...] = (_loss, _accuracy, _rewards, _margin, _drift, _learning_rate)

_End = tuple[float, str, str]


def _both(axis: Axes, train: Rows, held_out: Rows, name: str, scale: float = 1) -> list[_End]:
    """Training line and held-out points; the last value of each with its name and colour."""
    return _line(axis, train, name, BLUE, scale) + _points(axis, held_out, f"eval_{name}", VERMILLION, scale)


def _both_sides(axis: Axes, train: Rows, held_out: Rows, name: str) -> None:
    """``name/chosen`` and ``name/rejected``, each labelled at its end."""
    ends = []
    for side, color in (("chosen", GREEN), ("rejected", PURPLE)):
        points = _points(axis, held_out, f"eval_{name}/{side}", color)
        last = _line(axis, train, f"{name}/{side}", color) or points
        ends += [(value, side, color) for value, _, color in last]
    _label_ends(axis, ends)


def _line(axis: Axes, rows: Rows, name: str, color: str, scale: float = 1) -> list[_End]:
    steps, values = _series(rows, name, scale)
    if not values:
        return []
    if len(values) <= SMOOTH_ABOVE_POINTS:
        axis.plot(steps, values, color=color, linewidth=1.8, marker="o", markersize=3.5, zorder=3)
        return [(values[-1], "training", color)]
    middle = smoothed(values, window=max(5, len(values) // 25))
    axis.plot(steps, values, color=color, linewidth=0.8, alpha=0.28, zorder=2)
    axis.plot(steps, middle, color=color, linewidth=2, zorder=3)
    return [(middle[-1], "training", color)]


def _points(axis: Axes, rows: Rows, name: str, color: str, scale: float = 1) -> list[_End]:
    steps, values = _series(rows, name, scale)
    if not values:
        return []
    crowded = len(values) > 40
    look: dict[str, Any] = {"marker": "" if crowded else "D", "markersize": 5.5, "markeredgecolor": "white"}
    axis.plot(steps, values, color=color, linewidth=1.4, linestyle=(0, (4, 1.5)), zorder=4, **look)
    return [(values[-1], "held-out", color)]


def _series(rows: Rows, name: str, scale: float) -> tuple[list[float], list[float]]:
    found = [(row["step"], scale * row[name]) for row in rows if name in row and math.isfinite(row[name])]
    return [step for step, _ in found], [value for _, value in found]


def _values(rows: Rows, name: str) -> list[float]:
    return [row[key] for row in rows for key in (name, f"eval_{name}") if key in row and math.isfinite(row[key])]


def _label_ends(axis: Axes, ends: Sequence[_End], taken: Sequence[float] = ()) -> None:
    """Write each label right of the panel at the height of its line's end, moved apart where they would touch."""
    placed = [_height(axis, value) for value in taken]
    for value, label, color in sorted(ends):
        height = _height(axis, value)
        while any(abs(height - other) < _LABEL_GAP for other in placed):
            height += _LABEL_GAP / 4
        placed.append(height)
        axis.text(1.012, height, label, transform=axis.transAxes, va="center", fontsize=9, color=color)


def _height(axis: Axes, value: float) -> float:
    """Height of ``value`` as a fraction of the panel, on whatever scale it has."""
    low, high = axis.get_ylim()
    scale = axis.yaxis.get_transform()
    at, bottom, top = (float(scale.transform([y])[0]) for y in (value, low, high))
    return (at - bottom) / (top - bottom)


def _prepare(axis: Axes, history: Rows) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#dddddd", linewidth=0.7, zorder=0)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=9, color=GREY)
    axis.set_xlabel("step (updates)")
    last = max((row["step"] for row in history), default=1)
    axis.set_xlim(-0.02 * last, last * 1.02 or 1)
    axis.xaxis.set_major_locator(MaxNLocator(nbins="auto", steps=[1, 2, 2.5, 5, 10], integer=True))
    if not history:
        axis.text(0.5, 0.5, "nothing logged yet", transform=axis.transAxes, ha="center", color=GREY)


def _write_frame(figure: Figure, history: Rows, title: str, subtitle: str, health: str) -> tuple[float, float]:
    """Title, key and verdict around the panels; the top and bottom that are left for these."""
    from matplotlib.lines import Line2D

    figure.text(0.075, 0.975, textwrap.shorten(title, 78, placeholder=" …"), fontsize=14, fontweight="bold", va="top")
    figure.text(
        0.075, 0.948, textwrap.shorten(subtitle, 110, placeholder=" …"), fontsize=10.5, color="#333333", va="top"
    )
    line: dict[str, Any] = {"color": "#222222", "linewidth": 2}
    key = [Line2D([], [], **line, label="training (pale behind a smoothed line: each row)")]
    if held_out_rows(history):
        key.append(Line2D([], [], **line, linestyle=(0, (3, 1.5)), marker="D", markersize=5.5, label="held-out"))
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0.068, 0.932), "handlelength": 3}
    figure.legend(handles=key, ncols=2, frameon=False, fontsize=9.5, **place)
    lines = textwrap.wrap(health, 125)[:3]
    figure.text(0.075, 0.018, "\n".join(lines), fontsize=9.5, color="#222222", va="bottom", linespacing=1.4)
    return 0.868, 0.07 + 0.019 * len(lines)


def _fonts() -> list[str]:
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _CJK_FONTS if name in installed)]


def _printable(text: str, fonts: Sequence[str]) -> str:
    """``text`` in one line, with "?" for each character that no font here has: matplotlib would warn and draw a box."""
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font

    faces = [FT2Font(findfont(FontProperties(family=[name]))) for name in fonts]
    line = " ".join(visible(text).split())
    return "".join(c if any(face.get_char_index(ord(c)) for face in faces) else "?" for c in line)
