"""Agreement coefficients: published values, the reference package, and a slower second route."""

from __future__ import annotations

from pathlib import Path

import krippendorff as reference
import numpy as np
import pytest

from preftune.data import Ballot
from preftune.data.annotators import (
    Tally,
    agreement,
    cohen,
    fleiss,
    krippendorff,
    pairwise,
    raw_agreement,
    read_votes,
    unanimous,
)
from preftune.data.annotators.reliability import RESAMPLES, Scale
from preftune.data.annotators.tally import Ints, VoteTable, Wins

CHOICES = ("first", "tie", "second")

# Krippendorff's example of 4 observers and 12 units, which his papers compute by hand; 0 is a missing value.
KRIPPENDORFF = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
]
# Fleiss (1971) as Wikipedia works it out: 10 subjects, 14 raters, 5 categories.
FLEISS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def table_of(rows: list[list[int]]) -> VoteTable:
    """A table out of [items][annotators] choices, -1 for no vote."""
    tally = Tally()
    for row in rows:
        tally.add(Ballot(f"a{who}", CHOICES[choice]) for who, choice in enumerate(row) if choice >= 0)
    return tally.table()


def random_rows(seed: int, items: int = 200, annotators: int = 4, missing: float = 0.3) -> list[list[int]]:
    """Noisy copies of a true choice, some missing."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, size=(items, 1), p=[0.45, 0.1, 0.45])
    rows = np.where(rng.random((items, annotators)) < 0.7, truth, rng.integers(0, 3, (items, annotators)))
    return np.where(rng.random((items, annotators)) < missing, -1, rows).tolist()


def test_pandalm_gives_the_published_kappas_and_alpha(shared_data: Path) -> None:
    read = read_votes(shared_data / "pandalm")
    assert (len(read.items), read.bad_rows) == (999, ())
    found = agreement(read.items)
    assert found is not None
    statistics = found.to_json()
    # The README of PandaLM prints .85, .88 and .86.
    assert [round(pair["kappa"], 3) for pair in statistics["cohen"]] == [0.852, 0.879, 0.862]
    assert [pair["items"] for pair in statistics["cohen"]] == [999] * 3
    assert round(statistics["fleiss"], 3) == 0.864
    assert round(statistics["alpha_nominal"]["value"], 3) == 0.864
    assert round(statistics["alpha_ordinal"]["value"], 3) == 0.877
    assert round(statistics["unanimous"], 3) == 0.880
    assert statistics["choices"] == {"first": 1255, "tie": 326, "second": 1416}


@pytest.mark.parametrize(("scale", "alpha"), [("nominal", 0.743), ("ordinal", 0.815)])
def test_krippendorffs_own_example(scale: Scale, alpha: float) -> None:
    votes = np.array(KRIPPENDORFF)
    counts = np.stack([(votes == value).sum(0) for value in range(1, 6)], axis=1)
    estimate = krippendorff(counts, scale)
    assert estimate is not None
    assert round(estimate.value, 3) == alpha


@pytest.mark.parametrize("scale", ["nominal", "ordinal"])
@pytest.mark.parametrize("seed", range(5))
def test_alpha_is_that_of_the_reference_package(scale: Scale, seed: int) -> None:
    rows = [row for row in random_rows(seed) if max(row) >= 0]
    ours = krippendorff(table_of(rows).counts, scale)
    values = np.where(np.array(rows) < 0, np.nan, np.array(rows)).T
    assert ours is not None
    assert ours.value == pytest.approx(reference.alpha(values, level_of_measurement=scale), abs=1e-12)


def test_the_interval_is_that_of_drawing_items_again() -> None:
    """The slow route: draw 200 items with replacement, compute alpha with the package, a few hundred times."""
    rows = np.array([row for row in random_rows(3) if sum(c >= 0 for c in row) >= 2])
    values = np.where(rows < 0, np.nan, rows)
    rng = np.random.default_rng(1)
    drawn = [
        reference.alpha(values[rng.integers(0, len(rows), len(rows))].T, level_of_measurement="nominal")
        for _ in range(400)
    ]
    ours = krippendorff(table_of(rows.tolist()).counts, "nominal")
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.02)
    assert ours.low < ours.value < ours.high
    assert RESAMPLES == 1000


def test_fleiss_kappa_of_the_worked_example() -> None:
    assert fleiss(np.array(FLEISS)) == pytest.approx(0.20993, abs=1e-5)


def test_cohens_kappa_of_a_worked_example() -> None:
    """Observed 0.7, expected 0.5."""
    one = np.array([0] * 25 + [2] * 25)
    other = np.array([0] * 20 + [2] * 5 + [0] * 10 + [2] * 15)
    assert cohen(one, other) == pytest.approx(0.4)


def test_where_nobody_differs_at_all_no_coefficient_is_defined() -> None:
    same = np.array([[3, 0, 0]] * 5)
    assert (fleiss(same), krippendorff(same, "nominal"), cohen(same[:, 1], same[:, 2])) == (None, None, None)
    assert (raw_agreement(same), unanimous(same)) == (1.0, 1.0)


def test_single_votes_have_no_agreement() -> None:
    one: Ints = np.array([[1, 0, 0], [0, 0, 1]])
    assert (raw_agreement(one), unanimous(one), fleiss(one), krippendorff(one, "ordinal")) == (None,) * 4


def test_fleiss_wants_the_same_number_of_votes_on_each_item() -> None:
    assert fleiss(np.array([[2, 1, 0], [1, 1, 0]])) is None


def test_raw_agreement_counts_each_item_once() -> None:
    """An item of 2 equal votes (1), and one of 4 with 2 and 2 (2 of 6 pairs)."""
    assert raw_agreement(np.array([[2, 0, 0], [2, 0, 2], [1, 0, 0]])) == pytest.approx((1 + 1 / 3) / 2)


def test_only_the_busiest_annotators_are_compared_pair_by_pair() -> None:
    rows = [[0, 0, 0, -1], [2, 2, 0, -1], [1, 1, -1, -1], [2, 0, -1, 2]]
    pairs = pairwise(table_of(rows), 2)
    assert [(pair.annotators, pair.items, pair.raw) for pair in pairs] == [(("a0", "a1"), 4, 0.75)]
    assert len(pairwise(table_of(rows), 4)) == 5  # a2 and a3 share no item


def test_an_annotators_two_votes_on_one_item_are_one() -> None:
    tally = Tally()
    tally.add([Ballot("x", "first", "first"), Ballot("x", "second", "second"), Ballot("y", "first")])
    tally.add([Ballot("x", "first", "first"), Ballot("x", "first", "second")])
    assert tally.table().counts.tolist() == [[1, 1, 0], [1, 0, 0]]
    orders = tally.orders
    assert (orders.judged_twice, orders.flipped) == (2, 1)
    # Shown first wins both votes of x on the first item, and one of the two on the second.
    assert (orders.shown, orders.listed) == (Wins(3, 1, 2), Wins(4, 1, 2))
