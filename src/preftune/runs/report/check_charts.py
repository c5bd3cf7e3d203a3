"""Sections of the check's page that are mostly charts: lengths, categories, annotators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .charts import bars, histogram, scatter
from .markup import Child, el
from .page import Section
from .parts import facts, rows_table

Json = Mapping[str, Any]

_MOST_BARS = 20


def length_section(statistics: Json) -> Section | None:
    """Chosen against rejected length, and the distributions of both."""
    lengths = statistics.get("lengths")
    if not lengths:
        return None
    unit, held = lengths["unit"], lengths["histogram"]
    sides = {name: counts for name, counts in held.items() if name not in ("edges", "prompt")}
    charts: list[Child] = []
    if lengths.get("scatter"):
        charts.append(
            scatter(
                "Length of both answers",
                lengths["scatter"],
                x_label=f"chosen ({unit})",
                y_label=f"rejected ({unit})",
                above="rejected longer",
                below="chosen longer",
                note=f"{len(lengths['scatter']):,} pairs; on the dashed line both answers are equally long.",
            )
        )
    if len(held["edges"]) > 1:
        charts.append(
            histogram(
                "Distribution of lengths",
                held["edges"],
                sides,
                x_label=unit,
                is_log=True,
                note="; ".join(
                    f"{s}: median {lengths['median'][s]:,.0f}, longest {lengths['longest'][s]:,}" for s in sides
                ),
            )
        )
    return Section("lengths", "Lengths", el("div", charts, class_="charts"), _length_note(statistics))


def _length_note(statistics: Json) -> str | None:
    bias = statistics["lengths"].get("bias") or {}
    share = bias.get("p_longer_chosen")
    if share is None:
        return None
    interval = f"95 % {bias['low']:.1%} to {bias['high']:.1%}"
    note = f"The longer answer is the chosen one in {share:.1%} of the pairs ({interval})"
    clear = bias.get("clearly_longer") or {}
    if clear.get("p_longer_chosen") is not None:
        note += f", in {clear['p_longer_chosen']:.1%} where one is 1.5 times as long or more"
    return f"{note}; 50 % means that length says nothing."


def category_section(statistics: Json) -> Section | None:
    """Shares of the categories, against their targets where there are any; labels and sources."""
    charts: list[Child] = []
    categories = statistics.get("categories")
    if categories:
        charts.append(_categories(categories))
    if labels := statistics.get("labels"):
        total = sum(labels.values()) or 1
        charts.append(bars("Labels", {name: count / total for name, count in labels.items()}))
    if sources := statistics.get("sources"):
        pairs = {name: one["pairs"] for name, one in list(sources.items())[:_MOST_BARS]}
        total = sum(one["pairs"] for one in sources.values()) or 1
        charts.append(bars("Sources", {name: count / total for name, count in pairs.items()}))
    if not charts:
        return None
    return Section("categories", "Categories and sources", el("div", charts, class_="charts"))


def _categories(categories: Json) -> Child:
    counts, target = categories["counts"], categories.get("target")
    total = sum(counts.values()) or 1
    shares = {name: count / total for name, count in counts.items()}
    shown = dict(list(shares.items())[:_MOST_BARS])
    left = len(shares) - len(shown)
    note = f"{left:,} smaller ones are not shown. " if left else ""
    if target:
        note += f"{categories['total_variation']:.0%} of the pairs would have to change category to meet the target."
    return bars("Categories", shown, target, note or None)


def agreement_section(statistics: Json) -> Section | None:
    """How far annotators agree, and each of them against the others."""
    found = statistics.get("agreement")
    if not found:
        return None
    tiles: dict[str, str | tuple[str, str]] = {
        "annotators": f"{found['annotators']:,}",
        "items": (f"{found['items']:,}", f"{found['votes']:,} votes"),
    }
    if found["raw"] is not None:
        tiles["raw agreement"] = (f"{found['raw']:.1%}", f"unanimous: {found['unanimous']:.1%}")
    for scale in ("nominal", "ordinal"):
        if alpha := found[f"alpha_{scale}"]:
            tiles[f"alpha, {scale}"] = (f"{alpha['value']:.3f}", f"95 %: {alpha['low']:.3f} to {alpha['high']:.3f}")
    total = sum(found["choices"].values()) or 1
    return Section(
        "annotators",
        "Annotators",
        [
            facts(tiles),
            el("div", bars("Votes", {n: c / total for n, c in found["choices"].items()}), class_="charts"),
            el("h3", "Each annotator against the majority of the others"),
            _quality(found),
            _cohen(found),
        ],
        "Krippendorff's alpha: 1 is full agreement, 0 what chance gives; 0.8 is reliable, 0.667 the least to build on.",
    )


def _quality(found: Json) -> Child:
    rows = [
        (
            f"{one['annotator']}{' (below the others)' if one['is_below'] else ''}",
            f"{one['votes']:,}",
            "" if one["agreement"] is None else f"{one['agreement']:.1%}",
            "" if one["agreement"] is None else f"{one['low']:.1%} to {one['high']:.1%}",
            *(f"{share:.0%}" for share in one["choices"]),
        )
        for one in sorted(found["quality"], key=lambda one: (one["agreement"] is None, one["agreement"]))[:50]
    ]
    return rows_table(("annotator", "votes", "agrees", "95 %", "first", "tie", "second"), rows)


def _cohen(found: Json) -> Child:
    if not found["cohen"]:
        return None
    rows = [
        (
            " and ".join(one["annotators"]),
            f"{one['items']:,}",
            f"{one['raw']:.1%}",
            "" if one["kappa"] is None else f"{one['kappa']:.3f}",
        )
        for one in found["cohen"][:50]
    ]
    return [el("h3", "Two by two"), rows_table(("annotators", "items", "agree", "Cohen's kappa"), rows)]
