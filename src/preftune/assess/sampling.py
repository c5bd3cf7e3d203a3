"""Answers drawn from a model's own distribution, each with its own seed, and what many of them look like."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from ..errors import ModelError
from ..models.load import positions_of

REPEATED = 4
"""Tokens of a run that counts as repeated when it comes again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Token ids of one answer, the end token included where the model wrote one (``ended``)."""

    ids: tuple[int, ...]
    ended: bool


@torch.no_grad()
def sampled_answer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt_ids: Sequence[int],
    *,
    seed: int,
    max_new_tokens: int,
) -> Answer:
    """Draw an answer at temperature 1 from the whole vocabulary, so that it is a sample of the policy itself.

    The same seed draws alike from equal models. The random state of the program is left as it was. Raises ModelError
    where the prompt is too long for the model.
    """
    device = model.device
    ids = torch.tensor([list(prompt_ids)], device=device)
    ends = end_tokens(model, tokenizer)
    whole = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=room(model, ids.shape[1], max_new_tokens),
        eos_token_id=ends or None,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
    )
    generate: Any = model.generate
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), own_settings_aside(model):
        torch.manual_seed(seed)
        output = generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=whole)
    answer = tuple(output[0, ids.shape[1] :].tolist())
    return Answer(answer, bool(answer) and answer[-1] in ends)


def room(model: PreTrainedModel, prompt_tokens: int, wanted: int) -> int:
    """Of so many tokens of an answer those that the model has positions for.

    Raises:
        ModelError: the prompt leaves none.
    """
    positions = positions_of(model)
    if positions is None:
        return wanted
    if prompt_tokens >= positions:
        raise ModelError(
            f"a prompt has {prompt_tokens} tokens, which leaves no room for an answer: the model has {positions} "
            "positions"
        )
    return min(wanted, positions - prompt_tokens)


@contextmanager
def own_settings_aside(model: PreTrainedModel) -> Iterator[None]:
    """A model's own generation settings (penalties, cut-offs, banned tokens, ...) put aside for the block.

    transformers takes from them every value that the caller leaves open.
    """
    own, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Every token that ends an answer: the tokenizer's, and those that the model's settings name."""
    settings: Any = getattr(model, "generation_config", None)
    named = getattr(settings, "eos_token_id", None)
    listed = list(named) if isinstance(named, list | tuple) else [named]
    return sorted({int(token) for token in (*listed, tokenizer.eos_token_id) if token is not None})


def describe_answers(answers: Sequence[Answer]) -> dict[str, float]:
    """Means over answers: ``tokens``, ``ended`` (share that came to an end), ``repetition``.

    The repetition of an answer is the share of its runs of four tokens that it has had before.
    """
    count = len(answers)
    return {
        "tokens": math.fsum(len(answer.ids) for answer in answers) / count,
        "ended": math.fsum(answer.ended for answer in answers) / count,
        "repetition": math.fsum(repetition(answer.ids) for answer in answers) / count,
    }


def repetition(ids: Sequence[int]) -> float:
    """Share of the runs of four tokens that came before in the same answer; 0 for shorter ones."""
    runs = [tuple(ids[i : i + REPEATED]) for i in range(len(ids) - REPEATED + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0
