"""One prompt and several answers, with a score or a rank for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from ..records import Origin, Ranking
from .base import Format, Row, RowFault
from .build import build_ranking, need, number_of
from .messages import type_name
from .prompts import asked

_NO_SCORE = ("", "n/a")


@dataclass(frozen=True, slots=True)
class _Judged:
    """One answer as the row holds it; None: the row gives no rank or score."""

    answer: object
    where: str
    rank: object = None
    score: object = None

    @property
    def has_score(self) -> bool:
        text = self.score.strip().lower() if isinstance(self.score, str) else self.score
        return text is not None and text not in _NO_SCORE


Judge = Callable[[Row], list[_Judged]]


def _kept(judged: list[_Judged]) -> list[_Judged]:
    """Without the answers that have no score, unless the row goes by ranks alone."""
    by_rank = any(one.rank is not None for one in judged) and not any(one.has_score for one in judged)
    return judged if by_rank else [one for one in judged if one.has_score]


def _convert(judge: Judge, prompts: Sequence[str], row: Row, origin: Origin) -> Ranking:
    kept = _kept(judge(row))
    name = next((name for name in prompts if name in row), prompts[0])
    prompt, answers, kind = asked(row, name, [one.answer for one in kept], [one.where for one in kept])
    ranks = [_rank(one) for one in kept] if any(one.rank is not None for one in kept) else None
    scores = [number_of(one.score, f"the score of {one.where}") for one in kept if one.has_score]
    return build_ranking(prompt, answers, row, origin, ranks=ranks, scores=scores or None, kind=kind)


def _rank(one: _Judged) -> int:
    rank = number_of(one.rank, f"the rank of {one.where}")
    if rank < 1 or rank != int(rank):
        raise RowFault("bad rank", f"the rank of {one.where} is {rank:g}: it must be a whole number from 1, the best")
    return int(rank)


def _unrated(judge: Judge, row: Row) -> int:
    judged = judge(row)
    return len(judged) - len(_kept(judged))


def _list(row: Row, name: str) -> list[object]:
    value = need(row, name)
    if not isinstance(value, list):
        raise RowFault("wrong type", f"{name!r} must be a list, not {type_name(value)}: write it as .jsonl or .parquet")
    return value


def _judge_lists(row: Row) -> list[_Judged]:
    answers = _list(row, "responses")
    beside = {name: _list(row, name) for name in ("ranks", "scores") if row.get(name) is not None}
    if not beside:
        raise RowFault("missing column", "no 'scores' or 'ranks' beside 'responses': add a list, one item per answer")
    for name, values in beside.items():
        if len(values) != len(answers):
            raise RowFault("bad number", f"{len(answers)} responses and {len(values)} {name}: give one for each")
    nothing = [None] * len(answers)
    columns = zip(answers, beside.get("ranks", nothing), beside.get("scores", nothing), strict=True)
    return [_Judged(answer, f"responses[{i}]", rank, score) for i, (answer, rank, score) in enumerate(columns)]


def _judge_objects(column: str, answer: str, rank: str | None, score: str | None, row: Row) -> list[_Judged]:
    """Answers that are objects, each with its rank or score inside."""
    judged = []
    for number, item in enumerate(_list(row, column)):
        where = f"{column}[{number}]"
        if not isinstance(item, dict):
            raise RowFault("wrong type", f"{where} must be an object, not {type_name(item)}: mend the row")
        missing = next((key for key in (answer, rank, score) if key and key not in item), None)
        if missing:
            has = ", ".join(map(str, item)) or "no keys"
            raise RowFault("missing column", f"{where} has no {missing!r} (it has {has}): add it")
        values = (item[key] if key else None for key in (rank, score))
        judged.append(_Judged(item[answer], f"{where}.{answer}", *values))
    return judged


_judge_nectar: Judge = partial(_judge_objects, "answers", "answer", "rank", None)
_judge_ultrafeedback: Judge = partial(_judge_objects, "completions", "response", None, "overall_score")

SCORED = Format(
    name="scored",
    description="several responses to a prompt, with a list of scores (high is good) or of ranks (1 is best)",
    example={"prompt": "Hi", "responses": ["Hello!", "What?", "Hm."], "scores": [9, 2, 4.5]},
    keys="prompt, responses, scores or ranks",
    columns=frozenset({"prompt", "responses", "scores", "ranks", "system"}),
    matches=lambda row: "responses" in row and ("scores" in row or "ranks" in row),
    convert=partial(_convert, _judge_lists, ("prompt",)),
    gives=Ranking,
    unrated=partial(_unrated, _judge_lists),
)

NECTAR = Format(
    name="nectar",
    description="Nectar: answers, each an object with its text and its rank",
    example={
        "prompt": "\n\nHuman: Hi\n\nAssistant: ",
        "answers": [{"answer": "Hello!", "rank": 1}, {"answer": "What?", "rank": 2}],
    },
    keys="prompt, answers (objects with answer and rank)",
    columns=frozenset({"prompt", "answers", "system"}),
    matches=lambda row: {"prompt", "answers"} <= set(row),
    convert=partial(_convert, _judge_nectar, ("prompt",)),
    gives=Ranking,
)

ULTRAFEEDBACK_RAW = Format(
    name="ultrafeedback_raw",
    description="UltraFeedback before it was made into pairs: completions, each with a response and an overall_score",
    example={
        "instruction": "Hi",
        "completions": [
            {"response": "Hello!", "overall_score": 8.5},
            {"response": "What?", "overall_score": "3"},
        ],
    },
    keys="instruction (or prompt), completions (objects with response and overall_score)",
    columns=frozenset({"instruction", "prompt", "completions", "system"}),
    matches=lambda row: "completions" in row and not {"chosen", "rejected"} & set(row),
    convert=partial(_convert, _judge_ultrafeedback, ("instruction", "prompt")),
    gives=Ranking,
    unrated=partial(_unrated, _judge_ultrafeedback),
)
