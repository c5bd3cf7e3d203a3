"""Small real tokenizers, models, groups and pairs that tests make on the spot."""

from __future__ import annotations

from random import Random

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from preftune.data.records import Message, Origin, PreferencePair
from preftune.tokens.encode import Completion, EncodedGroup

VOCABULARY = 320

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(template: str | None = CHATML) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with merges, ChatML tokens, and a pad token of its own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = ["the sky is blue and the sea is green", "user assistant system", "what is two plus two\n\nfour\n\n"] * 4
    tokenizer.train_from_iterator(text, trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=special[0], bos_token=special[1], eos_token=special[2]
    )
    made.chat_template = template
    return made


def tiny_llama(seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: object) -> PreTrainedModel:
    """A two-layer Llama with grouped queries and tied embeddings, its weights large enough to have opinions."""
    values = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": True,
        "initializer_range": 0.2,
    }
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**(values | overrides))).to(dtype)


def random_group(rng: Random, row: int, *, prompt: int | None = None, answers: int = 2) -> EncodedGroup:
    """A group of random token ids with random lengths."""

    def ids(count: int) -> np.ndarray:
        return np.array([rng.randrange(3, VOCABULARY) for _ in range(count)], np.int32)

    def completion() -> Completion:
        tokens = ids(rng.randint(1, 12))
        return Completion(tokens, np.ones(len(tokens), bool))

    length = rng.randint(1, 15) if prompt is None else prompt
    return EncodedGroup(
        prompt=ids(length),
        completions=tuple(completion() for _ in range(answers)),
        origin=Origin("made.jsonl", row),
        pair_id=f"{row:032x}",
    )


def make_pair(prompt: str, chosen: str, rejected: str, row: int = 1, **extra: object) -> PreferencePair:
    """A one-turn chat pair."""
    return PreferencePair(
        (Message("user", prompt),),
        (Message("assistant", chosen),),
        (Message("assistant", rejected),),
        Origin("made.jsonl", row),
        **extra,  # type: ignore[arg-type]
    )
