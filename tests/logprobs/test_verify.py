"""The self-check lets exact layouts through, falls back where a model leaks, and refuses what is wrong."""

from __future__ import annotations

from random import Random

import pytest
import torch
import transformers as tf

from made import VOCABULARY, random_group, tiny_llama
from preftune.errors import ModelError
from preftune.logprobs.scorer import CompletionScorer, logit_transform
from preftune.logprobs.verify import choose_layout, model_logprobs
from preftune.tokens.layouts import LAYOUTS

SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GPT = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
NEOX = {k: v for k, v in SMALL.items() if k != "num_key_value_heads"}
MODELS = {
    "qwen2": (tf.Qwen2Config(**SMALL), "prefix_shared"),
    "qwen3": (tf.Qwen3Config(**SMALL, head_dim=8), "prefix_shared"),
    "mistral with a window": (tf.MistralConfig(**SMALL, sliding_window=6), "prefix_shared"),
    "gemma2": (tf.Gemma2Config(**SMALL, head_dim=8), "padded"),
    "granite": (tf.GraniteConfig(**SMALL, logits_scaling=8.0), "prefix_shared"),
    "cohere": (tf.CohereConfig(**SMALL, logit_scale=0.25), "prefix_shared"),
    "gpt2": (tf.GPT2Config(**GPT, bos_token_id=1, eos_token_id=2), "prefix_shared"),
    "gpt_neox": (tf.GPTNeoXConfig(**NEOX), "prefix_shared"),
    "bloom": (
        tf.BloomConfig(vocab_size=VOCABULARY, hidden_size=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2),
        "padded",
    ),
    "mixtral": (tf.MixtralConfig(**SMALL, num_local_experts=4, num_experts_per_tok=2), "prefix_shared"),
}


def build(config):
    torch.manual_seed(0)
    return tf.AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("name", MODELS)
def test_the_chosen_layout_gives_the_models_own_logprobs(name):
    config, expected = MODELS[name]
    scorer = CompletionScorer(build(config).eval())
    groups = [random_group(Random(i), i, prompt=9) for i in range(3)]
    choice = choose_layout(scorer, groups)
    assert choice.name == expected, choice.reason
    other = [random_group(Random(i), i) for i in range(10, 14)]
    difference = scorer(choice.layout(other)).tokens - model_logprobs(scorer, other)
    assert difference.abs().max() < 1e-3


def test_a_layout_that_is_asked_for_and_wrong_is_an_error():
    scorer = CompletionScorer(build(MODELS["bloom"][0]).eval())
    with pytest.raises(ModelError, match="prefix_shared.*train.layout: auto"):
        choose_layout(scorer, [random_group(Random(i), i) for i in range(3)], "prefix_shared")


def test_a_head_that_does_not_give_the_models_logits_is_refused(groups):
    scorer = CompletionScorer(tiny_llama())
    scorer.transform = type(scorer.transform)(scale=1.1)
    with pytest.raises(ModelError, match="no exact layout"):
        choose_layout(scorer, groups[:3])


def test_known_logit_transforms_are_read_from_the_config():
    assert logit_transform(build(MODELS["granite"][0])).scale == 1 / 8
    assert logit_transform(build(MODELS["gemma2"][0])).cap == 30.0
    assert logit_transform(tiny_llama()).scale == 1.0


def test_dropout_left_on_would_be_noticed(groups):
    model = tiny_llama(attention_dropout=0.5).train()
    with pytest.raises(ModelError):
        choose_layout(CompletionScorer(model), groups[:3])


def test_every_layout_is_known_by_its_config_name():
    assert {"padded", "packed"} <= LAYOUTS.keys()
