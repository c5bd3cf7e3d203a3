"""Known values, gradients, and what every paired loss must satisfy."""

from __future__ import annotations

import math

import pytest
import torch

from preftune.errors import ConfigError
from preftune.logprobs.types import PairLogprobs
from preftune.objectives import OBJECTIVES, get_objective, objective_schemas


def pairs(chosen, rejected, chosen_tokens=None, rejected_tokens=None):
    chosen, rejected = (torch.tensor(x, dtype=torch.float64) for x in (chosen, rejected))
    lengths = [
        torch.tensor(n) if n else torch.ones(len(chosen), dtype=torch.long) for n in (chosen_tokens, rejected_tokens)
    ]
    return PairLogprobs(chosen, rejected, *lengths)


@pytest.fixture
def policy():
    return pairs([-4.0, -30.0, -9.0], [-6.0, -20.0, -9.5], [4, 10, 3], [2, 8, 5])


@pytest.fixture
def reference():
    return pairs([-5.0, -29.0, -9.0], [-5.0, -24.0, -9.0], [4, 10, 3], [2, 8, 5])


MARGIN = torch.tensor([2.0, -5.0, 0.5], dtype=torch.float64)
KNOWN = {
    ("sigmoid", 0.1): [math.log(1 + math.exp(-0.2)), math.log(1 + math.exp(0.5)), math.log(1 + math.exp(-0.05))],
    ("hinge", 0.1): [0.8, 1.5, 0.95],
    ("hinge", 1.0): [0.0, 6.0, 0.5],
    # averaged: 1/4 + 1/2, -1/10 - 4/8, 0 + 0.5/5; target 1 / (2 * 0.5) = 1
    ("ipo", 0.5): [(0.75 - 1) ** 2, (-0.6 - 1) ** 2, (0.1 - 1) ** 2],
}


@pytest.mark.parametrize(("name", "beta"), KNOWN)
def test_known_values(policy, reference, name, beta):
    losses = get_objective(name).bind(beta=beta)(policy, reference)
    torch.testing.assert_close(losses, torch.tensor(KNOWN[name, beta], dtype=torch.float64))


def test_summed_ipo_compares_whole_answers(policy, reference):
    losses = get_objective("ipo").bind(beta=0.1, average=False)(policy, reference)
    torch.testing.assert_close(losses, (MARGIN - 5) ** 2)


def test_label_smoothing_is_the_mixture_of_both_labels(policy, reference):
    plain = get_objective("sigmoid").bind(beta=0.3)
    smooth = get_objective("sigmoid").bind(beta=0.3, label_smoothing=0.1)
    mixture = 0.9 * plain(policy, reference) + 0.1 * plain(policy.swapped(), reference.swapped())
    torch.testing.assert_close(smooth(policy, reference), mixture)


def test_swapping_answers_flips_the_log_odds(policy, reference):
    loss = get_objective("sigmoid").bind(beta=0.1)
    flipped = loss(policy.swapped(), reference.swapped())
    torch.testing.assert_close(loss(policy, reference) - flipped, -0.1 * MARGIN)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_policy_at_the_reference_costs_the_stated_constant(policy, name):
    bound = get_objective(name).bind()
    torch.testing.assert_close(bound(policy, policy), torch.full((3,), bound.step_zero, dtype=torch.float64))


def test_step_zero_constants_are_the_papers():
    values = {name: get_objective(name).bind(beta=0.1).step_zero for name in ("sigmoid", "hinge", "ipo")}
    assert values == pytest.approx({"sigmoid": math.log(2), "hinge": 1, "ipo": 25})
    assert get_objective("sigmoid").bind(label_smoothing=0.2).step_zero == pytest.approx(math.log(2))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradients_equal_finite_differences(policy, reference, name):
    bound = get_objective(name).bind(beta=0.3)

    def loss(chosen, rejected):
        return bound(PairLogprobs(chosen, rejected, policy.chosen_tokens, policy.rejected_tokens), reference)

    assert torch.autograd.gradcheck(loss, (policy.chosen.requires_grad_(), policy.rejected.requires_grad_()))


def test_gradient_of_dpo_is_beta_times_the_probability_of_being_wrong(policy, reference):
    chosen = policy.chosen.clone().requires_grad_()
    moved = PairLogprobs(chosen, policy.rejected, policy.chosen_tokens, policy.rejected_tokens)
    get_objective("sigmoid").bind(beta=0.1)(moved, reference).sum().backward()
    torch.testing.assert_close(chosen.grad, -0.1 * torch.sigmoid(-0.1 * MARGIN))


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("margin", [1e4, -1e4])
def test_extreme_margins_stay_finite_in_fp32(name, margin):
    chosen = torch.tensor([margin / 0.1], requires_grad=True)
    one = torch.ones(1, dtype=torch.long)
    zero = PairLogprobs(torch.zeros(1), torch.zeros(1), one, one)
    loss = get_objective(name).bind(beta=0.1)(PairLogprobs(chosen, torch.zeros(1), one, one), zero)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(chosen.grad).all()


def test_unknown_names_and_parameters_suggest_near_ones():
    with pytest.raises(ConfigError, match="unknown objective 'sigmod'; did you mean 'sigmoid'"):
        get_objective("sigmod")
    with pytest.raises(ConfigError, match="'bata'.*did you mean 'beta'"):
        get_objective("ipo").bind(bata=0.1)
    with pytest.raises(ConfigError, match="greater than 0"):
        get_objective("hinge").bind(beta=-1)


def test_schemas_carry_defaults_and_descriptions():
    field = objective_schemas()["sigmoid"].model_fields["beta"]
    assert field.default == 0.1
    assert "reference" in field.description


def test_every_objective_has_a_source_a_formula_and_a_card():
    for objective in OBJECTIVES.values():
        card = objective.bind().card()
        assert card["source"]
        assert card["formula"]
        assert objective.summary
        assert objective.needs_reference
