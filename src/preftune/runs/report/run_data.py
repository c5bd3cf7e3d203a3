"""Sections of a run's page about what went in: the data, the loss, the config, the machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from ..text import duration
from .check_findings import finding_fold
from .markup import Child, el
from .page import Section
from .parts import Places, facts, rows_table, some
from .run_facts import Json, RunFacts

_LISTED = 20
_SIDES = {"train": "training", "eval": "held out"}


def data_section(run: RunFacts) -> Section | None:
    """What was read, what was cut, and what was left out, with the first rows of it."""
    counts, read = run.summary.get("data") or {}, run.data.get("read") or {}
    if not counts and not read:
        return None
    tiles = {
        name.replace("_", " "): f"{counts[name]:,}"
        for name in ("rows_read", "train_pairs", "held_out_pairs", "dropped_rows")
        if name in counts
    }
    body = [
        facts(tiles),
        _files(read),
        _encoded(run.data.get("encoded") or {}),
        _checks(run.data.get("checks") or {}),
        _left_out(run.data),
    ]
    note = "Nothing vanishes without a line: every row that was not used is in run/dropped_rows.jsonl with its reason."
    return Section("data", "Data", body, note)


def _files(read: Json) -> Child:
    rows = [
        [
            el("code", file["path"]),
            _side(side),
            some(list(file["formats"]), 3),
            f"{file['rows_read']:,}",
            f"{file['records']:,}",
            f"{file['bad_rows'] + file['rows_without_record']:,}",
        ]
        for side, report in read.items()
        for file in report["files"]
    ]
    heads = ("file", "for", "format", "rows", "used", "left out")
    return [el("h3", "Files"), el("div", rows_table(heads, rows), class_="wide")] if rows else None


def _encoded(encoded: Json) -> Child:
    rows = []
    for side, report in encoded.items():
        cut = ", ".join(f"{name} {count:,}" for name, count in report["cut"].items() if count) or "nothing"
        counts = (report["pairs"], report["prompt_tokens"], report["answer_tokens"], report["longest"])
        rows.append([_side(side), *(f"{count:,}" for count in counts), cut, f"{len(report['dropped']):,}"])
    heads = ("", "used", "prompt tokens", "answer tokens", "longest", "cut", "dropped")
    return [el("h3", "As tokens"), el("div", rows_table(heads, rows), class_="wide")] if rows else None


def _checks(report: Json) -> Child:
    """What the quick checks of the training data found."""
    if not report:
        return None
    findings = report["findings"]
    places = Places(report["statistics"].get("files", ()))
    folds: Child = [finding_fold(finding, places) for finding in findings] or el("p", "The checks have found nothing.")
    return [el("h3", "Checks of the training data"), folds]


def _left_out(data: Json) -> Child:
    reports = [*(data.get("read") or {}).values(), *(data.get("encoded") or {}).values()]
    names = ("bad_rows", "without_record", "bad", "dropped")
    rows = [row for report in reports for name in names for row in report.get(name, ())]
    if not rows:
        return None
    places = Places(sorted({row["file"] for row in rows}))
    shown = [[places(row), el("span", row["reason"])] for row in rows[:_LISTED]]
    more = f"{len(rows) - _LISTED:,} more are in run/dropped_rows.jsonl." if len(rows) > _LISTED else None
    head = el("h3", f"Rows left out ({len(rows):,})")
    listed = el("dl", [(el("dt", place), el("dd", reason)) for place, reason in shown], class_="about rows")
    return [head, listed, el("p", more, class_="note") if more else None]


def _side(side: str) -> str:
    start, _, name = side.partition("/")
    return _SIDES.get(start, start) + (f": {name}" if name else "")


def loss_section(run: RunFacts) -> Section | None:
    """The loss card: formula, parameters, source, and whether step 0 showed what it must."""
    card = run.summary.get("objective") or {}
    if not card.get("formula"):
        return None
    parts = card.get("parts") or [card]
    rewards = card.get("rewards")
    entries: dict[str, Child] = {
        "loss": [card["name"], el("div", [el("small", part["about"]) for part in parts if part.get("about")])],
        "formula": el("code", card["formula"]),
        "parameters": _parameters(parts),
        "source": card.get("source"),
        "rewards are": f"{rewards}, in nats" if rewards else None,
        "at the start": _start(run, card.get("step_zero_loss")),
    }
    note = (
        "What training made small. margin: how much more the chosen answer gained on the reference than the rejected."
    )
    return Section("loss", "Loss", _entries(entries), note if "margin" in card["formula"] else None)


def _parameters(parts: Iterable[Json]) -> Child:
    parts = list(parts)
    lines = []
    for part in parts:
        values = ", ".join(f"{key} {_said(value)}" for key, value in part["parameters"].items() if value is not None)
        name = f"{part['weight']:g} × {part['name']}: " if len(parts) > 1 else ""
        lines.append(el("div", f"{name}{values or 'none'}"))
    return lines


def _start(run: RunFacts, expected: float | None) -> str | None:
    first = next((row["loss"] for row in run.history if row.get("step") == 0 and "loss" in row), None)
    if expected is None or first is None:
        return None
    return f"must be {expected:.6g}, while the model still is its own reference; step 0 showed {first:.6g}"


def config_section(run: RunFacts) -> Section | None:
    """The config, defaults included."""
    if not run.config:
        return None
    head = el("summary", el("span", "Show all keys", class_="what"), el("span", class_="much"))
    text = el("div", run.config, class_="text")
    body = el("details", head, el("div", text, class_="inside"), class_="fold bare", id="resolved")
    note = "Every key, defaults included; also in run/resolved.yaml. What was taken for auto is in run/run.json."
    return Section("config", "Config", body, note)


def machine_section(run: RunFacts) -> Section | None:
    """By what command, code and machine the run was made, for each time it was started."""
    sessions = run.record.get("sessions") or []
    if not sessions:
        return None
    last = sessions[-1]
    hardware, git = last.get("hardware") or {}, last.get("git")
    memory = hardware.get("memory_bytes")
    seconds, peak = run.summary.get("seconds"), run.summary.get("peak_memory_bytes")
    entries: dict[str, Child] = {
        "command": el("code", " ".join(last.get("command", ()))),
        "started": [_started(session) for session in sessions],
        "time": duration(seconds) if seconds else None,
        "seed": last.get("seed"),
        "model": el("code", str((last.get("model") or {}).get("path", ""))),
        "device": (hardware.get("devices") or {}).get("device"),
        "processor": f"{hardware.get('cpu')}, {hardware.get('cpu_count')} cores" if hardware.get("cpu") else None,
        "memory": f"{memory / 2**30:.0f} GiB, of which {_gib(peak)} at most were used" if memory and peak else None,
        "code": f"commit {git['commit'][:12]}{', with changes' if git.get('dirty') else ''}" if git else None,
        "versions": ", ".join(f"{name} {number}" for name, number in (last.get("versions") or {}).items() if number),
        "hashes": _hashes(last.get("model") or {}, last.get("data") or {}),
    }
    return Section("machine", "How it was made", _entries(entries))


def _started(session: Json) -> Child:
    step = session.get("resumed_from_step")
    return el(
        "div", _moment(str(session.get("started", ""))), f" (going on from step {step})" if step is not None else None
    )


def _moment(text: str) -> str:
    return text.replace("T", " ").replace("+00:00", " UTC")


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"


def _hashes(model: Json, data: Json) -> Child:
    named = {name: model.get(name) for name in ("weights", "tokenizer", "template", "training_data", "held_out_data")}
    named |= {PurePath(file).name: digest[:16] for file, digest in (data.get("sha256") or {}).items()}
    lines = [el("div", f"{name.replace('_', ' ')} ", el("code", str(value))) for name, value in named.items() if value]
    return lines or None


def _entries(entries: Mapping[str, Child]) -> Child:
    kept = [(el("dt", name), el("dd", value)) for name, value in entries.items() if value not in (None, "")]
    return el("dl", kept, class_="about")


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)
