"""LLaMA-Factory's ranking rows: alpaca and sharegpt, with its default columns or those of a dataset_info.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from ..records import Message, Origin, PreferencePair, Turns
from .base import Format, Row, RowFault
from .messages import USUAL_TAGS, Tags, answer_of, text_of, turns_of, type_name
from .pair import build_pair, need


@dataclass(frozen=True, slots=True)
class AlpacaColumns:
    """Which column of the file is what; None: the file has none."""

    prompt: str = "instruction"
    query: str | None = "input"
    history: str | None = "history"
    system: str | None = "system"
    chosen: str = "chosen"
    rejected: str = "rejected"


@dataclass(frozen=True, slots=True)
class SharegptColumns:
    """As AlpacaColumns, for conversations; ``messages`` None: the usual names are tried."""

    messages: str | None = None
    system: str | None = "system"
    chosen: str = "chosen"
    rejected: str = "rejected"


_MESSAGES = ("conversations", "messages")


def _with_extras(row: Row, system: str | None) -> dict[str, object]:
    """The row with its system text where ``build_pair`` reads it."""
    return {**row, "system": row.get(system) if system else None}


def convert_alpaca(columns: AlpacaColumns, row: Row, origin: Origin) -> PreferencePair:
    """Instruction and input, joined by a line break, are the last user turn; history goes before it."""
    parts = [text_of(need(row, columns.prompt), f"{columns.prompt!r}")]
    if columns.query and row.get(columns.query):
        parts.append(text_of(row[columns.query], f"{columns.query!r}"))
    history = _history(row.get(columns.history), columns.history) if columns.history else ()
    prompt = (*history, Message("user", "\n".join(part for part in parts if part)))
    sides = [
        (Message("assistant", text_of(need(row, name), f"{name!r}")),) for name in (columns.chosen, columns.rejected)
    ]
    return build_pair(prompt, sides[0], sides[1], _with_extras(row, columns.system), origin)


def _history(value: object, name: str) -> Turns:
    if value is None or value == "":
        return ()
    if not isinstance(value, list):
        raise RowFault("wrong type", f"{name!r} must be a list of [user, assistant], not {type_name(value)}: mend it")
    turns: list[Message] = []
    for number, exchange in enumerate(value, 1):
        if not isinstance(exchange, list) or len(exchange) != 2:
            raise RowFault("wrong type", f"{name!r} item {number} must be [user, assistant]: mend the row")
        turns.append(Message("user", text_of(exchange[0], f"{name!r} item {number}")))
        turns.append(Message("assistant", text_of(exchange[1], f"{name!r} item {number}")))
    return tuple(turns)


def convert_sharegpt(columns: SharegptColumns, tags: Tags, row: Row, origin: Origin) -> PreferencePair:
    """A conversation that ends with the user's turn, and two answers to it."""
    names = (columns.messages,) if columns.messages else _MESSAGES
    prompt = turns_of(need(row, *names), f"{names[0]!r}", tags)
    chosen = answer_of(need(row, columns.chosen), f"{columns.chosen!r}", tags)
    rejected = answer_of(need(row, columns.rejected), f"{columns.rejected!r}", tags)
    return build_pair(prompt, chosen, rejected, _with_extras(row, columns.system), origin)


def alpaca_format(columns: AlpacaColumns) -> Format:
    """The alpaca format with the columns of one dataset_info.json entry."""
    return _format(ALPACA, columns.prompt, partial(convert_alpaca, columns), columns)


def sharegpt_format(columns: SharegptColumns, tags: Tags) -> Format:
    """The sharegpt format with the columns and tags of one dataset_info.json entry."""
    return _format(SHAREGPT, columns.messages or _MESSAGES[0], partial(convert_sharegpt, columns, tags), columns)


def _format(base: Format, prompt: str, convert: partial[PreferencePair], columns: object) -> Format:
    names = {getattr(columns, name) for name in type(columns).__dataclass_fields__}  # type: ignore[attr-defined]
    used = frozenset(name for name in names if name)
    return Format(
        name=base.name,
        description=base.description,
        example=base.example,
        keys=prompt,
        columns=used,
        matches=lambda row: prompt in row,
        convert=convert,
        detected=False,
    )


def _is_alpaca(row: Row) -> bool:
    return {"instruction", "chosen", "rejected"} <= set(row) and not {"prompt", *_MESSAGES} & set(row)


def _is_sharegpt(row: Row) -> bool:
    conversation = any(name in row for name in _MESSAGES)
    return conversation and {"chosen", "rejected"} <= set(row) and not {"prompt", "instruction"} & set(row)


def _convert_either(row: Row, origin: Origin) -> PreferencePair:
    return (SHAREGPT if _is_sharegpt(row) else ALPACA).convert(row, origin)


_ALPACA_EXAMPLE: Mapping[str, object] = {
    "instruction": "Translate to French.",
    "input": "Good day",
    "chosen": "Bonjour",
    "rejected": "Hola",
}

ALPACA = Format(
    name="alpaca",
    description="LLaMA-Factory alpaca ranking: instruction, input, history, system, chosen, rejected",
    example=_ALPACA_EXAMPLE,
    keys="instruction, chosen, rejected",
    columns=frozenset({"instruction", "input", "history", "chosen", "rejected", "system"}),
    matches=_is_alpaca,
    convert=partial(convert_alpaca, AlpacaColumns()),
)

SHAREGPT = Format(
    name="sharegpt",
    description="LLaMA-Factory sharegpt ranking: conversations (or messages), and chosen and rejected as one message",
    example={
        "conversations": [{"from": "human", "value": "Hi"}],
        "chosen": {"from": "gpt", "value": "Hello!"},
        "rejected": {"from": "gpt", "value": "What?"},
    },
    keys="conversations or messages, chosen, rejected",
    columns=frozenset({*_MESSAGES, "chosen", "rejected", "system"}),
    matches=_is_sharegpt,
    convert=partial(convert_sharegpt, SharegptColumns(), USUAL_TAGS),
)

LLAMAFACTORY = Format(
    name="llamafactory",
    description="LLaMA-Factory ranking rows, alpaca or sharegpt; a dataset_info.json gives columns and tags",
    example=_ALPACA_EXAMPLE,
    keys="as alpaca or sharegpt",
    columns=ALPACA.columns | SHAREGPT.columns,
    matches=lambda row: _is_alpaca(row) or _is_sharegpt(row),
    convert=_convert_either,
    detected=False,
)
