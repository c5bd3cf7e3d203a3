"""TRL's four layouts: explicit or implicit prompt, plain text or messages."""

from __future__ import annotations

import unicodedata

from ..records import Message, Origin, PreferencePair
from .base import Format, Row, RowFault
from .build import build_pair, need, text_pair
from .hh import is_transcript
from .messages import (
    TEXT_OR_MESSAGES,
    answer_of,
    fold,
    fork,
    no_preference,
    text_of,
    turns_of,
    type_name,
    without_prompt,
)

# With one of these the prompt is elsewhere, and a guess from the common start of the answers would be wrong.
PROMPT_LIKE = frozenset(
    {"instruction", "question", "query", "input", "messages", "conversations", "conversation", "context", "history"}
)

_UNSPACED = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x31F0, 0x9FFF), (0xF900, 0xFAFF))


def _matches(row: Row) -> bool:
    if "chosen" not in row or "rejected" not in row:
        return False
    sides = row["chosen"], row["rejected"]
    if "prompt" in row:
        is_mixed = isinstance(row["prompt"], str) and any(isinstance(side, list) for side in sides)
        return not is_mixed and not is_transcript(row["prompt"])
    return not PROMPT_LIKE & set(row) and not any(is_transcript(side) for side in sides)


def _convert(row: Row, origin: Origin) -> PreferencePair:
    chosen, rejected = need(row, "chosen"), need(row, "rejected")
    if "prompt" not in row:
        return _implicit(chosen, rejected, row, origin)
    prompt = need(row, "prompt")
    if isinstance(prompt, str):
        texts = (text_of(prompt, "'prompt'"), _plain(chosen, "chosen"), _plain(rejected, "rejected"))
        return text_pair(*texts, row, origin)
    prompt_turns = turns_of(prompt, "'prompt'", wanted=TEXT_OR_MESSAGES)
    sides = answer_of(chosen, "'chosen'"), answer_of(rejected, "'rejected'")
    chosen_turns, rejected_turns = without_prompt(prompt_turns, sides)
    return build_pair(prompt_turns, chosen_turns, rejected_turns, row, origin)


def _plain(value: object, side: str) -> str:
    if not isinstance(value, str):
        raise RowFault("wrong type", f"{side!r} must be text, as 'prompt' is, not {type_name(value)}: mend the row")
    return text_of(value, f"{side!r}")


def _implicit(chosen: object, rejected: object, row: Row, origin: Origin) -> PreferencePair:
    if not (isinstance(chosen, list) and isinstance(rejected, list)):
        parts = split_common_start(_text_side(chosen, "chosen"), _text_side(rejected, "rejected"))
        return text_pair(*parts, row, origin)
    sides = turns_of(chosen, "'chosen'"), turns_of(rejected, "'rejected'")
    for name, turns in zip(("chosen", "rejected"), sides, strict=True):
        if not any(m.content.strip() for m in turns):
            raise RowFault("empty", f"{name!r} is empty: give an answer or remove the row")
    return build_pair(*fork(*sides), row, origin)


def _text_side(value: object, side: str) -> str:
    if not isinstance(value, str):
        reason = f"{side!r} must be text or messages, as the other side is, not {type_name(value)}: mend the row"
        raise RowFault("wrong type", reason)
    text = text_of(value, f"{side!r}")
    if not text.strip():
        raise RowFault("empty", f"{side!r} is empty: give an answer or remove the row")
    return text


def split_common_start(chosen: str, rejected: str) -> tuple[str, str, str]:
    """Prompt and both answers: the longest common start, cut back to where a word ends; the space goes with the answer.

    ``The sky is blue.`` and ``The sky is grey.`` give ``The sky is``, `` blue.`` and `` grey.``. Scripts without
    spaces (Chinese, Japanese, Thai) are cut at the character. Neither answer is left empty.
    """
    if chosen.strip() == rejected.strip():
        raise no_preference()
    end, most = 0, min(len(chosen), len(rejected)) - 1
    while end < most and chosen[end] == rejected[end]:
        end += 1
    while end and (_inside_word(chosen, end) or _inside_word(rejected, end)):
        end -= 1
    if end and chosen[end - 1] == " ":
        end -= 1
    if not chosen[:end].strip():
        raise RowFault("no common prompt", "the answers share no start that could be the prompt: add a 'prompt'")
    return chosen[:end], chosen[end:], rejected[end:]


def _inside_word(text: str, place: int) -> bool:
    before, after = text[place - 1], text[place]
    if unicodedata.category(after).startswith("M") or "\u200d" in (before, after):
        return True
    return _spaced(before) and _spaced(after)


def _spaced(char: str) -> bool:
    """Whether a character is part of a word in a script that puts spaces between words."""
    return char.isalnum() and not any(low <= ord(char) <= high for low, high in _UNSPACED)


def _ultrafeedback_matches(row: Row) -> bool:
    if "chosen" not in row or "rejected" not in row or not isinstance(row.get("prompt"), str):
        return False
    return isinstance(row["chosen"], list) or isinstance(row["rejected"], list)


def _ultrafeedback_convert(row: Row, origin: Origin) -> PreferencePair:
    text = text_of(need(row, "prompt"), "'prompt'")
    chosen = fold(turns_of(need(row, "chosen"), "'chosen'"))
    rejected = fold(turns_of(need(row, "rejected"), "'rejected'"))
    if not chosen or not rejected or chosen[0].role == rejected[0].role == "assistant":
        return build_pair((Message("user", text),), chosen, rejected, row, origin)
    prompt, chosen, rejected = fork(chosen, rejected)
    if text.strip() not in (m.content.strip() for m in prompt if m.role == "user"):
        raise RowFault("no common prompt", "'prompt' is none of the user turns that both sides share: mend the row")
    return build_pair(prompt, chosen, rejected, row, origin)


TRL = Format(
    name="trl",
    description="TRL: prompt, chosen, rejected as text or as messages; without a prompt, the common start is it",
    example={"prompt": "The sky is", "chosen": " blue.", "rejected": " green."},
    keys="chosen, rejected, and usually prompt",
    columns=frozenset({"prompt", "chosen", "rejected", "system"}),
    matches=_matches,
    convert=_convert,
)

ULTRAFEEDBACK = Format(
    name="ultrafeedback",
    description="UltraFeedback-binarized: prompt as text and again as first message of both lists",
    example={
        "prompt": "Hi",
        "chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}],
        "rejected": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "What?"}],
        "score_chosen": 8.5,
        "score_rejected": 6.0,
    },
    keys="prompt (text), chosen and rejected (messages)",
    columns=frozenset({"prompt", "chosen", "rejected", "system"}),
    matches=_ultrafeedback_matches,
    convert=_ultrafeedback_convert,
)
