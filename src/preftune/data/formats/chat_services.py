"""Pairs as chat services and their tools write them: OpenAI preference files and ms-swift."""

from __future__ import annotations

from ..records import Origin, PreferencePair, Turns
from .base import Format, Row, RowFault
from .messages import answer_of, fork, turns_of, type_name
from .pair import build_pair, need, refuse_unsupported


def _convert_openai(row: Row, origin: Origin) -> PreferencePair:
    given = need(row, "input")
    if not isinstance(given, dict):
        raise RowFault("wrong type", f"'input' must be an object with 'messages', not {type_name(given)}: mend the row")
    refuse_unsupported(given)
    prompt = turns_of(need(given, "messages"), "'input.messages'")
    chosen = turns_of(need(row, "preferred_output"), "'preferred_output'")
    rejected = turns_of(need(row, "non_preferred_output"), "'non_preferred_output'")
    return build_pair(prompt, chosen, rejected, row, origin)


def _convert_swift(row: Row, origin: Origin) -> PreferencePair:
    messages = turns_of(need(row, "messages"), "'messages'")
    if "rejected_messages" in row:
        return build_pair(*fork(messages, turns_of(need(row, "rejected_messages"), "'rejected_messages'")), row, origin)
    rejected = answer_of(need(row, "rejected_response"), "'rejected_response'")
    prompt, chosen = _last_answer(messages)
    return build_pair(prompt, chosen, rejected, row, origin)


def _last_answer(messages: Turns) -> tuple[Turns, Turns]:
    if not messages or messages[-1].role != "assistant":
        raise RowFault("roles", "'messages' must end with the assistant's answer, which is the chosen one: add it")
    return messages[:-1], messages[-1:]


OPENAI = Format(
    name="openai",
    description="OpenAI preference fine-tuning (also Azure, Together, Fireworks)",
    example={
        "input": {"messages": [{"role": "user", "content": "Hi"}]},
        "preferred_output": [{"role": "assistant", "content": "Hello!"}],
        "non_preferred_output": [{"role": "assistant", "content": "What?"}],
    },
    keys="input.messages, preferred_output, non_preferred_output",
    columns=frozenset({"input", "preferred_output", "non_preferred_output", "system"}),
    matches=lambda row: "preferred_output" in row or "non_preferred_output" in row,
    convert=_convert_openai,
)

SWIFT = Format(
    name="swift",
    description="ms-swift: messages that end with the chosen answer, and rejected_response or rejected_messages",
    example={
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}],
        "rejected_response": "What?",
    },
    keys="messages, rejected_response or rejected_messages",
    columns=frozenset({"messages", "rejected_response", "rejected_messages", "system"}),
    matches=lambda row: "messages" in row and ("rejected_response" in row or "rejected_messages" in row),
    convert=_convert_swift,
)
