"""``report.html`` of a run folder, made from the files in it alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..errors import RunFolderError
from .atomic import atomic_write
from .directory import RunDirectory
from .metrics_log import read_history
from .model_card import CardFacts
from .report.run_facts import RunFacts, ShownPairs
from .report.run_page import run_page
from .shown_pairs import Key, read_texts, shown_rows

T = TypeVar("T")


def write_report(directory: RunDirectory, summary: Mapping[str, Any], path: Path | None = None) -> None:
    """Write the page; ``summary`` is given, because a run writes its own only after everything else.

    Raises:
        RunFolderError: a file of the folder is not what preftune wrote, or the page cannot be written.
    """
    atomic_write(path or directory.report_html, run_page(run_facts(directory, summary)))


def run_facts(directory: RunDirectory, summary: Mapping[str, Any]) -> RunFacts:
    """Everything that the page shows; files that the folder lacks are left out."""
    return RunFacts(
        name=directory.root.absolute().name,
        summary=summary,
        history=read_history(directory.metrics_jsonl),
        record=read_record(directory),
        data=read_data_report(directory),
        config=_read(directory.resolved_yaml, str, ""),
        pairs=_pairs(directory),
        samples=_read(directory.samples_jsonl, _lines, []),
        win_rate=_read(directory.win_rate_json, _json, {}),
    )


def read_summary(directory: RunDirectory) -> dict[str, Any] | None:
    """``summary.json``; None where the run has not come to its end."""
    found: dict[str, Any] = _read(directory.summary_json, _json, {})
    return found or None


def read_record(directory: RunDirectory) -> dict[str, Any]:
    """``run.json``; empty where there is none."""
    return _read(directory.run_json, _json, {})


def read_config(directory: RunDirectory) -> dict[str, Any]:
    """``resolved.yaml``; empty where there is none."""
    return _read(directory.resolved_yaml, _yaml, {})


def read_data_report(directory: RunDirectory) -> dict[str, Any]:
    """``data_report.json``; empty where there is none."""
    return _read(directory.data_report_json, _json, {})


def read_card(directory: RunDirectory) -> CardFacts | None:
    """``card.json``; None where there is none."""
    return _read(directory.card_json, _card, None)


def _pairs(directory: RunDirectory) -> ShownPairs:
    rows, total = shown_rows(directory.pairs_parquet)
    texts = read_texts(directory.pair_texts_jsonl)
    return ShownPairs([{**row, **texts.get(Key.of(row), {})} for row in rows], total)


def _card(text: str) -> CardFacts | None:
    return CardFacts(**json.loads(text))


def _json(text: str) -> dict[str, Any]:
    return dict(json.loads(text))


def _yaml(text: str) -> dict[str, Any]:
    import yaml

    try:
        return dict(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.split("\n") if line]


def _read(path: Path, parse: Callable[[str], T], missing: T) -> T:
    if not path.is_file():
        return missing
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError) as error:
        raise RunFolderError(f"{path}: cannot be read ({error}). Restore it, or delete it to go without it.") from error
