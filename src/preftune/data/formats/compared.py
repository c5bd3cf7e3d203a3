"""Several answers to a prompt, and for pairs of them which one is better: QA-Feedback and a general form.

Unlike in a ranking, the comparisons need not agree with any order of the answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from ..records import Choice, ComparedAnswers, Comparison, Origin
from .base import Format, Row, RowFault
from .build import build_compared, need
from .messages import type_name
from .prompts import asked
from .votes import PROMPTS, choice_of

_PREDICTION = "prediction "
_COMPARISONS = "comparisons"


def _list(row: Row, name: str) -> list[object]:
    value = need(row, name)
    if not isinstance(value, list):
        raise RowFault("wrong type", f"{name!r} must be a list, not {type_name(value)}: write it as .jsonl or .parquet")
    return value


def _predictions(row: Row) -> list[str]:
    """The columns ``prediction 1``, ``prediction 2``, ... in order."""
    names = [f"{_PREDICTION}{number}" for number in range(1, len(row) + 1)]
    return [name for name in names if name in row]


def _convert_qa_feedback(row: Row, origin: Origin) -> ComparedAnswers:
    names = _predictions(row)
    votes = _list(row, "preference")
    pairs = list(combinations(range(len(names)), 2))
    if len(votes) != len(pairs):
        raise RowFault(
            "bad label",
            f"{len(names)} answers make {len(pairs)} pairs, but 'preference' holds {len(votes)} votes: mend it",
        )
    judged = [
        _comparison(pair, vote, f"preference[{place}]")
        for place, (pair, vote) in enumerate(zip(pairs, votes, strict=True))
    ]
    return _compared(row, [row[name] for name in names], names, judged, origin)


def _convert_general(row: Row, origin: Origin) -> ComparedAnswers:
    answers = _list(row, "responses")
    judged = []
    for place, item in enumerate(_list(row, _COMPARISONS)):
        where = f"{_COMPARISONS}[{place}]"
        if not isinstance(item, Mapping) or not {"a", "b", "winner"} <= set(item):
            raise RowFault("missing column", f"{where} must be an object with 'a', 'b' and 'winner': mend the row")
        pair = item["a"], item["b"]
        if any(type(i) is not int or not 0 <= i < len(answers) for i in pair) or pair[0] == pair[1]:
            raise RowFault("bad number", f"{where}: 'a' and 'b' must be two places in 'responses', from 0: mend it")
        judged.append(_comparison(pair, item["winner"], f"{where}.winner"))
    return _compared(row, answers, [f"responses[{place}]" for place in range(len(answers))], judged, origin)


def _comparison(pair: tuple[int, int], vote: object, where: str) -> Comparison | None:
    choice: Choice | None = choice_of(vote, where)
    return Comparison(*pair, choice) if choice else None


def _compared(
    row: Row, answers: Sequence[object], wheres: Sequence[str], judged: Sequence[Comparison | None], origin: Origin
) -> ComparedAnswers:
    comparisons = tuple(comparison for comparison in judged if comparison)
    if not comparisons:
        raise RowFault("no preference", "no two answers are compared: remove the row")
    name = next((name for name in PROMPTS if name in row), PROMPTS[0])
    prompt, turns, kind = asked(row, name, answers, wheres)
    return build_compared(prompt, turns, comparisons, row, origin, kind if name == "prompt" else "chat")


COMPARED = Format(
    name="compared",
    description="several responses to a prompt, and for pairs of them (places from 0) which one is better",
    example={
        "prompt": "Hi",
        "responses": ["Hello!", "What?", "Hm."],
        "comparisons": [{"a": 0, "b": 1, "winner": "a"}, {"a": 1, "b": 2, "winner": "tie"}],
    },
    keys="prompt, responses, comparisons (objects with a, b and winner)",
    columns=frozenset({*PROMPTS, "responses", _COMPARISONS, "system"}),
    matches=lambda row: "responses" in row and _COMPARISONS in row,
    convert=_convert_general,
    gives=ComparedAnswers,
)

QA_FEEDBACK = Format(
    name="qa_feedback",
    description="QA-Feedback: 'prediction 1' to 'prediction 4', and in 'preference' a vote for each pair of them",
    example={
        "question": "Hi?",
        "prediction 1": "Hello!",
        "prediction 2": "What?",
        "prediction 3": "Hm.",
        "preference": [1, 1, 0],
    },
    keys="question, prediction 1, prediction 2, ..., preference",
    columns=frozenset({*PROMPTS, "preference", "system", *(f"{_PREDICTION}{number}" for number in range(1, 21))}),
    matches=lambda row: f"{_PREDICTION}1" in row and "preference" in row,
    convert=_convert_qa_feedback,
    gives=ComparedAnswers,
)
