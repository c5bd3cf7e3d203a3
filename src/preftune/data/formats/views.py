"""What rows are wanted as (pairs, binary feedback or rankings), and what becomes of a row that holds another kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from ..derive import (
    NEEDS_SCORES,
    check_comparing,
    comparisons,
    feedback_from_pair,
    pair_from_votes,
    pairs_from_comparisons,
    pairs_from_ranking,
    say_votes,
)
from ..records import BinaryFeedback, ComparedAnswers, PreferencePair, Ranking, Record, VotedPair
from .base import RowFault

R = TypeVar("R", bound=Record)

WHAT: Mapping[type[Record], str] = {
    PreferencePair: "preference pairs",
    BinaryFeedback: "binary feedback",
    Ranking: "rankings",
    VotedPair: "votes",
    ComparedAnswers: "compared answers",
}
"""What each kind of record is called in messages."""


@dataclass(frozen=True, slots=True)
class Made(Generic[R]):
    """What one row has become. Where that is nothing, ``nothing`` says why; ``counts`` go into the report."""

    records: tuple[R, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    nothing: str = ""


@dataclass(frozen=True, slots=True)
class View(Generic[R]):
    """Records of one kind: from which kinds of rows they can be made, and what to do with the others.

    ``columns`` are those to name in advice, ``partners`` the columns that are useless without another.
    """

    wants: type[Record]
    takes: Mapping[type[Record], Callable[[Any], Made[R]]]
    columns: str
    partners: tuple[tuple[str, str], ...]
    otherwise: Mapping[type[Record], str]

    @property
    def what(self) -> str:
        """The records' name, such as ``preference pairs``."""
        return WHAT[self.wants]

    def refusal(self, kind: type[Record]) -> str:
        """Why rows of this kind are not used, and what to do; empty where they are."""
        if kind in self.takes:
            return ""
        return f"{WHAT[kind]}, not {self.what}: {self.otherwise[kind]}"


def _as_they_are(record: R) -> Made[R]:
    return Made((record,))


def _compared(strategy: str, margin_threshold: float | None, ranking: Ranking) -> Made[PreferencePair]:
    if margin_threshold is not None and ranking.scores is None:
        raise RowFault("missing column", NEEDS_SCORES)
    pairs = pairs_from_ranking(ranking, strategy, margin_threshold)
    lost = len(comparisons(len(ranking.ranks), strategy)) - len(pairs)
    reason = "the answers that are compared are tied, or nearer than data.margin_threshold" if not pairs else ""
    return Made(pairs, {"rankings_compared": 1, "comparisons_left_out": lost}, reason)


def _judged_apart(pair: PreferencePair) -> Made[BinaryFeedback]:
    return Made(feedback_from_pair(pair), {"pairs_split": 1})


def _decided(voted: VotedPair) -> Made[PreferencePair]:
    pair = pair_from_votes(voted)
    nothing = f"the votes are tied ({say_votes(voted.ballots)}), so there is no preference"
    return Made((pair,) if pair else (), {"votes_counted": len(voted.ballots)}, nothing)


def _compared_apart(compared: ComparedAnswers) -> Made[PreferencePair]:
    pairs = pairs_from_comparisons(compared)
    nothing = "all its comparisons are ties, so there is no preference" if not pairs else ""
    return Made(pairs, {"comparisons_left_out": len(compared.comparisons) - len(pairs)}, nothing)


def _decided_apart(voted: VotedPair) -> Made[BinaryFeedback]:
    made = _decided(voted)
    records = tuple(record for pair in made.records for record in feedback_from_pair(pair))
    return Made(records, {**made.counts, "pairs_split": len(made.records)}, made.nothing)


def _unless_tied(ranking: Ranking) -> Made[Ranking]:
    if ranking.ranks[-1] == 1:
        return Made((), nothing="all its answers are tied, so there is no preference")
    return Made((ranking,))


_PAIR_PARTNERS = (("rejected", "chosen"), ("chosen", "rejected"))


def pairs_view(rankings: str | None = None, margin_threshold: float | None = None) -> View[PreferencePair]:
    """Preference pairs; of rankings too, where a strategy is given. Raises DataError for unusable options."""
    check_comparing(rankings, margin_threshold)
    takes: dict[type[Record], Callable[[Any], Made[PreferencePair]]] = {
        PreferencePair: _as_they_are,
        VotedPair: _decided,
        ComparedAnswers: _compared_apart,
    }
    if rankings is not None:
        takes[Ranking] = partial(_compared, rankings, margin_threshold)
    return View(
        PreferencePair,
        takes,
        "'prompt', 'chosen' and 'rejected'",
        _PAIR_PARTNERS,
        {
            BinaryFeedback: "give rows with 'chosen' and 'rejected', or use an unpaired objective (kto)",
            Ranking: "set data.rankings (best_worst, adjacent or all) to make pairs of them, "
            "or use a listwise objective",
        },
    )


FEEDBACK: View[BinaryFeedback] = View(
    BinaryFeedback,
    {BinaryFeedback: _as_they_are, PreferencePair: _judged_apart, VotedPair: _decided_apart},
    "'prompt', 'completion' and 'label'",
    (*_PAIR_PARTNERS, ("completion", "label"), ("label", "completion")),
    {
        Ranking: "give rows with 'completion' and 'label', or pairs",
        ComparedAnswers: "give rows with 'completion' and 'label', or pairs",
    },
)

RANKINGS: View[Ranking] = View(
    Ranking,
    {Ranking: _unless_tied},
    "'prompt', 'responses' and 'scores'",
    (("responses", "scores"), ("scores", "responses"), ("ranks", "responses")),
    {
        PreferencePair: "give rows with 'responses' and 'scores', or use a paired objective",
        BinaryFeedback: "give rows with 'responses' and 'scores', or use an unpaired objective (kto)",
        VotedPair: "give rows with 'responses' and 'scores', or use a paired objective",
        ComparedAnswers: "give rows with 'responses' and 'scores', or use a paired objective",
    },
)
