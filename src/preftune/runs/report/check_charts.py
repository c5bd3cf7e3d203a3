"""Sections of the check's page that are charts: lengths and style, categories and sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .charts import bars, histogram, scatter
from .markup import Child, el
from .page import Section
from .parts import percent

Json = Mapping[str, Any]

_MOST_BARS = 20


def length_section(statistics: Json) -> Section | None:
    """Chosen against rejected length, the distributions of both, and what style alone tells."""
    lengths = statistics.get("lengths")
    if not lengths:
        return None
    charts: list[Child] = []
    if lengths.get("scatter"):
        charts.append(_length_scatter(lengths))
    charts.append(_length_histogram(lengths))
    if style := statistics.get("style"):
        charts.append(_style(style))
    return Section("lengths", "Lengths and style", el("div", charts, class_="charts"), _length_note(statistics))


def _length_scatter(lengths: Json) -> Child:
    return scatter(
        "Length of both answers",
        lengths["scatter"],
        x_label=f"chosen ({lengths['unit']})",
        y_label=f"rejected ({lengths['unit']})",
        above="rejected longer",
        below="chosen longer",
        note=f"{len(lengths['scatter']):,} pairs; on the dashed line both answers are equally long.",
    )


def _length_histogram(lengths: Json) -> Child:
    held = lengths["histogram"]
    sides = [name for name in held if name not in ("edges", "prompt")]
    edges, counts = _trimmed(held["edges"], {name: held[name] for name in sides})
    if not edges:
        return None
    said = [f"{s}: median {lengths['median'][s]:,.0f}, longest {lengths['longest'][s]:,}" for s in sides]
    return histogram(
        "Distribution of lengths", edges, counts, x_label=lengths["unit"], is_log=True, note="; ".join(said)
    )


def _trimmed(edges: Sequence[float], counts: Mapping[str, Sequence[int]]) -> tuple[list[float], dict[str, list[int]]]:
    """Without the bins at both ends that hold nothing."""
    filled = [k for k in range(len(edges) - 1) if any(group[k] for group in counts.values())]
    if not filled:
        return [], {}
    first, last = filled[0], filled[-1] + 1
    return list(edges[first : last + 1]), {name: list(group[first:last]) for name, group in counts.items()}


def _style(style: Json) -> Child:
    accuracies = {"all style features": style["accuracy"], "length alone": style["length_only"]}
    strongest = ", ".join(list(style["weights"])[:4])
    return bars(
        "Winners told without reading",
        accuracies,
        dict.fromkeys(accuracies, 0.5),
        f"Accuracy on pairs not fitted to, ± {percent(style['standard_error'])}. Strongest: {strongest}.",
        value="accuracy",
        mark="chance",
    )


def _length_note(statistics: Json) -> str | None:
    bias = statistics.get("length_bias") or {}
    share = bias.get("p_longer_chosen")
    if share is None:
        return None
    interval = f"95 %: {percent(bias['low'])} to {percent(bias['high'])}"
    note = f"The longer answer is the chosen one in {percent(share)} of the pairs ({interval})"
    clear = bias["clearly_longer"]["p_longer_chosen"]
    if clear is not None:
        note += f", and in {percent(clear)} where one is 1.5 times as long or more"
    return f"{note}. At 50 % length says nothing."


def category_section(statistics: Json) -> Section | None:
    """Shares of the categories, against their targets where there are any; labels and sources."""
    charts: list[Child] = []
    if categories := statistics.get("categories"):
        charts.append(_categories(categories))
    if labels := statistics.get("labels"):
        charts.append(bars("Labels", _shares(labels)))
    if sources := statistics.get("sources"):
        charts.append(bars("Sources", _shares({name: one["pairs"] for name, one in sources.items()})))
    if not charts:
        return None
    return Section("categories", "Categories and sources", el("div", charts, class_="charts"))


def _shares(counts: Mapping[str, float]) -> dict[str, float]:
    """Share of each, the first ``_MOST_BARS`` of them."""
    total = sum(counts.values()) or 1
    return {name: count / total for name, count in list(counts.items())[:_MOST_BARS]}


def _categories(categories: Json) -> Child:
    left = len(categories["counts"]) - _MOST_BARS
    note = f"{left:,} smaller ones are not shown. " if left > 0 else ""
    target = categories.get("target")
    if target:
        far = percent(categories["total_variation"])
        note += f"{far} of the pairs would have to be of another category to meet the target."
    return bars("Categories", _shares(categories["counts"]), target, note or None)
