"""Means are exact under any split, and a meter survives JSON to the last bit."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
import torch

from preftune.metrics.meter import Meter


def filled(losses: torch.Tensor, tokens: int = 0) -> Meter:
    meter = Meter()
    meter.add({"loss": losses, "kl_div": losses * 2}, tokens)
    return meter


def test_the_mean_is_over_pairs_not_over_batches() -> None:
    meter = filled(torch.tensor([1.0]))
    meter.merge(filled(torch.tensor([3.0, 3.0, 3.0])))
    assert meter.means() == {"loss": 2.5, "kl_div": 5.0}
    assert meter.pairs == 4


@pytest.mark.parametrize("cuts", [[0, 100], [0, 1, 100], [0, 33, 66, 99, 100]])
def test_any_split_has_the_means_of_the_whole(cuts: list[int]) -> None:
    torch.manual_seed(0)
    losses = torch.randn(100, dtype=torch.float64)
    meter = Meter()
    for start, end in pairwise(cuts):
        meter.merge(filled(losses[start:end], tokens=end - start))
    assert meter.means()["loss"] == pytest.approx(float(losses.mean()), abs=1e-15)
    assert (meter.pairs, meter.tokens) == (100, 100)


def test_sums_are_kept_in_double_precision() -> None:
    meter = Meter()
    for _ in range(1000):
        meter.add({"loss": torch.tensor([16_777_217.0, 1.0])})  # in fp32 adding 1 would be lost
    assert meter.sums["loss"] == 1000 * (16_777_216.0 + 1.0)


def test_a_meter_comes_back_from_json_to_the_last_bit() -> None:
    meter = filled(torch.rand(7) / 3, tokens=11)
    again = Meter.from_state(json.loads(json.dumps(meter.state())))
    assert again == meter
    again.merge(filled(torch.rand(2)))
    assert again != meter


def test_names_take_a_prefix_and_an_empty_meter_has_no_means() -> None:
    assert filled(torch.tensor([1.0])).means("eval_") == {"eval_loss": 1.0, "eval_kl_div": 2.0}
    assert Meter().means() == {}


def test_merging_leaves_the_other_meter_alone() -> None:
    one, other = filled(torch.tensor([1.0])), filled(torch.tensor([2.0]))
    one.merge(other)
    assert other == filled(torch.tensor([2.0]))
