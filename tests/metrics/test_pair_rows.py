"""From the scores that pairs got to one row per pair, and to the pairs whose label looks wrong."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch

from made import random_group
from preftune.logprobs.types import PairLogprobs
from preftune.metrics.pair_history import FIELDS, PairHistory
from preftune.metrics.pair_rows import hardest, likely_mislabelled, pair_rows
from preftune.metrics.pairs import pair_values
from preftune.metrics.scores import PairScores, pair_scores


def scores(key, margin, loss=0.5):
    return PairScores(key, loss, -10.0 + margin, -12.0, margin, 0.0, -10.0, -12.0)


@pytest.fixture
def history():
    """Pair a is seen at updates 1, 2 and 3, b at 1 and 3, c never."""
    made = PairHistory(["a", "b", "c"])
    made.add(1, made.rows([scores("b", 0.0), scores("a", 0.0)]))
    made.add(2, made.rows([scores("a", -1.0)]))
    made.add(3, made.rows([scores("a", -3.0), scores("b", 2.0)]))
    return made


def test_a_history_knows_first_last_and_how_often_a_margin_was_negative(history):
    reward = FIELDS.index("chosen_reward")
    assert history.first()[:2, reward].tolist() == [0.0, 0.0]
    assert history.last()[:2, reward].tolist() == [-3.0, 2.0]
    assert np.isnan(history.last()[2]).all()
    assert history.last_step().tolist() == [3, 3, -1]
    seen, negative, mean = history.margins(after=1)
    assert (seen.tolist(), negative.tolist(), mean[:2].tolist()) == ([2, 1, 0], [2, 0, 0], [-2.0, 2.0])
    assert history.at(3)[:, 0].tolist() == [0, 1]
    assert history.at(9).shape == (0, 1 + len(FIELDS))


def test_a_value_without_a_reference_is_unknown():
    made = PairHistory(["a"])
    made.add(1, made.rows([PairScores("a", 0.5, -3.0, -4.0, 0.3, 0.1)]))
    group = replace(random_group(Random(1), 1))
    row = pair_rows([group], made, "train", flags={}, starts_at_reference=True)[0]
    assert (row.chosen_logp_reference, row.chosen_logp_before, row.chosen_logp_after) == (None, None, -3.0)
    assert row.margin == pytest.approx(0.2)


def test_the_scores_of_pairs_are_the_values_that_the_means_are_made_of():
    policy = PairLogprobs(*torch.tensor([[-3.0, -5.0], [-6.0, -4.0]]), *torch.tensor([[3, 4], [5, 6]]))
    reference = policy.derived(policy.chosen - 1, policy.rejected + 0.5)
    rewards = policy.derived(torch.tensor([0.1, 0.2]), torch.tensor([-0.05, 0.4]))
    values = pair_values(policy, reference, torch.tensor([0.6, 0.8]), rewards)
    assert torch.allclose(values["log_ratio_per_token/chosen"], torch.tensor([1 / 3, 1 / 4]))
    assert torch.allclose(values["log_ratio_per_token/rejected"], torch.tensor([-0.5 / 5, -0.5 / 6]))
    first, second = pair_scores(["x", "y"], values, reference)
    assert first.key == "x"
    assert first[1:] == pytest.approx((0.6, -3.0, -6.0, 0.1, -0.05, -4.0, -5.5))
    assert second.rejected_reference == pytest.approx(-3.5)
    assert pair_scores(["x", "y"], values, None)[0].chosen_reference is None


def test_rows_say_where_a_pair_is_from_and_what_became_of_it(history):
    rng = Random(2)
    groups = [random_group(rng, row) for row in (4, 5, 6)]
    rows = pair_rows(groups, history, "train", flags={groups[0].pair_id: ["P004"]}, starts_at_reference=True)
    first, _, unseen = rows
    assert (first.place, first.flags, first.split) == ("made.jsonl:4", ("P004",), "train")
    assert (first.chosen_logp_before, first.chosen_logp_after, first.last_step) == (-10.0, -13.0, 3)
    assert (first.times_seen, first.times_negative, first.mean_margin) == (2, 2, -2.0)
    assert (unseen.margin, unseen.last_step, unseen.mean_margin) == (None, None, None)
    assert first.chosen_tokens == groups[0].completions[0].num_scored
    other = pair_rows(groups, history, "train", flags={}, starts_at_reference=False)[0]
    assert other.chosen_logp_before is None


def made_rows(margins):
    """Rows of pairs that were measured twice each, with these margins."""
    rng = Random(4)
    keys = [str(i) for i in range(len(margins))]
    history = PairHistory(keys)
    for step in (2, 3):
        history.add(step, history.rows([scores(k, m) for k, m in zip(keys, margins, strict=True)]))
    groups = [random_group(rng, i + 1) for i in range(len(margins))]
    return pair_rows(groups, history, "train", flags={}, starts_at_reference=True)


def test_a_label_looks_wrong_where_a_model_that_knows_the_rest_disagrees_clearly():
    rows = made_rows([2.0, 1.5, 1.0, 2.5, -0.1, -3.0, 1.8, -2.2])
    assert [row.row for row in likely_mislabelled(rows)] == [6, 8]
    assert [row.row for row in hardest(rows)] == [6, 8, 5]


def test_a_model_that_knows_nothing_accuses_no_label():
    assert likely_mislabelled(made_rows([1.0, -1.0, 2.0, -4.0])) == []
    assert likely_mislabelled([]) == []


def test_not_a_number_stays_out_of_the_rows(history):
    rows = pair_rows(
        [random_group(Random(1), r) for r in (1, 2, 3)], history, "held_out", flags={}, starts_at_reference=False
    )
    values = [v for row in rows for v in (row.margin, row.loss, row.chosen_reward) if v is not None]
    assert all(map(math.isfinite, values))


def test_a_pair_that_stands_twice_among_the_pairs_has_one_history():
    history = PairHistory(["a", "b", "a"])
    history.add(4, history.rows([scores("a", -1.0), scores("b", 2.0)]))
    assert history.last()[:, FIELDS.index("chosen_reward")].tolist() == [-1.0, 2.0, -1.0]
    assert history.last_step().tolist() == [4, 4, 4]
    assert history.margins()[1].tolist() == [1, 0, 1]
