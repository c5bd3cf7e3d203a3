"""Cached, frozen and adapter-off are one reference, and nothing in training moves it."""

from __future__ import annotations

import copy

import pytest
import torch

from made import tiny_llama
from preftune.errors import ModelError
from preftune.logprobs.cache import LogprobTable
from preftune.logprobs.reference import AdapterOff, Frozen, compute_table, weights_hash
from preftune.logprobs.scorer import CompletionScorer
from preftune.models.lora import add_lora
from preftune.tokens.layouts import LAYOUTS


@pytest.fixture
def policy():
    model = add_lora(tiny_llama(dtype=torch.float64), rank=4, alpha=8, dropout=0.3, target="all-linear", seed=0)
    return CompletionScorer(model).train()


def references(policy, groups, folder=None):
    frozen = Frozen(CompletionScorer(tiny_llama(dtype=torch.float64)))
    table = LogprobTable(folder)
    cached = compute_table(
        AdapterOff(policy),
        groups,
        table,
        layout=LAYOUTS["packed"],
        layout_name="packed",
        token_budget=60,
        shard_groups=5,
    )
    return [frozen, AdapterOff(policy), cached]


def test_all_kinds_give_the_same_logprobs_whatever_the_adapter_has_become(policy, groups, tmp_path):
    kinds = references(policy, groups, tmp_path)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    batch = LAYOUTS["packed"](groups)
    frozen, adapter_off, cached = (k.logprobs(batch).tokens for k in kinds)
    torch.testing.assert_close(adapter_off, frozen, rtol=0, atol=1e-12)
    torch.testing.assert_close(cached, frozen, rtol=0, atol=1e-9)
    assert not torch.allclose(policy(batch).tokens, frozen)


def test_a_reference_pass_leaves_the_policy_in_its_mode(policy, groups):
    before = {n: m.training for n, m in policy.named_modules()}
    AdapterOff(policy).logprobs(LAYOUTS["packed"](groups[:2]))
    assert {n: m.training for n, m in policy.named_modules()} == before


def test_only_missing_rows_are_computed(policy, groups, tmp_path):
    references(policy, groups[:6], tmp_path)
    done: list[int] = []
    compute_table(
        AdapterOff(policy),
        groups,
        LogprobTable(tmp_path),
        layout=LAYOUTS["padded"],
        layout_name="padded",
        token_budget=60,
        advance=done.append,
    )
    assert sum(done) == 6


def test_adapter_off_without_an_adapter_says_what_to_use():
    with pytest.raises(ModelError, match="cached or frozen"):
        AdapterOff(CompletionScorer(tiny_llama()))


def test_the_weights_hash_sees_a_single_bit():
    model = tiny_llama()
    other = copy.deepcopy(model)
    assert weights_hash(model) == weights_hash(other)
    with torch.no_grad():
        other.model.layers[1].mlp.down_proj.weight.view(torch.int32)[0, 0] ^= 1
    assert weights_hash(model) != weights_hash(other)
