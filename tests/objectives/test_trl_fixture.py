"""Losses and gradients equal those that TRL 1.16.0 computes from the same per-token log-probs, case by case."""

from __future__ import annotations

import json

import pytest
import torch

from preftune.logprobs.types import PairLogprobs, SequenceLogprobs
from preftune.objectives import bind, weighted_sum

DIVERGENCE = {"js_divergence": "js", "alpha_divergence": "alpha"}
NO_SMOOTHING = {"hinge", "ipo", "nca_pair", "bco_pair", "sppo_hard", "apo_zero", "apo_down", "discopop", "sigmoid_norm"}
DIVERGENT = {"sigmoid", "hinge"}


@pytest.fixture(scope="module")
def fixture(shared_data):
    path = shared_data.parent / "fixtures" / "trl_losses.json"
    if not path.is_file():
        pytest.skip(f"no fixture at {path}")
    return json.loads(path.read_text())


def pair_logprobs(rows, mask, log_sum_sq=None):
    """Rows 0..n are chosen, n..2n rejected; positions of the log-probs are the mask's, shifted by one."""
    keep = torch.tensor(mask)[:, 1:].bool()
    half = len(mask) // 2
    order = [i for pair in zip(range(half), range(half, 2 * half), strict=True) for i in pair]
    tokens = torch.cat([rows[i][keep[i]] for i in order])
    sequence = torch.repeat_interleave(torch.arange(2 * half), keep.sum(-1)[order])
    statistic = None if log_sum_sq is None else torch.cat([log_sum_sq[i][keep[i]] for i in order])
    return PairLogprobs.from_sequences(SequenceLogprobs(tokens, sequence, 2 * half, statistic))


def tensor(rows):
    return torch.tensor(rows, dtype=torch.float64)


def ours(name, case, weight=1.0):
    parameters = {} if name == "sft" else {"beta": case["beta"]}
    if name in DIVERGENT:
        kind = case["f_divergence_type"]
        parameters |= {"divergence": DIVERGENCE.get(kind, kind), "divergence_alpha": case["f_alpha_divergence_coef"]}
    if name not in NO_SMOOTHING | {"sft"}:
        parameters["label_smoothing"] = case["label_smoothing"]
    if case["ld_alpha"] is not None:
        parameters["ld_alpha"] = case["ld_alpha"]
    if case["use_weighting"]:
        parameters["wpo"] = True
    return bind(name, weight=weight, **parameters)


def differs_on_purpose(case):
    # TRL's sft is a mean over the tokens of the micro-batch, ours over answers (exact under any split).
    return "sft" in case["loss_type"]


def test_every_dpo_case_is_reproduced(fixture):
    mask, checked = fixture["completion_mask"], 0
    reference = pair_logprobs(tensor(fixture["ref_logps"]), mask)
    for case in fixture["dpo"]:
        if differs_on_purpose(case):
            continue
        names, weights = case["loss_type"], case["loss_weights"] or [1.0] * len(case["loss_type"])
        objective = weighted_sum([ours(n, case, w) for n, w in zip(names, weights, strict=True)])
        rows = tensor(fixture["policy_logps"]).requires_grad_()
        policy = pair_logprobs(rows, mask, tensor(fixture["log_sum_sq_probs"]))
        loss = objective(policy, reference).mean()
        loss.backward()
        scored = torch.tensor(mask)[:, 1:].bool()
        label = f"{names} {case['f_divergence_type']} ld {case['ld_alpha']} wpo {case['use_weighting']}"
        assert loss.item() == pytest.approx(case["loss"], rel=1e-6), label
        torch.testing.assert_close(rows.grad[scored], tensor(case["grad"])[scored], rtol=2e-5, atol=1e-7, msg=label)
        checked += 1
    assert checked == 38


def test_our_sft_is_the_mean_over_answers_where_trls_is_over_tokens(fixture):
    case = next(c for c in fixture["dpo"] if c["loss_type"] == ["sft"])
    policy = pair_logprobs(tensor(fixture["policy_logps"]), fixture["completion_mask"])
    assert bind("sft")(policy, policy).mean().item() == pytest.approx((-policy.per_token().chosen).mean().item())
    over_tokens = -policy.chosen.sum() / policy.chosen_tokens.sum()
    assert over_tokens.item() == pytest.approx(case["loss"], rel=1e-6)


def reference_free(case):
    beta, smoothing = case["beta"], case["label_smoothing"]
    if case["loss_type"] == "simpo":
        return bind("simpo", beta=beta, gamma=case["simpo_gamma"], label_smoothing=smoothing)
    if case["loss_type"] == "hinge":  # beta * max(0, 1 / beta - margin); TRL ignores label smoothing here
        return bind("slic", gap=1 / beta, nll_weight=0.0, weight=beta)
    return bind("cpo", beta=beta, label_smoothing=smoothing, nll_weight=0.0)


def test_reference_free_cases_are_reproduced(fixture):
    policy = pair_logprobs(tensor(fixture["policy_logps"]), fixture["completion_mask"])
    # TRL's ipo without a reference has no paper, and is not built.
    cases = [case for case in fixture["cpo"] if case["loss_type"] != "ipo"]
    assert len(cases) == 24
    for case in cases:
        losses = reference_free(case)(policy, policy)
        torch.testing.assert_close(losses, tensor(case["losses"]), rtol=2e-6, atol=1e-7)


def test_orpos_odds_term_is_reproduced(fixture):
    policy = pair_logprobs(tensor(fixture["policy_logps"]), fixture["completion_mask"])
    (case,) = fixture["orpo"]
    losses, extras = bind("orpo", beta=case["beta"]).terms(policy, policy)
    odds_term = losses - extras["nll_loss"]
    torch.testing.assert_close(odds_term, -tensor(case["losses_to_SUBTRACT_from_nll"]), rtol=1e-6, atol=1e-7)
    assert extras["log_odds_ratio"].mean().item() == pytest.approx(case["mean_log_odds"], rel=1e-5)
