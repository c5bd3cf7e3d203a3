"""Losses and gradients equal those that TRL 1.16.0 computes from the same per-token log-probs."""

from __future__ import annotations

import json

import pytest
import torch

from preftune.logprobs.types import PairLogprobs
from preftune.objectives import get_objective


@pytest.fixture(scope="module")
def fixture(shared_data):
    path = shared_data.parent / "fixtures" / "trl_losses.json"
    if not path.is_file():
        pytest.skip(f"no fixture at {path}")
    return json.loads(path.read_text())


def side(rows, mask, sequences):
    """Sums and lengths of some rows; positions of the log-probs are the mask's, shifted by one."""
    keep = torch.tensor(mask)[sequences, 1:].bool()
    values = torch.tensor(rows, dtype=torch.float64)[sequences] if isinstance(rows, list) else rows[sequences]
    return (values * keep).sum(-1), keep.sum(-1)


def pair_logprobs(rows, mask):
    half = len(mask) // 2
    (chosen, chosen_tokens), (rejected, rejected_tokens) = (
        side(rows, mask, slice(0, half)),
        side(rows, mask, slice(half, None)),
    )
    return PairLogprobs(chosen, rejected, chosen_tokens, rejected_tokens)


@pytest.mark.parametrize("name", ["sigmoid", "hinge", "ipo"])
def test_losses_and_gradients_equal_trls(fixture, name):
    plain = {"label_smoothing": 0.0, "f_divergence_type": "reverse_kl", "ld_alpha": None, "use_weighting": False}
    cases = [c for c in fixture["dpo"] if c["loss_type"] == [name] and all(c[k] == v for k, v in plain.items())]
    assert cases
    for case in cases:
        rows = torch.tensor(fixture["policy_logps"], dtype=torch.float64, requires_grad=True)
        reference = pair_logprobs(fixture["ref_logps"], fixture["completion_mask"])
        losses = get_objective(name).bind(beta=case["beta"])(pair_logprobs(rows, fixture["completion_mask"]), reference)
        losses.mean().backward()
        assert losses.mean().item() == pytest.approx(case["loss"], rel=1e-5)
        scored = torch.tensor(fixture["completion_mask"])[:, 1:].bool()
        theirs = torch.tensor(case["grad"], dtype=torch.float64)
        torch.testing.assert_close(rows.grad[scored], theirs[scored], rtol=1e-4, atol=1e-7)
