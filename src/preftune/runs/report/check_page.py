"""The page of ``preftune check``: verdict first, what to do, findings with examples, distributions, and the pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from .check_charts import agreement_section, category_section, length_section
from .markup import Child, el
from .page import Section, document
from .parts import diff, facts, fold, place, some, verdict_banner
from .table import Column, Detail, table

_VERDICTS = {
    "fit": ("fit", "Fit for training"),
    "warnings": ("warning", "Fit, with warnings"),
    "unfit": ("error", "Not fit for training"),
}
_SEVERITIES = ("error", "warning", "info")
_MOST_ROWS = 40

Json = Mapping[str, Any]


def check_page(
    report: Json, rows: Sequence[Json] = (), *, title: str = "Preference data", made: str = "", rows_note: str = ""
) -> str:
    """The HTML of a report (``CheckReport.to_json()``, docs/checks.md).

    ``rows`` are pairs for the table: ``file``, ``row``, ``category``, ``flags`` (codes), ``chosen_length`` and
    ``rejected_length`` (characters), and the texts ``prompt``, ``chosen`` and ``rejected``; ``rows_note`` says which
    pairs these are. ``made`` says by what and when the page was made.
    """
    statistics = report["statistics"]
    sections = [
        _todo(report["findings"]),
        _findings(report),
        length_section(statistics),
        category_section(statistics),
        agreement_section(statistics),
        _pairs(rows, rows_note, report["findings"]),
        _about(report),
    ]
    return document(title, _head(report), [section for section in sections if section], made)


def _head(report: Json) -> Markup:
    kind, words = _VERDICTS[report["verdict"]]
    counts = {s: sum(f["severity"] == s for f in report["findings"]) for s in _SEVERITIES}
    names = {"error": "error", "warning": "warning", "info": "note"}
    found = ", ".join(f"{n} {names[s]}{'' if n == 1 else 's'}" for s, n in counts.items() if n) or "nothing found"
    worst = next((f for f in report["findings"] if f["severity"] == "error"), None)
    statistics = report["statistics"]
    tiles: dict[str, str | tuple[str, str]] = {
        "rows read": f"{report['rows_read']:,}",
        "pairs": f"{report['pairs']:,}",
    }
    if "unique_prompts" in statistics:
        tiles["different prompts"] = f"{statistics['unique_prompts']:,}"
    bias = statistics.get("lengths", {}).get("bias") or {}
    if bias.get("p_longer_chosen") is not None:
        tiles["longer one chosen"] = (
            f"{bias['p_longer_chosen']:.0%}",
            f"95 %: {bias['low']:.0%} to {bias['high']:.0%}",
        )
    style = statistics.get("style") or {}
    if "accuracy" in style:
        tiles["told apart by style"] = (f"{style['accuracy']:.0%}", "50 % is no shortcut")
    banner = verdict_banner(
        kind, words, f"{found[0].upper()}{found[1:]}.", f"Most severe: {worst['message']}." if worst else None
    )
    return el("div", banner, facts(tiles))


def _todo(findings: Sequence[Json]) -> Section | None:
    urgent = [f for f in findings if f["severity"] in ("error", "warning")][:6]
    if not urgent:
        return None
    items = [el("li", el("a", f["code"], href=f"#{f['code']}"), " ", f["advice"]) for f in urgent]
    return Section("todo", "What to do", el("ol", items, class_="plain"))


def _findings(report: Json) -> Section:
    findings = report["findings"]
    body: Child = [_finding(finding) for finding in findings] or el("p", "The checks have found nothing.")
    return Section("findings", "Findings", body, "Errors first. Unfold one for what it does to training, and examples.")


def _finding(finding: Json) -> Markup:
    code, count = finding["code"], finding["count"]
    much = f"{count:,} ({_percent(finding['share'])})" if count else "the whole set"
    rows = [place(row) for row in finding["rows"]]
    listed = el("p", "Rows: ", some(rows, _MOST_ROWS), class_="rows") if rows else None
    inside = [
        el(
            "dl",
            el("dt", "in training"),
            el("dd", finding["effect"]),
            el("dt", "what to do"),
            el("dd", finding["advice"]),
        ),
        [_example(example) for example in finding["examples"]],
        listed,
    ]
    name = finding["name"].replace("_", " ")
    return fold(finding["severity"], f"{code} {name}", finding["message"], much, inside, code)


def _example(example: Json) -> Markup:
    where = ", ".join(place(row) for row in example["rows"])
    said = diff(example["diff"]) if example.get("diff") else el("div", example["text"], class_="text")
    return el("div", el("span", where, class_="place"), said, class_="example")


def _pairs(rows: Sequence[Json], note: str, findings: Sequence[Json]) -> Section | None:
    if not rows:
        return None
    names = "; ".join(f"{f['code']} {f['name'].replace('_', ' ')}" for f in findings if f["rows"])
    shown = [{**row, "place": place(row)} for row in rows]
    columns = [
        Column("place", "Row"),
        Column("flags", "Flags", "tags", hint=names),
        Column("category", "Category"),
        Column("chosen_length", "Chosen", "number", hint="characters"),
        Column("rejected_length", "Rejected", "number", hint="characters"),
        Column("prompt", "Prompt"),
    ]
    if not any(row.get("category") for row in rows):
        columns = [column for column in columns if column.key != "category"]
    details = [
        Detail("prompt", "Prompt"),
        Detail("chosen", "Chosen", is_compared=True),
        Detail("rejected", "Rejected", is_compared=True),
    ]
    caption = f"{note} Click a row for its texts; words that only one answer has are marked.".strip()
    return Section("pairs", "Pairs", table("pairs-table", columns, shown, details, caption=caption))


def _about(report: Json) -> Section:
    statistics = report["statistics"]
    formats = ", ".join(f"{name} ({count:,})" for name, count in statistics.get("formats", {}).items())
    entries: dict[str, Child] = {
        "files": some(list(statistics.get("files", ())), 20),
        "formats": formats,
        "columns not read": ", ".join(statistics.get("ignored_columns", {})),
        "not checked": el("ul", [el("li", f"{n}: {why}") for n, why in report["not_run"].items()], class_="plain")
        if report.get("not_run")
        else None,
    }
    body = el("dl", [(el("dt", name), el("dd", value)) for name, value in entries.items() if value], class_="about")
    return Section("about", "What was checked", body)


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "<0.1%"
