"""Plain-text pairs under other column names: chosen_response/rejected_response, and Axolotl's chatml.intel."""

from __future__ import annotations

from ..records import Message, Origin, PreferencePair
from .base import Format, Row
from .build import build_pair, need
from .messages import text_of

_RESPONSE_PROMPTS = ("prompt", "instruction", "question", "input")
_INTEL_PROMPTS = ("question", "input")


def _convert_with(prompts: tuple[str, ...], chosen: str, rejected: str, row: Row, origin: Origin) -> PreferencePair:
    name = next((n for n in prompts if n in row), prompts[0])
    prompt = (Message("user", text_of(need(row, *prompts), f"{name!r}")),)
    answers = [(Message("assistant", text_of(need(row, side), f"{side!r}")),) for side in (chosen, rejected)]
    return build_pair(prompt, answers[0], answers[1], row, origin)


def _convert_responses(row: Row, origin: Origin) -> PreferencePair:
    return _convert_with(_RESPONSE_PROMPTS, "chosen_response", "rejected_response", row, origin)


def _convert_intel(row: Row, origin: Origin) -> PreferencePair:
    return _convert_with(_INTEL_PROMPTS, "chosen", "rejected", row, origin)


def _is_intel(row: Row) -> bool:
    others = {"prompt", "instruction", "messages", "conversations"}
    asked = any(name in row for name in _INTEL_PROMPTS)
    return asked and {"chosen", "rejected"} <= set(row) and not others & set(row)


RESPONSES = Format(
    name="responses",
    description="chosen_response and rejected_response, with prompt, instruction, question or input",
    example={"prompt": "Hi", "chosen_response": "Hello!", "rejected_response": "What?"},
    keys="prompt (or instruction, question, input), chosen_response, rejected_response",
    columns=frozenset({*_RESPONSE_PROMPTS, "chosen_response", "rejected_response", "system"}),
    matches=lambda row: "chosen_response" in row,
    convert=_convert_responses,
)

INTEL = Format(
    name="intel",
    description="Axolotl chatml.intel: system, question (or input), chosen, rejected",
    example={"system": "Be brief.", "question": "Hi", "chosen": "Hello!", "rejected": "What?"},
    keys="question (or input), chosen, rejected",
    columns=frozenset({*_INTEL_PROMPTS, "chosen", "rejected", "system"}),
    matches=_is_intel,
    convert=_convert_intel,
)
