"""Two answers and what annotators said about them: a column for each annotator, a column of votes, or one vote a row.

PandaLM, LLMBar and the arenas write such rows. One vote a row (with the annotator's name beside it) is gathered into
one row for each item before it comes here, see ``gather``.
"""

from __future__ import annotations

from string import ascii_letters
from typing import Literal

from ..records import Ballot, Choice, Message, Origin, Turns, VotedPair
from .base import Format, Row, RowFault
from .build import build_voted, need
from .messages import fork, text_of, turns_of, type_name
from .prompts import asked

_NUMBERED = (("1", "2"), ("_1", "_2"), ("_a", "_b"))
_STEMS = ("response", "answer", "output", "completion", "conversation")
ANSWERS = tuple((stem + first, stem + second) for stem in _STEMS for first, second in _NUMBERED)
"""Columns of the two answers; those of a ``conversation`` hold the prompt as well."""

_MARKS = (*map(str, range(1, 51)), *ascii_letters)
ANNOTATOR_COLUMNS = frozenset(
    f"{stem}{gap}{mark}"
    for stem in ("annotator", "rater", "labeler", "labeller", "judge", "vote")
    for gap in ("", "_", " ", "-")
    for mark in _MARKS
)
"""``annotator1``, ``rater_b``: a vote each, named by the column."""

VOTES_COLUMN = "votes"
SINGLE = ("vote", "preference", "winner", "choice", "label")
"""Columns of the one vote of a row."""
WHO = ("annotator", "annotator_id", "rater", "rater_id", "labeler", "labeler_id", "judge", "worker", "worker_id")
"""Columns that say whose vote it is."""
SHOWN_FIRST = "shown_first"

PROMPTS = ("prompt", "instruction", "question", "input")

# 0, 1, 2 as PandaLM writes them; names as the arenas do.
_CHOICES: dict[str, Choice] = {
    **dict.fromkeys(("1", "1.0", "first", "a", "left", "model_a", "assistant_a"), "first"),
    **dict.fromkeys(("2", "2.0", "second", "b", "right", "model_b", "assistant_b"), "second"),
    **dict.fromkeys(("0", "0.0", "tie", "equal", "same", "both", "neither", "draw"), "tie"),
    **dict.fromkeys(("tie (bothbad)", "bothbad", "both_bad"), "tie"),
    **{name: "first" for name, _ in ANSWERS},
    **{name: "second" for _, name in ANSWERS},
}


def choice_of(value: object, where: str) -> Choice | None:
    """A vote; None where the cell is empty, which means that nothing was said. Raises RowFault."""
    if value is None or value == "" or value != value:  # NaN is how tables write an empty cell
        return None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        found = _CHOICES.get(str(value).strip().lower())
        if found:
            return found
    raise RowFault(
        "bad label", f"{where} is {value!r}, which is no vote: write 1 or a (first), 2 or b (second), 0 or tie, or null"
    )


def answer_columns(row: Row) -> tuple[str, str] | None:
    """The columns of the two answers, where the row has them."""
    return next((names for names in ANSWERS if names[0] in row and names[1] in row), None)


def single_vote(row: Row) -> tuple[str, str] | None:
    """The columns (annotator, vote) of a row that is one annotator's vote."""
    who = next((name for name in WHO if name in row), None)
    vote = next((name for name in SINGLE if name in row), None)
    return (who, vote) if who and vote else None


def _vote_columns(row: Row) -> list[str]:
    """Columns that hold one vote each."""
    many = [name for name in row if name in ANNOTATOR_COLUMNS]
    return many or [name for name in SINGLE if name in row][:1]


def ballots_of(row: Row) -> tuple[Ballot, ...]:
    """Every vote that a row holds; empty cells give none. Raises RowFault."""
    if VOTES_COLUMN in row:
        cells = _listed(row[VOTES_COLUMN])
    elif single := single_vote(row):
        cells = [(annotator_name(row[single[0]], single[0]), row[single[1]], None)]
    else:
        cells = [(name, row[name], None) for name in _vote_columns(row)]
    whole_row = row.get(SHOWN_FIRST)
    ballots = []
    for name, value, shown in cells:
        choice = choice_of(value, f"the vote of {name!r}")
        if choice:
            ballots.append(Ballot(name, choice, _shown(shown if shown is not None else whole_row)))
    return tuple(ballots)


def _shown(value: object) -> Literal["first", "second"] | None:
    choice = choice_of(value, f"{SHOWN_FIRST!r}")
    if choice == "tie":
        raise RowFault("bad label", f"{SHOWN_FIRST!r} is {value!r}: name the answer that was shown first, or null")
    return choice


def annotator_name(value: object, where: str) -> str:
    """Who voted; a number or text. Raises RowFault."""
    if isinstance(value, bool) or not isinstance(value, str | int) or not str(value).strip():
        raise RowFault("wrong type", f"{where!r} must name the annotator, not {value!r}: fill it or remove the row")
    return text_of(str(value), f"{where!r}")


def _listed(value: object) -> list[tuple[str, object, object]]:
    """(annotator, vote, shown first) of ``{"ann": 1}``, ``[1, 2]`` or ``[{"annotator": "ann", "vote": 1}]``."""
    if isinstance(value, dict):
        return [(str(name), vote, None) for name, vote in value.items()]
    if not isinstance(value, list):
        raise RowFault("wrong type", f"'votes' must be an object or a list, not {type_name(value)}: mend the row")
    listed: list[tuple[str, object, object]] = []
    for number, item in enumerate(value, 1):
        if isinstance(item, dict):
            names = single_vote(item)
            if names is None:
                raise RowFault("missing column", f"votes[{number - 1}] needs 'annotator' and 'vote': add them")
            listed.append((annotator_name(item[names[0]], names[0]), item[names[1]], item.get(SHOWN_FIRST)))
        else:
            listed.append((str(number), item, None))
    return listed


def _matches(row: Row) -> bool:
    return answer_columns(row) is not None and (VOTES_COLUMN in row or bool(_vote_columns(row)))


def _convert(row: Row, origin: Origin) -> VotedPair:
    names = answer_columns(row)
    if names is None:
        raise RowFault("missing column", "no two answers (such as 'response_a' and 'response_b'): add them")
    ballots = ballots_of(row)
    if not ballots:
        raise RowFault("no preference", "nobody has voted on this row: remove it")
    if names[0].startswith("conversation"):
        first, second = (turns_of(need(row, name), f"{name!r}") for name in names)
        prompt, *answers = fork(first, second)
        return build_voted(prompt, answers, ballots, row, origin)
    prompt_name = next((name for name in PROMPTS if name in row), PROMPTS[0])
    values = [need(row, name) for name in names]
    prompt, answers, kind = asked(row, prompt_name, values, [f"{name!r}" for name in names])
    if prompt_name == "instruction" and row.get("input"):
        prompt = _with_input(prompt, text_of(row["input"], "'input'"))
    return build_voted(prompt, answers, ballots, row, origin, kind if prompt_name == "prompt" else "chat")


def _with_input(prompt: Turns, text: str) -> Turns:
    """The input after the instruction, joined by a line break as in the alpaca format."""
    *before, last = prompt
    return (*before, Message(last.role, f"{last.content}\n{text}"))


VOTES = Format(
    name="votes",
    description="two answers with votes: a column for each annotator (PandaLM), 'votes', or one vote a row",
    example={"prompt": "Hi", "response1": "Hello!", "response2": "What?", "annotator1": 1, "annotator2": 1},
    keys="response1 and response2 (or _a and _b), annotator1, annotator2, ... (or votes, or annotator and vote)",
    columns=frozenset(
        {*PROMPTS, *(name for names in ANSWERS for name in names), *ANNOTATOR_COLUMNS, *SINGLE, *WHO}
        | {VOTES_COLUMN, SHOWN_FIRST, "system"}
    ),
    matches=_matches,
    convert=_convert,
    gives=VotedPair,
)
