"""The learning rate is a pure function of the update; the optimiser's state goes through tensors without loss."""

from __future__ import annotations

import math
import sys
import warnings

import pytest
import torch
from torch import nn
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from preftune.errors import ConfigError
from preftune.train.optim import (
    OptimizerChoice,
    Schedule,
    adamw,
    build_optimizer,
    optimizer_tensors,
    restore_optimizer,
    set_rate,
    warmup_steps,
)


def test_known_rates() -> None:
    schedule = Schedule(peak=1.0, total=10, warmup=2, shape="cosine")
    assert [schedule.rate(k) for k in (0, 1, 2)] == [0.0, 0.5, 1.0]
    assert schedule.rate(6) == pytest.approx(0.5)
    assert schedule.rate(10) == pytest.approx(0.0)
    assert Schedule(1.0, 10, 2, "linear").rate(6) == 0.5
    assert Schedule(1.0, 10, 2, "constant").rate(9) == 1.0


@pytest.mark.parametrize(
    ("shape", "theirs"), [("cosine", get_cosine_schedule_with_warmup), ("linear", get_linear_schedule_with_warmup)]
)
@pytest.mark.parametrize(("total", "warmup"), [(20, 3), (7, 0), (5, 5), (1, 0), (4, 9)])
def test_rates_are_those_of_transformers(shape: str, theirs, total: int, warmup: int) -> None:
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler, rates = theirs(optimizer, warmup, total), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # their scheduler minds that no update is made
        for _ in range(total):
            rates.append(optimizer.param_groups[0]["lr"])
            scheduler.step()
    assert [Schedule(0.3, total, warmup, shape).rate(k) for k in range(total)] == pytest.approx(rates, abs=1e-12)  # type: ignore[arg-type]


@pytest.mark.parametrize(("given", "steps"), [(0, 0), (0.1, 10), (0.101, 11), (0.999, 100), (1, 1), (7, 7)])
def test_warmup_is_a_fraction_below_one_and_steps_from_one(given: float, steps: int) -> None:
    assert warmup_steps(given, 100) == steps


def test_only_matrices_are_decayed() -> None:
    parameters = {"w": nn.Parameter(torch.ones(2, 2)), "norm": nn.Parameter(torch.ones(2))}
    optimizer = adamw(parameters, weight_decay=0.5)
    set_rate(optimizer, 0.1)
    for parameter in parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(parameters["w"].data, torch.full((2, 2), 0.95))
    torch.testing.assert_close(parameters["norm"].data, torch.ones(2))


def updated(parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, seeds: range) -> None:
    for seed in seeds:
        torch.manual_seed(seed)
        set_rate(optimizer, 0.1 / (seed + 1))
        for parameter in parameters.values():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()


@pytest.mark.parametrize("name", ["adamw", "rmsprop", "sgd", "adamw_8bit"])
def test_after_a_round_trip_the_next_updates_are_the_same_bits(name: str) -> None:
    if name == "adamw_8bit":
        pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    choice = OptimizerChoice(name, weight_decay=0.01)  # type: ignore[arg-type]

    def fresh() -> dict[str, nn.Parameter]:
        return {"a|b": nn.Parameter(torch.ones(96, 50)), "c": nn.Parameter(torch.ones(4))}

    whole, first, second = fresh(), fresh(), fresh()
    one, cut, again = (build_optimizer(p, choice) for p in (whole, first, second))
    updated(whole, one, range(6))
    updated(first, cut, range(3))
    tensors = dict(optimizer_tensors(cut, first))
    with torch.no_grad():
        for name, parameter in second.items():
            parameter.copy_(first[name])
    restore_optimizer(again, second, tensors.items())
    updated(second, again, range(3, 6))
    assert all(torch.equal(whole[name], second[name]) for name in whole)
    assert not torch.equal(whole["c"], first["c"])


def test_the_eight_bit_optimiser_needs_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ConfigError, match="pip install 'preftune\\[quantization\\]'"):
        build_optimizer({"a": nn.Parameter(torch.ones(2))}, OptimizerChoice("adamw_8bit"))


def test_known_updates() -> None:
    def after(choice: OptimizerChoice) -> float:
        parameter = nn.Parameter(torch.zeros(1))
        optimizer = build_optimizer({"a": parameter}, choice)
        set_rate(optimizer, 0.1)
        parameter.grad = torch.full((1,), 4.0)
        optimizer.step()
        return float(parameter.detach())

    assert after(OptimizerChoice("sgd")) == pytest.approx(-0.4)
    assert after(OptimizerChoice("rmsprop")) == pytest.approx(-1.0)  # 0.1 * 4 / sqrt(0.01 * 16)
    assert after(OptimizerChoice("adamw", betas=(0.5, 0.5))) == pytest.approx(-0.1)
    assert after(OptimizerChoice("adamw", epsilon=4.0)) == pytest.approx(-0.05)  # 0.1 * 4 / (4 + 4)


def test_an_optimiser_that_made_no_update_has_no_state() -> None:
    parameters = {"a": nn.Parameter(torch.ones(2))}
    assert not list(optimizer_tensors(adamw(parameters), parameters))


def test_the_cosine_never_goes_below_zero() -> None:
    schedule = Schedule(2.0, 9, 3, "cosine")
    assert all(0 <= schedule.rate(k) <= 2.0 and math.isfinite(schedule.rate(k)) for k in range(12))
