"""Prompts to answer: of a file in any format that is read, or the held-out ones of a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..assess.answering import Turns
from ..config import load_config
from ..data.formats import FEEDBACK, RANKINGS, View, convert, pairs_view
from ..data.ordering import shuffle_key
from ..data.records import NO_INPUT, BadRow, Record
from ..data.rows import RawRow, read_rows
from ..errors import ConfigError, DataError
from ..objectives import objective_schemas
from ..runs.directory import RunDirectory
from ..runs.display import Reporter
from ..runs.run_report import read_config, read_data_report
from .data import read_records
from .given import Given
from .objective import build_objective

_VIEWS: tuple[View[Any], ...] = (pairs_view(), FEEDBACK, RANKINGS)


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt, and its category where the data have one."""

    turns: Turns
    category: str | None = None

    @property
    def text(self) -> str:
        """Everything that is asked, as one text to compare and sort by."""
        return json.dumps([[turn["role"], turn["content"]] for turn in self.turns])


def as_turns(text: str) -> Turns:
    """A question as a conversation."""
    return [{"role": "user", "content": text}]


def read_prompts(file: Path) -> list[Asked]:
    """Prompts of a file: a line each of a ``.txt``, else rows with ``prompt`` (text or messages) or ``messages``, or
    rows in any format of docs/data_formats.md.

    Raises:
        DataError: a row has no prompt, with its place.
    """
    if file.suffix.lower() == ".txt":
        return list(_lines(file))
    return [asked_by_row(row) for row in read_rows(file)]


def asked_by_row(row: RawRow | BadRow) -> Asked:
    """The prompt of a row. Raises DataError where it has none."""
    if isinstance(row, BadRow):
        raise DataError(f"{row.origin}: {row.reason}")
    for view in _VIEWS:
        made, _ = convert(row.values, row.origin, None, view)
        if not isinstance(made, BadRow) and made.records:
            return _asked(made.records[0])
    turns, category = _turns(row.values.get("prompt", row.values.get("messages"))), row.values.get("category")
    if not turns:
        raise DataError(f"{row.origin}: has no prompt; a row needs 'prompt' (text or messages) or 'messages'")
    return Asked(turns, category if isinstance(category, str) else None)


def held_out_prompts(run: str, reporter: Reporter) -> list[Asked]:
    """The prompts of the pairs that a run held out, read from its data again.

    Raises:
        ConfigError: ``run`` is no run.
        DataError: its data are gone or have changed, or it held nothing out.
    """
    directory = RunDirectory(Path(run).expanduser())
    stored = read_config(directory)
    if not stored:
        raise ConfigError(f"{run} is no run that held prompts out: name a file of PROMPTS")
    config = load_config(stored, objectives=objective_schemas())
    try:
        reports, _, held_out = read_records(config, build_objective(config), reporter, Given())
    except DataError as error:
        raise DataError(f"the held-out prompts of {run} cannot be read again, so name PROMPTS: {error}") from None
    before = {side: _hashes(report) for side, report in read_data_report(directory).get("read", {}).items()}
    if before and before != {side: _hashes(report.to_json()) for side, report in reports.items()}:
        raise DataError(
            f"the data of {run} have changed since, so it is not known any more which prompts it held out: name PROMPTS"
        )
    found = [_asked(record) for records in held_out.values() for record in records]
    if not found:
        raise DataError(f"{run} held nothing out: name a file of PROMPTS")
    return found


def different(prompts: Iterable[Asked], most: int | None, seed: int) -> list[Asked]:
    """Each prompt once, in the given order; of more than ``most``, that many by chance."""
    unique = list({asked.text: asked for asked in prompts}.values())
    if most is None or len(unique) <= most:
        return unique
    drawn = {asked.text for asked in sorted(unique, key=lambda asked: shuffle_key(seed, asked.text))[:most]}
    return [asked for asked in unique if asked.text in drawn]


def _lines(file: Path) -> Iterator[Asked]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read: {error}") from None
    return (Asked(as_turns(line.strip())) for line in text.split("\n") if line.strip())


def _asked(record: Record) -> Asked:
    if record.template_input != NO_INPUT or any(turn.fields for turn in record.prompt):
        raise DataError(
            f"{record.origin}: the prompt brings tools or template variables, which answers here cannot use"
        )
    return Asked([{"role": turn.role, "content": turn.content} for turn in record.prompt], record.category)


def _turns(value: Any) -> Turns:
    """Messages up to the last user turn; empty where there is none."""
    if isinstance(value, str) and value.strip():
        return as_turns(value)
    if not isinstance(value, list) or not all(isinstance(m, dict) and isinstance(m.get("content"), str) for m in value):
        return []
    turns = [{"role": str(message.get("role", "user")), "content": message["content"]} for message in value]
    while turns and turns[-1]["role"] == "assistant":
        turns.pop()
    return turns


def _hashes(report: Mapping[str, Any]) -> Sequence[Any]:
    return [file.get("sha256") for file in report["files"]]
