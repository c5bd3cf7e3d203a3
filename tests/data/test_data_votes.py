"""Votes of annotators: what is a vote, how rows of one vote are gathered, and what pair they decide."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_helpers import HERE, fault_of, pair_of, record_of, said, turns, user, write_lines

from preftune.data import FORMATS, BadRow, Ballot, Message, Origin, VotedPair, load_feedback, load_pairs, load_rankings
from preftune.data.formats import FEEDBACK
from preftune.data.formats.votes import VOTES, ballots_of
from preftune.data.gather import gathered
from preftune.data.rows import RawRow, read_rows
from preftune.errors import DataError

Row = dict[str, object]
TWO: Row = {"prompt": "Hi", "response_a": "Hello!", "response_b": "What?"}


def voted(row: Row) -> VotedPair:
    record = VOTES.convert(row, HERE)
    assert isinstance(record, VotedPair)
    return record


@pytest.mark.parametrize(
    "votes",
    [
        {"annotator1": 1, "annotator2": "B", "annotator3": 0},
        {"annotator_1": "first", "annotator_2": 2.0, "annotator_3": "tie"},
        {"rater a": "model_a", "rater b": "model_b", "rater c": "tie (bothbad)"},
        {"votes": {"x": "A", "y": "response_b", "z": "Tie"}},
        {"votes": ["1", "2", "0"]},
        {"votes": [{"annotator": "x", "vote": 1}, {"judge": "y", "winner": "model_b"}, {"worker_id": 7, "label": 0}]},
    ],
)
def test_votes_are_read_as_they_are_written(votes: Row) -> None:
    assert [ballot.choice for ballot in ballots_of(votes)] == ["first", "second", "tie"]


def test_an_empty_cell_is_no_vote() -> None:
    ballots = ballots_of({"annotator1": None, "annotator2": "", "annotator3": float("nan"), "annotator4": 2})
    assert ballots == (Ballot("annotator4", "second"),)


def test_the_row_may_say_which_answer_was_shown_first() -> None:
    assert ballots_of({"annotator1": 1, "shown_first": "b"}) == (Ballot("annotator1", "first", "second"),)


def test_a_voted_row_holds_both_answers_in_the_order_of_the_row() -> None:
    pair = voted({**TWO, "annotator1": 2, "annotator2": 2, "category": "qa", "weight": 3})
    assert (pair.prompt, pair.completions) == (turns("Hi"), (said("Hello!"), said("What?")))
    assert (pair.kind, pair.category, pair.weight) == ("text", "qa", 3.0)
    assert pair.ballots == (Ballot("annotator1", "second"), Ballot("annotator2", "second"))


def test_instruction_and_input_are_joined_as_in_the_alpaca_format() -> None:
    row: Row = {"instruction": "Do", "input": "this", "response1": "y", "response2": "n", "annotator1": 1}
    alpaca: Row = {"instruction": "Do", "input": "this", "chosen": "y", "rejected": "n"}
    assert pair_of(row) == pair_of(alpaca)


def test_two_conversations_are_forked() -> None:
    sides = {f"conversation_{side}": [user("Hi"), {"role": "assistant", "content": side}] for side in "ab"}
    pair = pair_of({**sides, "winner": "model_b", "judge": "x"})
    assert (pair.prompt, pair.chosen, pair.rejected) == (turns("Hi"), said("b"), said("a"))


@pytest.mark.parametrize(
    ("votes", "chosen", "weight"),
    [
        ([1, 1, 1], "Hello!", 1.0),
        ([2, 2, 1], "What?", 2 / 3),
        ([2, 2, 0, 0, 2, 1], "What?", 0.5),
        ([1], "Hello!", 1.0),
    ],
)
def test_the_majority_is_chosen_and_its_share_is_the_weight(votes: list[int], chosen: str, weight: float) -> None:
    pair = pair_of({**TWO, "votes": votes})
    assert (pair.chosen, pair.weight) == (said(chosen), weight)
    assert pair_of({**TWO, "votes": votes, "weight": 2}).weight == 2 * weight


@pytest.mark.parametrize("votes", [[1, 2], [0, 0, 1], [0], [0, 1, 2], [1, 0]])
def test_a_tie_gives_no_pair_and_is_listed(votes: list[int], tmp_path: Path) -> None:
    path = write_lines(tmp_path / "v.jsonl", [{**TWO, "votes": votes}, {**TWO, "votes": [1]}])
    loaded = load_pairs(path)
    assert [pair.origin.row for pair in loaded.pairs] == [2]
    (left,) = loaded.report.without_record
    assert (left.origin, left.kind) == (Origin(str(path), 1), "tie")
    assert "the votes are tied (" in left.reason
    assert loaded.report.counts["votes_counted"] == len(votes) + 1


FAULTS: list[tuple[Row, str, str]] = [
    ({**TWO, "annotator1": 3}, "bad label", "the vote of 'annotator1' is 3, which is no vote"),
    ({**TWO, "annotator1": True}, "bad label", "is True"),
    ({**TWO, "annotator1": [1]}, "bad label", "write 1 or a (first)"),
    ({**TWO, "annotator1": None}, "no preference", "nobody has voted"),
    ({**TWO, "votes": 3}, "wrong type", "'votes' must be an object or a list, not number"),
    ({**TWO, "votes": [{"vote": 1}]}, "missing column", "votes[0] needs 'annotator' and 'vote'"),
    ({**TWO, "annotator": None, "vote": 1}, "wrong type", "'annotator' must name the annotator"),
    ({**TWO, "annotator1": 1, "shown_first": 0}, "bad label", "name the answer that was shown first"),
    ({**TWO, "annotator1": 1, "response_b": "Hello! "}, "no preference", "identical"),
    ({**TWO, "annotator1": 1, "response_b": True}, "wrong type", "'response_b' must be"),
    ({**TWO, "annotator1": 1, "response_b": " "}, "empty", "the second answer is empty"),
    ({"response_a": "x", "response_b": "y", "annotator1": 1}, "missing column", "no 'prompt'"),
    (TWO, "missing column", "'response_a' and 'response_b' without votes"),
]


@pytest.mark.parametrize(("row", "kind", "words"), FAULTS, ids=[f"{k}-{i}" for i, (_, k, _) in enumerate(FAULTS)])
def test_a_row_of_votes_that_cannot_be_used_says_why(row: Row, kind: str, words: str) -> None:
    bad = fault_of(row)
    assert bad.kind == kind
    assert words in bad.reason


def test_votes_give_binary_feedback_but_no_rankings(tmp_path: Path) -> None:
    row: Row = {**TWO, "annotator1": 2}
    assert record_of(row, FEEDBACK).completion == said("What?")
    path = write_lines(tmp_path / "v.jsonl", [row])
    assert [record.desirable for record in load_feedback(path).records] == [True, False]
    with pytest.raises(DataError, match="votes, not rankings: give rows with 'responses' and 'scores'"):
        load_rankings(path)


def long_row(annotator: str, vote: object, *, swapped: bool = False, prompt: str = "Hi") -> Row:
    first, second = ("What?", "Hello!") if swapped else ("Hello!", "What?")
    return {"prompt": prompt, "response_a": first, "response_b": second, "annotator": annotator, "vote": vote}


def test_one_vote_a_row_is_gathered_by_item(tmp_path: Path) -> None:
    rows = [long_row("x", 1), long_row("x", 2, prompt="Bye"), long_row("y", 1), long_row("z", 2)]
    loaded = load_pairs(write_lines(tmp_path / "v.jsonl", rows))
    assert [(p.origin.row, p.chosen, p.weight) for p in loaded.pairs] == [
        (1, said("Hello!"), 2 / 3),
        (2, said("What?"), 1.0),
    ]
    report = loaded.report
    assert (report.rows_read, report.files[0].rows_used, report.records) == (4, 4, 2)


def test_every_row_of_an_item_that_cannot_be_used_is_listed(tmp_path: Path) -> None:
    rows = [long_row("x", 1), long_row("y", 2), long_row("x", 1, prompt="Bye"), {**long_row("x", 7), "prompt": "Bye"}]
    loaded = load_pairs(write_lines(tmp_path / "v.jsonl", rows), max_bad_rows=1)
    assert [pair.origin.row for pair in loaded.pairs] == [3]
    assert [left.origin.row for left in loaded.report.without_record] == [1, 2]
    assert [(bad.origin.row, bad.kind) for bad in loaded.report.bad_rows] == [(4, "bad label")]


def test_a_vote_on_the_other_order_is_turned_round_and_shows_the_order(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "v.jsonl", [long_row("x", 1), long_row("x", 1, swapped=True), long_row("y", "tie")])
    (row,) = gathered(read_rows(path))
    assert isinstance(row, RawRow)
    assert [origin.row for origin in row.others] == [2, 3]
    assert ballots_of(row.values) == (
        Ballot("x", "first", "first"),
        Ballot("x", "second", "second"),
        Ballot("y", "tie", "first"),
    )


def test_without_texts_an_item_is_known_by_its_id(tmp_path: Path) -> None:
    rows = [{"item": 7, "annotator": "x", "vote": 1}, {"item": 7, "annotator": "y", "vote": 2}]
    (row,) = gathered(read_rows(write_lines(tmp_path / "v.jsonl", rows)))
    assert not isinstance(row, BadRow)
    assert [ballot.choice for ballot in ballots_of(row.values)] == ["first", "second"]


def test_no_other_format_takes_a_row_of_votes() -> None:
    row: Row = {**TWO, "annotator1": 1}
    assert [fmt.name for fmt in FORMATS.values() if fmt.detected and fmt.matches(row)] == ["votes"]
    system = voted({**row, "system": "S"})
    assert system.prompt[0] == Message("system", "S")
