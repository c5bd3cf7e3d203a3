"""Build one validated pair: what every format ends in."""

from __future__ import annotations

import math
from typing import Literal

from ..records import Message, Origin, PreferencePair, Turns
from .base import REFUSED_COLUMNS, SCORE_COLUMNS, Row, RowFault
from .messages import fold, no_preference, text_of, type_name


def need(row: Row, *names: str) -> object:
    """The value of the first of these columns that the row has; a fault where it has none or null."""
    for name in names:
        if name in row:
            if row[name] is None:
                raise RowFault("null", f"{name!r} is null: give a value or remove the row")
            return row[name]
    wanted = " or ".join(repr(n) for n in names)
    raise RowFault("missing column", f"no {wanted} (the row has {', '.join(map(str, row)) or 'no keys'}): add it")


def text_pair(prompt: str, chosen: str, rejected: str, row: Row, origin: Origin) -> PreferencePair:
    """Plain strings as they are, to be rendered by a template later; with a ``system`` text it is a chat."""
    turns = (Message("user", prompt),), (Message("assistant", chosen),), (Message("assistant", rejected),)
    kind: Literal["chat", "text"] = "chat" if row.get("system") else "text"
    return build_pair(*turns, row, origin, kind)


def build_pair(
    prompt: Turns, chosen: Turns, rejected: Turns, row: Row, origin: Origin, kind: Literal["chat", "text"] = "chat"
) -> PreferencePair:
    """Fold and check the turns, read the extra columns. Raises RowFault."""
    refuse_unsupported(row)
    prompt = _checked_prompt(_with_system(prompt, row.get("system")))
    chosen, rejected = _checked_answer(chosen, "chosen"), _checked_answer(rejected, "rejected")
    if [(m.role, m.content.strip()) for m in chosen] == [(m.role, m.content.strip()) for m in rejected]:
        raise no_preference()
    return PreferencePair(
        prompt,
        chosen,
        rejected,
        origin,
        kind,
        category=_label(row, "category"),
        source=_label(row, "source"),
        weight=_weight(row),
        margin=_margin(row),
    )


def refuse_unsupported(row: Row) -> None:
    """Refuse a row that fills a column which could not be honoured."""
    for name in REFUSED_COLUMNS:
        if row.get(name) not in (None, "", "[]", [], {}):
            raise RowFault("not supported", f"{name!r} is not supported yet: remove the row, or empty this column")


def _with_system(prompt: Turns, system: object) -> Turns:
    if system is None or system == "":
        return prompt
    if prompt and prompt[0].role == "system":
        if prompt[0].content == system:
            return prompt
        raise RowFault("roles", "a 'system' column and a system message in the prompt: that differ: keep one")
    return (Message("system", text_of(system, "'system'")), *prompt)


def _checked_prompt(prompt: Turns) -> Turns:
    turns = tuple(m for m in fold(prompt) if m.role != "system" or m.content.strip())
    if not any(m.role == "user" for m in turns):
        raise RowFault("no prompt", "there is no user turn before the answers: add a 'prompt'")
    for number, turn in enumerate(turns, 1):
        if not turn.content.strip():
            where = "the prompt" if len(turns) == 1 else f"turn {number} of the prompt ({turn.role})"
            raise RowFault("empty", f"{where} is empty: fill it or remove the row")
    if turns[-1].role not in ("user", "tool"):
        last = turns[-1].role
        raise RowFault(
            "roles", f"the prompt ends with a turn of the {last}: it must end with the user's; move the rest"
        )
    return turns


def _checked_answer(answer: Turns, side: str) -> Turns:
    turns = fold(answer)
    if not turns:
        raise RowFault("empty", f"{side!r} is empty: give an answer or remove the row")
    for number, turn in enumerate(turns, 1):
        if not turn.content.strip():
            where = f"{side!r}" if len(turns) == 1 else f"turn {number} of {side!r}"
            raise RowFault("empty", f"{where} is empty: give an answer or remove the row")
    for place, turn in (("starts", turns[0]), ("ends", turns[-1])):
        if turn.role != "assistant":
            raise RowFault(
                "roles", f"{side!r} {place} with a {turn.role} turn: it must be the assistant's; mend the row"
            )
    return turns


def _label(row: Row, name: str) -> str | None:
    value = row.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if not isinstance(value, str):
        raise RowFault("wrong type", f"{name!r} must be text, not {type_name(value)}: mend it or rename the column")
    return text_of(value, f"{name!r}")


def _number(row: Row, name: str) -> float | None:
    """A finite number, also where a table holds it as text; None where the cell is empty."""
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise RowFault("bad number", f"{name!r} must be a finite number, not {value!r}: mend it or leave it empty")
    return number


def _weight(row: Row) -> float:
    weight = _number(row, "weight")
    if weight is not None and weight <= 0:
        raise RowFault("bad number", f"'weight' must be above 0, not {weight:g}: remove the row to leave it out")
    return 1.0 if weight is None else weight


def _margin(row: Row) -> float | None:
    margin = _number(row, "margin")
    for high, low in SCORE_COLUMNS:
        chosen, rejected = _number(row, high), _number(row, low)
        if margin is None and chosen is not None and rejected is not None:
            margin = chosen - rejected
    return margin
