"""Answers of a model, word for word the most likely ones, so that before and after can be compared."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase


@torch.no_grad()
def greedy_answer(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, prompt_ids: Sequence[int], *, max_new_tokens: int = 80
) -> str:
    """The model's greedy answer to a rendered prompt, special tokens removed."""
    device = next(model.parameters()).device
    ids = torch.tensor([list(prompt_ids)], device=device)
    output = model.generate(  # type: ignore[operator]
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
    )
    return str(tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)).strip()
