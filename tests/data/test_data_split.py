"""Splits by prompt group: nothing leaks, nothing is lost, and the order of rows does not matter."""

from __future__ import annotations

import random

import pytest
from data_helpers import tiny_pair
from hypothesis import given
from hypothesis import strategies as st

from preftune.data import overlap, split_by_prompt
from preftune.errors import DataError

GROUPS = st.lists(st.integers(0, 12), min_size=1, max_size=60)


@given(groups=GROUPS, fraction=st.floats(0, 0.99), seed=st.integers(0, 5))
def test_no_prompt_is_on_both_sides_and_no_pair_is_lost(groups: list[int], fraction: float, seed: int) -> None:
    pairs = [tiny_pair(f"prompt  {group}", number) for number, group in enumerate(groups)]
    train, held = split_by_prompt(pairs, eval_fraction=fraction, seed=seed)
    assert overlap(train, held) == ()
    assert sorted([*train, *held], key=lambda p: p.origin.row) == pairs
    assert [p.origin.row for p in train] == sorted(p.origin.row for p in train)
    assert train
    assert bool(held) == (fraction > 0 and len(set(groups)) > 1)
    shuffled = random.Random(seed).sample(pairs, len(pairs))
    assert {p.id for p in split_by_prompt(shuffled, eval_fraction=fraction, seed=seed)[1]} == {p.id for p in held}


def test_single_pairs_are_held_out_to_the_exact_fraction() -> None:
    pairs = [tiny_pair(f"p{i}", i) for i in range(200)]
    splits = [split_by_prompt(pairs, eval_fraction=0.05, seed=seed)[1] for seed in range(3)]
    assert [len(held) for held in splits] == [10, 10, 10]
    assert splits[0] != splits[1]


def test_a_group_that_is_too_big_is_passed_over_for_smaller_ones() -> None:
    pairs = [tiny_pair("big", i) for i in range(80)] + [tiny_pair(f"p{i}", i) for i in range(20)]
    for seed in range(10):
        held = split_by_prompt(pairs, eval_fraction=0.1, seed=seed)[1]
        assert len(held) == 10


def test_white_space_does_not_make_another_prompt() -> None:
    train = [tiny_pair("Hello  there\n")]
    assert overlap(train, [tiny_pair("Hello there", 3), tiny_pair("Other", 4)]) == (tiny_pair("Hello there", 3),)


@pytest.mark.parametrize("fraction", [-0.1, 1, 1.5, float("nan")])
def test_a_fraction_outside_zero_to_one_is_refused(fraction: float) -> None:
    with pytest.raises(DataError, match="eval_fraction"):
        split_by_prompt([tiny_pair("a")], eval_fraction=fraction, seed=0)
