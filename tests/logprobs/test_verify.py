"""The self-check lets exact layouts through, falls back where a model leaks, and refuses what is wrong."""

from __future__ import annotations

from random import Random

import pytest
from architectures import build

from made import random_group, tiny_llama
from preftune.errors import ModelError
from preftune.logprobs.scorer import CompletionScorer, logit_transform
from preftune.logprobs.verify import choose_layout
from preftune.tokens.layouts import LAYOUTS


def test_a_layout_that_is_asked_for_and_wrong_is_an_error():
    scorer = CompletionScorer(build("bloom").eval())
    with pytest.raises(ModelError, match="prefix_shared.*cannot be exchanged.*train.layout: auto"):
        choose_layout(scorer, [random_group(Random(i), i) for i in range(3)], "prefix_shared")


def test_a_head_that_does_not_give_the_models_logits_is_refused(groups):
    scorer = CompletionScorer(tiny_llama())
    scorer.transform = type(scorer.transform)(scale=1.1)
    with pytest.raises(ModelError, match="no exact layout"):
        choose_layout(scorer, groups[:3])


def test_known_logit_transforms_are_read_from_the_config():
    assert logit_transform(build("granite")).scale == 1 / 8
    assert logit_transform(build("gemma2")).cap == 30.0
    assert logit_transform(tiny_llama()).scale == 1.0


def test_dropout_left_on_would_be_noticed(groups):
    model = tiny_llama(attention_dropout=0.5).train()
    with pytest.raises(ModelError):
        choose_layout(CompletionScorer(model), groups[:3])


def test_every_layout_is_known_by_its_config_name():
    assert {"padded", "packed"} <= LAYOUTS.keys()
