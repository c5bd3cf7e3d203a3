"""Objectives on liked and disliked answers, and on rankings: known values, gradients, invariants."""

from __future__ import annotations

import json
import math

import pytest
import torch

from preftune.errors import ConfigError
from preftune.logprobs.types import FeedbackLogprobs, PairLogprobs, RankingLogprobs, SequenceLogprobs
from preftune.objectives import bind, weighted_sum, with_class_weights
from preftune.objectives.bound import class_weights


def feedback(answer, mismatched, desirable=(True, False, True)):
    values = (torch.tensor(x, dtype=torch.float64) for x in (answer, mismatched))
    answers, others = values
    return FeedbackLogprobs(answers, torch.tensor([2, 3, 4]), torch.tensor(desirable), others)


@pytest.fixture
def policy():
    return feedback([-4.0, -6.0, -9.0], [-10.0, -8.0, -11.0])


@pytest.fixture
def reference():
    return feedback([-5.0, -5.0, -8.0], [-11.0, -10.0, -11.0])


# Log-ratios: answers 1, -1, -1; mismatched 1, 2, 0, so z0 = 1.
X, Z0 = [1.0, -1.0, -1.0], 1.0


def s(x):
    return 1 / (1 + math.exp(-x))


KNOWN = {
    "kto": ({"beta": 1.0}, [1 - s(1 - Z0), 1 - s(Z0 + 1), 1 - s(-1 - Z0)]),
    "apo_zero_unpaired": ({"beta": 1.0}, [1 - s(1), s(-1), 1 - s(-1)]),
    # Mean liked reward 0, disliked -1: the shift is -0.5.
    "bco": ({"beta": 1.0}, [-math.log(s(1.5)), -math.log(s(0.5)), -math.log(s(-0.5))]),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_values(policy, reference, name):
    parameters, expected = KNOWN[name]
    losses = bind(name, **parameters)(policy, reference)
    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("name", ["kto", "apo_zero_unpaired"])
def test_gradients_equal_finite_differences(policy, reference, name):
    bound = bind(name, beta=0.3)
    assert torch.autograd.gradcheck(lambda a: bound(policy.with_values([a]), reference), policy.answer.requires_grad_())


@pytest.mark.parametrize("name", KNOWN)
def test_the_policy_at_the_reference_costs_the_stated_constant(policy, name):
    bound = bind(name)
    torch.testing.assert_close(bound(policy, policy), torch.full((3,), bound.step_zero, dtype=torch.float64))


def test_the_kl_estimate_is_never_negative_and_has_no_gradient(policy, reference):
    low = feedback([-4.0, -6.0, -9.0], [-12.0, -12.0, -12.0])
    losses, extras = bind("kto", beta=1.0).terms(low, reference)
    assert extras["kl"].tolist() == [0.0] * 3
    torch.testing.assert_close(losses[0], torch.tensor(1 - s(1), dtype=torch.float64))


def test_class_weights_multiply_the_losses_of_their_class(policy, reference):
    plain = bind("kto")(policy, reference)
    weighted = bind("kto", desirable_weight=2.0, undesirable_weight=0.5)(policy, reference)
    torch.testing.assert_close(weighted, plain * torch.tensor([2.0, 0.5, 2.0], dtype=torch.float64))


@pytest.mark.parametrize(
    ("counts", "weights"),
    [((100, 100), (1, 1)), ((120, 100), (1, 1)), ((50, 100), (2, 1)), ((200, 100), (1, 1.5)), ((1, 100), (10, 1))],
)
def test_class_weights_bring_the_shares_into_the_advised_range(counts, weights):
    assert class_weights(*counts) == pytest.approx(weights)


def test_computed_weights_fill_only_what_was_left_open():
    filled = with_class_weights(bind("kto"), 50, 100).parts[0].parameters
    assert (filled["desirable_weight"], filled["undesirable_weight"]) == (2.0, 1.0)
    kept = with_class_weights(bind("kto", desirable_weight=3.0), 50, 100).parts[0].parameters
    assert (kept["desirable_weight"], kept["undesirable_weight"]) == (3.0, 1.0)


def test_losses_on_different_data_cannot_be_summed():
    with pytest.raises(ConfigError, match="kto needs feedback"):
        weighted_sum([bind("sigmoid"), bind("kto")])


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("shift", [1e5, -1e5])
def test_extreme_ratios_stay_finite_in_fp32(name, shift):
    answer = torch.tensor([shift, -shift], requires_grad=True)
    zero = torch.zeros(2)
    labels, tokens = torch.tensor([True, False]), torch.ones(2, dtype=torch.long)
    policy = FeedbackLogprobs(answer, tokens, labels, zero)
    loss = bind(name)(policy, FeedbackLogprobs(zero, tokens, labels, zero))
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(answer.grad).all()


def rankings(rows):
    sizes = [len(r) for r in rows]
    values = torch.tensor([v for r in rows for v in r], dtype=torch.float64)
    sequences = SequenceLogprobs(values, torch.arange(sum(sizes)), sum(sizes))
    return RankingLogprobs.from_sequences(sequences, sizes)


def test_plackett_luce_is_the_product_of_choices_among_those_left():
    policy, reference = rankings([[2.0, 1.0, 0.0], [0.5, 1.5]]), rankings([[0.0] * 3, [0.0] * 2])
    e = math.exp
    first = math.log((e(2) + e(1) + e(0)) / e(2)) + math.log((e(1) + e(0)) / e(1))
    second = math.log((e(0.5) + e(1.5)) / e(0.5))
    losses = bind("plackett_luce", beta=1.0)(policy, reference)
    torch.testing.assert_close(losses, torch.tensor([first, second], dtype=torch.float64))


def test_plackett_luce_of_two_answers_is_dpo():
    policy, reference = rankings([[-4.0, -6.0]]), rankings([[-5.0, -5.5]])
    one = torch.ones(1, dtype=torch.long)
    pair = [PairLogprobs(r.best, r.worst, one, one) for r in (policy, reference)]
    torch.testing.assert_close(bind("plackett_luce")(policy, reference), bind("sigmoid")(*pair))


def test_plackett_luce_gradients_equal_finite_differences():
    policy, reference = rankings([[2.0, 1.0, 0.0], [0.5, 1.5]]), rankings([[0.0] * 3, [0.0] * 2])
    bound = bind("plackett_luce", beta=0.7)
    leaf = policy.answers.requires_grad_()
    assert torch.autograd.gradcheck(lambda a: bound(policy.with_values([a]), reference), leaf)


def test_trls_kto_cases_are_reproduced(shared_data):
    path = shared_data.parent / "fixtures" / "trl_losses.json"
    if not path.is_file():
        pytest.skip(f"no fixture at {path}")
    fixture = json.loads(path.read_text())
    mask = torch.tensor(fixture["completion_mask"])[:, 1:].double()

    def total(rows):
        return (torch.tensor(rows, dtype=torch.float64) * mask).sum(-1)

    def mismatched(rows):
        return torch.tensor(rows, dtype=torch.float64).sum(-1)

    for case in fixture["kto"]:
        labels, tokens = torch.tensor(case["label"]), mask.sum(-1).long()
        rows = torch.tensor(fixture["policy_logps"], dtype=torch.float64, requires_grad=True)
        ours = FeedbackLogprobs((rows * mask).sum(-1), tokens, labels, mismatched(case["kl_policy_logps"]))
        reference = FeedbackLogprobs(total(fixture["ref_logps"]), tokens, labels, mismatched(case["kl_ref_logps"]))
        weights = {k: case[k] for k in ("desirable_weight", "undesirable_weight")}
        losses = bind(case["loss_type"], beta=case["beta"], **weights)(ours, reference)
        losses.mean().backward()
        assert losses.mean().item() == pytest.approx(case["loss"], rel=1e-6)
        scored = mask.bool()
        theirs = torch.tensor(case["grad"], dtype=torch.float64)
        torch.testing.assert_close(rows.grad[scored], theirs[scored], rtol=2e-5, atol=1e-8)


def test_bcos_gradient_treats_the_shift_as_fixed(policy, reference):
    answer = policy.answer.requires_grad_()
    bind("bco", beta=1.0)(policy, reference).sum().backward()
    # d/dx -log sigmoid(s (x - d)) = -s sigmoid(-s (x - d)), with x = 1, -1, -1 and d = -0.5.
    expected = [-s(-1.5), s(-0.5), -s(0.5)]
    torch.testing.assert_close(answer.grad, torch.tensor(expected, dtype=torch.float64))
