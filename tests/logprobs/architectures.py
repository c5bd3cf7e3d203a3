"""Tiny random models of many families, and the layout that each one can be trained in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import transformers as tf

from made import VOCABULARY

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
MULTI_HEAD = {k: v for k, v in SMALL.items() if k != "num_key_value_heads"}
SHORT = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2}
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
WINDOW = 6
"""Shorter than the tests' sequences, so that it matters."""


@dataclass(frozen=True)
class Family:
    """One architecture: the config of its tiny model, and the layout that the self-check has to find."""

    config: tf.PretrainedConfig
    layout: str = "prefix_shared"


FAMILIES = {
    "llama": Family(tf.LlamaConfig(**SMALL)),
    "qwen2": Family(tf.Qwen2Config(**SMALL)),
    "qwen3": Family(tf.Qwen3Config(**SMALL, head_dim=8)),
    "mistral": Family(tf.MistralConfig(**SMALL, sliding_window=WINDOW)),
    "gemma2": Family(tf.Gemma2Config(**SMALL, head_dim=8, sliding_window=WINDOW, attn_logit_softcapping=0.5)),
    "gemma3": Family(tf.Gemma3TextConfig(**SMALL, head_dim=8, sliding_window=WINDOW)),
    "phi3": Family(tf.Phi3Config(**SMALL)),
    "gpt2": Family(tf.GPT2Config(**SHORT, **NO_DROPOUT, n_embd=32, n_layer=2, n_head=4, n_positions=128)),
    "gpt_neox": Family(tf.GPTNeoXConfig(**MULTI_HEAD)),
    "opt": Family(tf.OPTConfig(**MULTI_HEAD, ffn_dim=64, word_embed_proj_dim=32, dropout=0.0)),
    "cohere": Family(tf.CohereConfig(**SMALL, logit_scale=0.25)),
    "granite": Family(tf.GraniteConfig(**SMALL, logits_scaling=8.0)),
    "olmo2": Family(tf.Olmo2Config(**SMALL)),
    "mixtral": Family(tf.MixtralConfig(**SMALL, num_local_experts=4, num_experts_per_tok=2)),
    "qwen3_moe": Family(
        tf.Qwen3MoeConfig(**SMALL, head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16)
    ),
    "bloom": Family(tf.BloomConfig(**SHORT, hidden_size=32, n_layer=2, n_head=4), "padded"),
    "mamba": Family(
        tf.MambaConfig(**SHORT, hidden_size=32, num_hidden_layers=2, state_size=4, pad_token_id=0), "padded"
    ),
    "lfm2": Family(tf.Lfm2Config(**SMALL, layer_types=["conv", "full_attention"], conv_L_cache=3), "padded"),
}


def build(name: str) -> tf.PreTrainedModel:
    """The family's tiny model, with weights large enough to have opinions, in evaluation mode."""
    torch.manual_seed(0)
    model = tf.AutoModelForCausalLM.from_config(FAMILIES[name].config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(5)
    return model.eval()
