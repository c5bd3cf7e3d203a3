"""One formula, every layout: padded = packed = shared = the model's own logits, in values and gradients."""

from __future__ import annotations

from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from made import random_group, tiny_llama
from preftune.logprobs.attention import checkpointing as enable_checkpointing
from preftune.logprobs.scorer import CompletionScorer
from preftune.logprobs.verify import model_logprobs
from preftune.tokens.layouts import LAYOUTS


@pytest.fixture(scope="module")
def scorer():
    return CompletionScorer(tiny_llama(dtype=torch.float64), chunk=7)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 4), answers=st.integers(1, 5), empty=st.booleans())
def test_layouts_agree_with_the_models_own_logits(scorer, seed, count, answers, empty):
    rng = Random(seed)
    groups = [random_group(rng, i, answers=answers) for i in range(count)]
    if empty and all(len(c.ids) > 1 for c in groups[0].completions):
        groups.append(type(groups[0])(groups[0].prompt[:0], groups[0].completions, groups[0].origin, "0"))
    truth = model_logprobs(scorer, groups)
    for layout in LAYOUTS.values():
        torch.testing.assert_close(scorer(layout(groups)).tokens.detach(), truth, rtol=1e-10, atol=1e-10)


def gradients(model, groups, layout, chunk):
    model.zero_grad()
    CompletionScorer(model, chunk=chunk)(LAYOUTS[layout](groups)).sums.square().sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters()}


@pytest.mark.parametrize("layout", ["packed", "prefix_shared"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_do_not_depend_on_layout_chunk_or_checkpointing(groups, layout, checkpointing):
    model = tiny_llama(dtype=torch.float64).train()
    plain = gradients(model, groups, "padded", 10_000)
    if checkpointing:
        enable_checkpointing(model)
    for name, gradient in gradients(model, groups, layout, 5).items():
        # transformers rounds its norms and rotary angles to fp32 even in a float64 model, hence not 1e-14.
        scale = plain[name].abs().max()
        torch.testing.assert_close(gradient / scale, plain[name] / scale, rtol=0, atol=3e-7)


@pytest.mark.parametrize("layout", ["packed", "prefix_shared"])
def test_replacing_one_answer_moves_no_other_by_a_single_bit(groups, layout):
    scorer = CompletionScorer(tiny_llama())
    before = scorer(LAYOUTS[layout](groups))
    first = groups[0].completions[0]
    changed = type(first)(first.ids[::-1].copy() + 0, first.scored)
    other = [type(groups[0])(groups[0].prompt, (changed, groups[0].completions[1]), groups[0].origin, "x"), *groups[1:]]
    after = scorer(LAYOUTS[layout](other))
    rest = before.sequence > 0
    assert torch.equal(before.tokens[rest], after.tokens[rest])


def test_sums_and_counts_are_views_of_the_tokens(groups, scorer):
    result = scorer(LAYOUTS["packed"](groups))
    assert result.counts.tolist() == [c.num_scored for g in groups for c in g.completions]
    torch.testing.assert_close(result.sums.sum(), result.tokens.sum())
