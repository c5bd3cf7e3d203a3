"""One prompt column and the answers beside it: plain text, messages, or a transcript with turn markers."""

from __future__ import annotations

from collections.abc import Sequence

from ..records import Kind, Message, Turns
from .base import Row, RowFault
from .build import need
from .hh import is_transcript, turns_of_transcript
from .messages import (
    TEXT_OR_MESSAGES,
    answer_of,
    fold,
    last_answer,
    text_of,
    turns_of,
    type_name,
    without_prompt,
)

Asked = tuple[Turns, list[Turns], Kind]
"""The prompt, the answers to it, and how they were written."""


def asked(row: Row, name: str, answers: Sequence[object], wheres: Sequence[str]) -> Asked:
    """The prompt in the column ``name`` and the answers; messages may repeat the prompt. Raises RowFault."""
    prompt = need(row, name)
    if isinstance(prompt, str) and is_transcript(prompt):
        texts = [text_of(answer, where) for answer, where in zip(answers, wheres, strict=True)]
        return *_after_transcript(text_of(prompt, f"{name!r}"), texts, name), "chat"
    sides = [answer_of(answer, where) for answer, where in zip(answers, wheres, strict=True)]
    if isinstance(prompt, str):
        turns: Turns = (Message("user", text_of(prompt, f"{name!r}")),)
    else:
        turns = turns_of(prompt, f"{name!r}", wanted=TEXT_OR_MESSAGES)
    is_text = isinstance(prompt, str) and all(isinstance(answer, str) for answer in answers)
    return turns, without_prompt(turns, sides), "text" if is_text else "chat"


def _after_transcript(prompt: str, answers: Sequence[str], name: str) -> tuple[Turns, list[Turns]]:
    """Turns of a transcript that ends with an empty assistant turn (or the user's), and of what follows it."""
    turns = fold(turns_of_transcript(prompt, name))
    if turns[-1].role == "assistant" and not turns[-1].content:
        turns = turns[:-1]
    else:
        prompt += "\n\nAssistant:"
    return turns, [fold(turns_of_transcript(prompt + answer, name))[len(turns) :] for answer in answers]


def last_of(row: Row, name: str) -> tuple[Turns, Turns]:
    """Prompt and last answer of one whole conversation in the column ``name``. Raises RowFault."""
    value = need(row, name)
    if is_transcript(value):
        return last_answer(fold(turns_of_transcript(text_of(value, f"{name!r}"), name)), f"{name!r}")
    if isinstance(value, str):
        raise RowFault("missing column", f"{name!r} is text, so it needs a 'prompt' beside it: add it")
    if not isinstance(value, list):
        raise RowFault("wrong type", f"{name!r} must be {TEXT_OR_MESSAGES}, not {type_name(value)}: mend the row")
    return last_answer(fold(turns_of(value, f"{name!r}")), f"{name!r}")
