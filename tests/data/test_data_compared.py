"""Several answers compared two at a time: which votes are on which answers, and what pairs they give."""

from __future__ import annotations

import re
from typing import Any

import pytest
from data_helpers import HERE, PAIRS, fault_of, said, turns

from preftune.data import BadRow, Comparison, load_pairs
from preftune.data.formats import convert
from preftune.data.formats.compared import COMPARED, QA_FEEDBACK

Row = dict[str, Any]
FOUR: Row = {
    "question": "Q",
    **{f"prediction {n}": f"answer {n}" for n in range(1, 5)},
    "preference": [1, 2, 0, 1, 0, 2],
}
THREE: Row = {"prompt": "Q", "responses": ["x", "y", "z"], "comparisons": [{"a": 2, "b": 0, "winner": "b"}]}


def pairs_of(row: Row) -> list[tuple[str, str]]:
    made, _ = convert(row, HERE, None, PAIRS)
    assert not isinstance(made, BadRow), made
    return [(pair.chosen[0].content, pair.rejected[0].content) for pair in made.records]


def test_votes_are_on_pairs_of_answers_in_order():
    assert pairs_of(FOUR) == [
        ("answer 1", "answer 2"),
        ("answer 3", "answer 1"),
        ("answer 2", "answer 3"),
        ("answer 4", "answer 3"),
    ]


def test_places_name_the_answers_and_the_winner_is_a_or_b():
    record = COMPARED.convert(THREE, HERE)
    assert record.comparisons == (Comparison(2, 0, "second"),)
    assert (record.prompt, record.completions) == (turns("Q"), (said("x"), said("y"), said("z")))
    assert pairs_of(THREE) == [("x", "z")]


def test_a_row_of_ties_gives_no_pair_and_says_so():
    made, _ = convert({**FOUR, "preference": [0] * 6}, HERE, QA_FEEDBACK, PAIRS)
    assert made.records == ()
    assert "all its comparisons are ties" in made.nothing
    assert made.counts == {"comparisons_left_out": 6}


@pytest.mark.parametrize(
    ("change", "kind", "reason"),
    [
        ({"preference": [1, 2]}, "bad label", "4 answers make 6 pairs, but 'preference' holds 2 votes"),
        ({"preference": "1"}, "wrong type", "'preference' must be a list"),
        ({"preference": [None] * 6}, "no preference", "no two answers are compared"),
        ({"preference": [7] * 6}, "bad label", "preference\\[0\\] is 7"),
        ({"prediction 2": "answer 1"}, "no preference", "answers 1 and 2 are identical"),
        ({"prediction 2": " "}, "empty", "answer 2 is empty"),
    ],
)
def test_votes_that_do_not_fit_are_refused(change, kind, reason):
    fault = fault_of({**FOUR, **change})
    assert fault.kind == kind
    assert re.search(reason, fault.reason)


@pytest.mark.parametrize(
    ("comparison", "kind"),
    [
        ({"a": 0, "b": 3, "winner": "a"}, "bad number"),
        ({"a": 1, "b": 1, "winner": "a"}, "bad number"),
        ({"a": True, "b": 1, "winner": "a"}, "bad number"),
        ({"a": 0, "winner": "a"}, "missing column"),
        ("a", "missing column"),
    ],
)
def test_places_that_do_not_exist_are_refused(comparison, kind):
    assert fault_of({**THREE, "comparisons": [comparison]}).kind == kind


def test_qa_feedback_gives_a_pair_for_each_decided_comparison(shared_data):
    loaded = load_pairs(shared_data / "qa_feedback")
    assert len(loaded.pairs) == 2616
    assert loaded.report.counts["comparisons_left_out"] == 384
    assert len(loaded.report.without_record) == 12
