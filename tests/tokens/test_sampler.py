"""Steps are a pure function of seed, epoch and step; micro-batches lose nothing."""

from __future__ import annotations

from collections import Counter

import pytest

from preftune.tokens.layouts import layout_cost
from preftune.tokens.sampler import Sampler, micro_batches


def test_an_epoch_sees_every_pair_once_and_another_order_each_time():
    sampler = Sampler(num_groups=10, per_step=4, seed=3)
    first = [i for step in range(3) for i in sampler.step(step)]
    second = [i for step in range(3, 6) for i in sampler.step(step)]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_steps_do_not_depend_on_what_was_asked_before():
    fresh, used = Sampler(10, 4, seed=3), Sampler(10, 4, seed=3)
    for step in range(6):
        used.step(step)
    assert fresh.step(4) == used.step(4)


def test_without_shuffling_the_files_order_is_kept():
    assert Sampler(5, 2, shuffle=False).step(1) == (2, 3)


def test_total_steps_come_from_epochs_or_max_steps():
    sampler = Sampler(10, 4)
    assert (sampler.total_steps(2, None), sampler.total_steps(0.5, None), sampler.total_steps(2, 5)) == (6, 2, 5)
    assert sampler.epoch_after(3) == 1
    assert sampler.epoch_after(1) == pytest.approx(0.4)


@pytest.mark.parametrize("layout", ["padded", "packed", "prefix_shared"])
@pytest.mark.parametrize("budget", [1, 40, 10_000])
def test_micro_batches_keep_every_group_within_the_budget(groups, layout, budget):
    batches = micro_batches(groups, layout, budget)
    assert Counter(g.pair_id for b in batches for g in b) == Counter(g.pair_id for g in groups)
    assert all(len(b) == 1 or layout_cost(layout, b) <= budget for b in batches)
