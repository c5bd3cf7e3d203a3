"""Many architectures: each is trained in the fastest layout that is exact for it, and is right there."""

from __future__ import annotations

from random import Random

import pytest
import torch
from architectures import FAMILIES, build

from made import random_group
from preftune.logprobs.scorer import CompletionScorer
from preftune.logprobs.verify import choose_layout, model_logprobs
from preftune.tokens.layouts import padded

ALL = pytest.mark.parametrize("name", FAMILIES)


@pytest.fixture
def check_groups():
    """What the self-check gets."""
    return [random_group(Random(i), i, prompt=9) for i in range(3)]


@pytest.fixture
def other_groups():
    """Groups that it has not seen: prompts shorter and longer, two to four answers."""
    return [random_group(Random(i), i, answers=2 + i % 3) for i in range(10, 16)]


@ALL
def test_the_chosen_layout_gives_the_models_own_logprobs(name, check_groups, other_groups):
    scorer = CompletionScorer(build(name))
    choice = choose_layout(scorer, check_groups)
    assert choice.name == FAMILIES[name].layout, choice.reason
    with torch.no_grad():
        ours = scorer(choice.layout(other_groups)).tokens
    torch.testing.assert_close(ours, model_logprobs(scorer, other_groups), rtol=0, atol=1e-4)


@ALL
def test_its_gradients_are_those_of_the_padded_rows(name, check_groups, other_groups):
    scorer = CompletionScorer(build(name).train())
    choice = choose_layout(scorer, check_groups)

    def gradients(layout):
        scorer.zero_grad()
        sums = scorer(layout(other_groups)).sums
        (sums * torch.linspace(-1, 1, len(sums))).sum().backward()
        return {n: p.grad.clone() for n, p in scorer.named_parameters() if p.grad is not None}

    plain, ours = gradients(padded), gradients(choice.layout)
    assert plain.keys() == ours.keys()
    # A key's bias has no gradient but rounding: it is compared on the scale of the largest gradient of all.
    largest = max(g.abs().max() for g in plain.values())
    for key, gradient in ours.items():
        scale = torch.maximum(plain[key].abs().max(), 1e-4 * largest)
        torch.testing.assert_close(gradient / scale, plain[key] / scale, rtol=0, atol=1e-3)


@ALL
def test_the_model_generates_as_before_after_packed_rows_were_scored(name, check_groups):
    model = build(name)
    prompt = torch.randint(3, 300, (2, 9), generator=torch.Generator().manual_seed(0))
    options = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0, "attention_mask": torch.ones_like(prompt)}
    before, own = model.generate(prompt, **options), model.config._attn_implementation
    choose_layout(CompletionScorer(model), check_groups)
    assert model.config._attn_implementation == own
    assert torch.equal(model.generate(prompt, **options), before)
