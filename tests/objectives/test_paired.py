"""Known values, gradients, and what every objective on pairs must satisfy."""

from __future__ import annotations

import math

import pytest
import torch

from preftune.config import load_config
from preftune.errors import ConfigError
from preftune.logprobs.types import PairLogprobs, SequenceLogprobs
from preftune.objectives import OBJECTIVES, bind, objective_schemas, weighted_sum
from preftune.objectives.describe import described


def pairs(chosen, rejected, chosen_tokens, rejected_tokens):
    chosen, rejected = (torch.tensor(x, dtype=torch.float64) for x in (chosen, rejected))
    return PairLogprobs(chosen, rejected, torch.tensor(chosen_tokens), torch.tensor(rejected_tokens))


@pytest.fixture
def policy():
    return pairs([-4.0, -30.0, -9.0], [-6.0, -20.0, -9.5], [4, 10, 3], [2, 8, 5])


@pytest.fixture
def reference():
    return pairs([-5.0, -29.0, -9.0], [-5.0, -24.0, -9.0], [4, 10, 3], [2, 8, 5])


MARGINS = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
# Log-ratios: c = 1, -1, 0; r = -1, 4, -0.5; margins 2, -5, 0.5; averaged c 0.25, -0.1, 0; r -0.5, 0.5, -0.1.
C, R, M = [1.0, -1.0, 0.0], [-1.0, 4.0, -0.5], [2.0, -5.0, 0.5]
MEAN_M = [0.75, -0.6, 0.1]
MEAN_C, MEAN_R = [-1.0, -3.0, -3.0], [-3.0, -2.5, -1.9]


def s(x):
    """Sigmoid."""
    return 1 / (1 + math.exp(-x))


def sp(x):
    """Softplus: -log sigmoid(-x)."""
    return math.log(1 + math.exp(x))


def odds(mean):
    return mean - math.log(1 - math.exp(mean))


# Each value is written out by hand from the paper's formula, in plain Python.
KNOWN = {
    "sigmoid": ({"beta": 0.1}, [sp(-0.1 * m) for m in M]),
    "robust": ({"beta": 0.1}, [(0.9 * sp(-0.1 * m) - 0.1 * sp(0.1 * m)) / 0.8 for m in M]),
    "hinge": ({"beta": 1.0}, [0.0, 6.0, 0.5]),
    "ipo": ({"beta": 0.5}, [(0.75 - 1) ** 2, (-0.6 - 1) ** 2, (0.1 - 1) ** 2]),
    "sigmoid_norm": ({"beta": 5.0}, [sp(-5 * m) for m in MEAN_M]),
    "exo_pair": (
        {"beta": 1.0, "label_smoothing": 0.1},
        [s(m) * math.log(s(m) / 0.9) + s(-m) * math.log(s(-m) / 0.1) for m in M],
    ),
    "discopop": (
        {"beta": 1.0, "tau": 0.5},
        [(1 - s(2 * m)) * sp(-m) + s(2 * m) * math.exp(-m) for m in M],
    ),
    "nca_pair": ({"beta": 1.0}, [sp(-c) + 0.5 * sp(c) + 0.5 * sp(r) for c, r in zip(C, R, strict=True)]),
    "bco_pair": ({"beta": 1.0}, [sp(-c) + sp(r) for c, r in zip(C, R, strict=True)]),
    "sppo_hard": ({"beta": 0.5}, [(c - 1) ** 2 + (r + 1) ** 2 for c, r in zip(C, R, strict=True)]),
    "apo_zero": ({"beta": 1.0}, [1 - s(c) + s(r) for c, r in zip(C, R, strict=True)]),
    "apo_down": ({"beta": 1.0}, [s(c) + 1 - s(c - r) for c, r in zip(C, R, strict=True)]),
    "dpop": ({"beta": 1.0, "penalty": 2.0}, [sp(-2.0), sp(5.0 + 2.0), sp(-0.5)]),
    "rdpo": (
        {"beta": 1.0, "length_penalty": 0.5},
        [sp(-(m + 0.5 * d)) for m, d in zip(M, [2, 2, -2], strict=True)],
    ),
    "rpo": ({"beta": 1.0, "nll_weight": 0.5}, [sp(-m) - 0.5 * c for m, c in zip(M, MEAN_C, strict=True)]),
    "odpo": ({"beta": 1.0}, [sp(-(m - math.log(g))) for m, g in zip(M, [1, 2, 4], strict=True)]),
    # Policy margins 2, -10, 0.5 and reference margins 0, -5, 0, each sorted: differences -5, 0.5, 2.
    "aot": ({"beta": 1.0}, [sp(5.0), sp(-0.5), sp(-2.0)]),
    # Sorted c: -1, 0, 1; sorted r: -1, -0.5, 4: differences 0, 0.5, -3.
    "aot_unpaired": ({"beta": 1.0}, [sp(0.0), sp(-0.5), sp(3.0)]),
    "simpo": (
        {"beta": 2.0, "gamma": 1.0},
        [sp(-(2 * (c - r) - 1)) for c, r in zip(MEAN_C, MEAN_R, strict=True)],
    ),
    "orpo": (
        {"beta": 0.1},
        [-c + 0.1 * sp(-(odds(c) - odds(r))) for c, r in zip(MEAN_C, MEAN_R, strict=True)],
    ),
    "cpo": ({"beta": 1.0, "nll_weight": 0.5}, [sp(-2.0) + 0.5, sp(10.0) + 1.5, sp(-0.5) + 1.5]),
    "slic": ({"gap": 1.0, "nll_weight": 0.5}, [0 + 0.5, 11 + 1.5, 0.5 + 1.5]),
    "sft": ({}, [1.0, 3.0, 3.0]),
}
SWAP_IS_LOG_ODDS = ["sigmoid", "sigmoid_norm"]


def test_every_objective_has_a_known_value():
    elsewhere = {"kto", "apo_zero_unpaired", "bco", "plackett_luce"}  # test_unpaired.py
    assert {n for n in OBJECTIVES if ":" not in n} == KNOWN.keys() | elsewhere


@pytest.mark.parametrize("name", KNOWN)
def test_known_values(policy, reference, name):
    parameters, expected = KNOWN[name]
    losses = bind(name, **parameters)(policy, reference, MARGINS)
    torch.testing.assert_close(losses, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("name", KNOWN)
def test_gradients_equal_finite_differences(policy, reference, name):
    bound = bind(name, **KNOWN[name][0])

    def loss(chosen, rejected):
        # A little off the third pair's log-ratio of exactly 0, where DPO-Positive has its kink.
        moved = PairLogprobs(chosen + 0.01, rejected, policy.chosen_tokens, policy.rejected_tokens)
        return bound(moved, reference, MARGINS)

    assert torch.autograd.gradcheck(loss, (policy.chosen.requires_grad_(), policy.rejected.requires_grad_()))


@pytest.mark.parametrize("name", [n for n in KNOWN if OBJECTIVES[n].step_zero])
def test_the_policy_at_the_reference_costs_the_stated_constant(policy, name):
    bound = bind(name, **KNOWN[name][0])
    torch.testing.assert_close(bound(policy, policy, MARGINS), torch.full((3,), bound.step_zero, dtype=torch.float64))


def test_step_zero_constants_are_the_papers():
    values = {name: bind(name).step_zero for name in OBJECTIVES if ":" not in name}
    log2 = math.log(2)
    expected = dict.fromkeys(["sigmoid", "robust", "sigmoid_norm", "aot", "aot_unpaired", "dpop"], log2)
    expected |= dict.fromkeys(["hinge", "apo_zero", "apo_down"], 1.0)
    expected |= {"ipo": 25.0, "nca_pair": 2 * log2, "bco_pair": 2 * log2, "sppo_hard": 50.0}
    expected |= {"discopop": 0.5 * log2 + 0.5, "exo_pair": -log2 - 0.5 * math.log(1e-3 * 0.999)}
    expected |= {"kto": 0.5, "apo_zero_unpaired": 0.5, "bco": log2, "plackett_luce": None}
    expected |= dict.fromkeys(["rdpo", "rpo", "odpo", "simpo", "orpo", "cpo", "slic", "sft"])
    assert values == pytest.approx(expected)


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("shift", [1e4, -1e4])
def test_extreme_margins_stay_finite_in_fp32(name, shift):
    beta = float(bind(name).parts[0].parameters.get("beta", 1.0))
    chosen = torch.tensor([shift / beta], requires_grad=True)
    rejected = torch.tensor([-50.0], requires_grad=True)
    ten = torch.full((1,), 10)
    zero = PairLogprobs(torch.zeros(1), torch.zeros(1), ten, ten)
    loss = bind(name)(PairLogprobs(chosen, rejected, ten, ten), zero, torch.ones(1))
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(chosen.grad).all()
    assert rejected.grad is None or torch.isfinite(rejected.grad).all()


@pytest.mark.parametrize("divergence", ["forward_kl", "js", "alpha"])
@pytest.mark.parametrize("shift", [1e3, -1e3])
def test_other_divergences_stay_finite_in_fp32(divergence, shift):
    chosen, one = torch.tensor([shift], requires_grad=True), torch.ones(1, dtype=torch.long)
    zero = PairLogprobs(torch.zeros(1), torch.zeros(1), one, one)
    loss = bind("sigmoid", divergence=divergence)(PairLogprobs(chosen, torch.zeros(1), one, one), zero)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(chosen.grad).all()


@pytest.mark.parametrize("name", SWAP_IS_LOG_ODDS)
def test_swapping_answers_flips_the_log_odds(policy, reference, name):
    loss = bind(name, beta=0.1)
    flipped = loss(policy.swapped(), reference.swapped())
    margin = torch.tensor(MEAN_M if name == "sigmoid_norm" else M, dtype=torch.float64)
    torch.testing.assert_close(loss(policy, reference) - flipped, -0.1 * margin)


@pytest.mark.parametrize("name", ["sigmoid", "hinge", "robust", "exo_pair", "discopop", "bco_pair", "apo_zero", "aot"])
def test_doubling_beta_is_doubling_the_log_ratios(policy, reference, name):
    zero = pairs([0.0] * 3, [0.0] * 3, [4, 10, 3], [2, 8, 5])
    ratio = policy - reference
    doubled = ratio.derived(2 * ratio.chosen, 2 * ratio.rejected)
    torch.testing.assert_close(bind(name, beta=0.4)(ratio, zero), bind(name, beta=0.2)(doubled, zero))


def test_summed_ipo_compares_whole_answers(policy, reference):
    losses = bind("ipo", beta=0.1, average=False)(policy, reference)
    torch.testing.assert_close(losses, (torch.tensor(M, dtype=torch.float64) - 5) ** 2)


def test_label_smoothing_is_the_mixture_of_both_labels(policy, reference):
    plain, smooth = bind("sigmoid", beta=0.3), bind("sigmoid", beta=0.3, label_smoothing=0.1)
    mixture = 0.9 * plain(policy, reference) + 0.1 * plain(policy.swapped(), reference.swapped())
    torch.testing.assert_close(smooth(policy, reference), mixture)


def test_alpha_divergence_is_reverse_kl_at_one_and_forward_kl_at_zero(policy, reference):
    for alpha, same in ((1.0, "reverse_kl"), (0.0, "forward_kl")):
        ours = bind("sigmoid", divergence="alpha", divergence_alpha=alpha)(policy, reference)
        torch.testing.assert_close(ours, bind("sigmoid", divergence=same)(policy, reference))


def test_simpo_takes_gamma_or_its_ratio_to_beta_but_not_both(policy, reference):
    by_ratio = bind("simpo", beta=4.0, gamma_beta_ratio=0.5)(policy, reference)
    torch.testing.assert_close(by_ratio, bind("simpo", beta=4.0, gamma=2.0)(policy, reference))
    torch.testing.assert_close(by_ratio, bind("simpo", beta=4.0)(policy, reference))


def test_parameters_that_contradict_each_other_are_a_config_error_with_their_place(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(
        "model: {path: m}\ndata: {train: d}\nobjective:\n  name: simpo\n  gamma: 1\n  gamma_beta_ratio: 1\n"
    )
    with pytest.raises(ConfigError, match=r"c.yaml:6:3: 'objective.gamma_beta_ratio' .* give one, not both"):
        load_config(path, objectives=objective_schemas())


def test_what_differs_from_trl_on_purpose_is_said():
    differing = {name for name, objective in OBJECTIVES.items() if objective.unlike_trl}
    assert {"sigmoid", "sft", "simpo", "orpo", "aot", "kto"} <= differing
    assert "unlike TRL" in described("sft")


def test_a_sum_weights_its_parts_and_reports_each(policy, reference):
    total = weighted_sum([bind("sigmoid"), bind("sft", weight=0.2)])
    losses, extras = total.terms(policy, reference)
    dpo, sft = bind("sigmoid")(policy, reference), bind("sft")(policy, reference)
    torch.testing.assert_close(losses, dpo + 0.2 * sft)
    torch.testing.assert_close(extras["loss/sft"], sft)
    assert total.name == "sigmoid + 0.2 sft"
    assert total.needs_reference
    assert total.step_zero is None


def test_rewards_are_beta_times_the_log_ratio_or_the_losses_own(policy, reference):
    rewards = bind("ipo", beta=0.2).pair_rewards(policy, reference)
    torch.testing.assert_close(rewards.margin, 0.2 * torch.tensor(M, dtype=torch.float64))
    own = bind("simpo", beta=2.0).pair_rewards(policy, reference)
    torch.testing.assert_close(own.chosen, 2 * torch.tensor(MEAN_C, dtype=torch.float64))


def ragged(values, lengths):
    sequence = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    tokens = torch.tensor(values, dtype=torch.float64)
    return PairLogprobs.from_sequences(SequenceLogprobs(tokens, sequence, len(lengths), torch.full_like(tokens, -2.0)))


def test_ld_dpo_counts_tokens_beyond_the_shorter_answer_by_alpha():
    policy, reference = ragged([-1.0, -2.0, -4.0, -3.0], [3, 1]), ragged([0.0] * 4, [3, 1])
    for alpha, margin in ((0.0, -1 + 3), (0.5, -1 - 3 + 3), (1.0, -7 + 3)):
        losses = bind("sigmoid", beta=1.0, ld_alpha=alpha)(policy, reference)
        torch.testing.assert_close(losses, torch.tensor([sp(-margin)], dtype=torch.float64))


def test_wpo_weights_by_the_policys_own_alignment_without_gradient():
    policy, reference = ragged([-3.0, -3.0, -2.5, -2.5], [2, 2]), ragged([-3.0, -3.0, -2.5, -2.5], [2, 2])
    losses = bind("sigmoid", wpo=True)(policy, reference)
    torch.testing.assert_close(losses, torch.tensor([math.exp(-1.5) * math.log(2)], dtype=torch.float64))


def test_token_options_need_tokens(policy, reference):
    with pytest.raises(ConfigError, match="per-token"):
        bind("sigmoid", ld_alpha=0.5)(policy, reference)


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("sigmod", {}, "unknown objective 'sigmod'; did you mean 'sigmoid'"),
        ("ipo", {"bata": 0.1}, "'bata'.*did you mean 'beta'"),
        ("ipo", {"gamma": 1.0}, "'gamma'"),
        ("hinge", {"beta": -1}, "greater than 0"),
        ("robust", {"label_smoothing": 0.6}, "less than 0.5"),
        ("exo_pair", {"label_smoothing": 0.0}, "greater than 0"),
        ("simpo", {"gamma": 1.0, "gamma_beta_ratio": 0.5}, "give one, not both"),
        ("nca_pair", {"ld_alpha": 0.5}, "'ld_alpha'"),
        ("no_such_module:loss", {}, "cannot be imported"),
        ("math:sqrt", {}, "first argument must be named policy"),
    ],
)
def test_wrong_names_and_parameters_say_what_is_wrong(name, parameters, message):
    with pytest.raises(ConfigError, match=message):
        bind(name, **parameters)


def my_loss(policy, reference, *, beta: float = 0.1):
    """A loss of one's own."""
    return (beta * (policy - reference).margin) ** 2


def test_a_function_of_ones_own_is_an_objective_by_its_import_path(policy, reference):
    bound = bind(f"{__name__}:my_loss", beta=1.0)
    torch.testing.assert_close(bound(policy, reference), torch.tensor(M, dtype=torch.float64) ** 2)
    assert bound.card()["formula"] == "A loss of one's own."
    assert objective_schemas().get(f"{__name__}:my_loss").model_fields["beta"].default == 0.1


def test_schemas_carry_defaults_and_descriptions():
    for name, schema in objective_schemas().items():
        for key, field in schema.model_fields.items():
            assert field.description, f"{name}.{key} has no description"


def test_every_objective_has_a_source_a_formula_and_a_summary():
    for name, objective in OBJECTIVES.items():
        assert objective.source, name
        assert objective.formula, name
        assert objective.summary.endswith("."), name
