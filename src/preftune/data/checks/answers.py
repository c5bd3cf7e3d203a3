"""P018, P020, P021: what an answer does instead of answering: it refuses, copies the prompt, goes round in circles."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .findings import Severity
from .parts import Hit, RowCheck, Tally, percent
from .seen import Seen

_OPENING = 200  # characters; a refusal comes first
_REFUSAL = re.compile(
    "|".join(
        (
            r"\bi(?:'m| am) (?:really |very |so )?(?:sorry|afraid)\b",
            r"\bi (?:can(?:no|')t|can not|won't|will not|am (?:not able|unable))\b",
            r"\bi'm (?:not able|unable)\b",
            r"\bi do(?:n't| not) (?:think|feel comfortable|want to (?:help|encourage|answer)|know how to help)\b",
            r"\bi (?:must|have to) (?:decline|refuse)\b",
            r"\bi(?: would|'d) (?:rather|prefer) not\b",
            r"\bas an ai\b",
            r"\bi apologi[sz]e\b",
            r"\b(?:not |in)appropriate (?:for me )?to\b",
            r"(?:我|我们)(?:不能|无法|不会|没有办法)|抱歉|对不起|作为(?:一个|一名)?(?:人工智能|ai)",
        )
    )
)
_COPIED = 30  # characters of the made-comparable prompt; shorter ones occur in good answers
_WORDS, _REPEATED = 20, 0.3
_UNSPACED = 15  # characters per word; above that a script without spaces is taken character by character


# One of these is in every refusal: looking for plain text first saves most of the time.
_REFUSAL_WORDS = (
    *("sorry", "afraid", "can't", "cannot", "can not", "won't", "will not", "able", "don't", "do not", "declin"),
    *("refuse", "rather", "prefer", "as an ai", "apolog", "appropriate", "不能", "无法", "不会", "没有办法", "抱歉"),
    *("对不起", "作为"),
)


def refusal(seen: Seen) -> Iterator[Hit]:
    """Answers that open with a refusal, in English or Chinese."""
    for answer in seen.answers:
        opening = answer.text[:_OPENING].lower().replace("’", "'")
        if any(word in opening for word in _REFUSAL_WORDS) and (found := _REFUSAL.search(opening)):
            yield Hit(answer.side, "refuses", found.start())


def _refusals(tally: Tally) -> tuple[Severity, str] | None:
    chosen, rejected = (sum(tally.sides[s] for s in sides) for sides in (_CHOSEN, _REJECTED))
    answers = max(tally.totals[side] for side in _CHOSEN) or tally.total
    skewed = max(chosen, rejected) >= 10 and max(chosen, rejected) > 4 * min(chosen, rejected)
    message = f"refusals: {chosen:,} chosen, {rejected:,} rejected answers"
    if chosen / answers > 0.2:
        return "warning", f"{message}; {percent(chosen, answers)} of the chosen answers refuse"
    return ("warning" if skewed and max(chosen, rejected) / answers > 0.02 else "info"), message


_CHOSEN, _REJECTED = ("chosen", "desirable"), ("rejected", "undesirable")


def _by_chosen(tally: Tally) -> Severity:
    """A warning where more than 0.5 % of the chosen answers have the fault; fewer may be false alarms."""
    return (
        "warning"
        if any(tally.sides[side] / tally.totals[side] > 0.005 for side in tally.sides if side in _CHOSEN)
        else "info"
    )


def prompt_copied(seen: Seen) -> Iterator[Hit]:
    """Answers that hold the whole last question (30 characters or more once made comparable)."""
    if len(seen.question) < _COPIED:
        return
    question = seen.normal_question
    if len(question) < _COPIED:
        return
    for answer in seen.answers:
        if len(answer.text) >= len(question) and question in answer.normal:
            yield Hit(answer.side, "holds the prompt")


def _copied(tally: Tally) -> tuple[Severity, str]:
    message = f"{tally.found} with an answer that repeats the whole prompt ({tally.by_side()})"
    return _by_chosen(tally), message


def repetition(seen: Seen) -> Iterator[Hit]:
    """Answers of 20 words or more in which over 30 % of the four-word sequences occurred before.

    In scripts without spaces, sequences of ten characters are counted.
    """
    for answer in seen.answers:
        words = answer.words
        if len(answer.text) > _UNSPACED * len(words) + 60:
            text = "".join(words)
            count = len(text) - 9
            different = len({text[place : place + 10] for place in range(count)})
        elif len(words) >= _WORDS:
            count = len(words) - 3
            different = len(set(zip(words, words[1:], words[2:], words[3:], strict=False)))
        else:
            continue
        if count > 0 and 1 - different / count > _REPEATED:
            yield Hit(answer.side, "repeats itself", len(answer.text) // 2)


def _repeated(tally: Tally) -> tuple[Severity, str]:
    message = f"{tally.found} with an answer that goes round in circles ({tally.by_side()})"
    return _by_chosen(tally), message


def answer_checks() -> list[RowCheck]:
    """P018, P020, P021."""
    return [
        RowCheck("refusal_balance", refusal, _refusals),
        RowCheck("prompt_copied", prompt_copied, _copied),
        RowCheck("repetition", repetition, _repeated),
    ]
