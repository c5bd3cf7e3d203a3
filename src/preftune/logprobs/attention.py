"""The way of a packed row's attention into a model: registered once with transformers; no model is patched.

The kernel of a batch travels as the keyword argument ``preftune_segments`` of the model's forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from .kernels import Asked, SegmentKernel, UnsupportedAttention

NAME = "preftune_segments"


def segment_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001 - none is built for a name without a mask function
    scaling: float | None = None,
    dropout: float = 0.0,
    preftune_segments: SegmentKernel | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """What a model's attention layer calls.

    Shapes: query [1, heads, time, dim]; key and value [1, kv_heads, time, dim]; returns [1, time, heads, dim].
    """
    if preftune_segments is None:
        raise UnsupportedAttention("the model does not hand forward arguments down to its attention")
    for name in ("position_bias", "s_aux"):
        if kwargs.get(name) is not None:
            raise UnsupportedAttention(f"the model's attention uses {name}")
    if dropout and module.training:
        raise UnsupportedAttention("the model's attention drops out scores")
    out = preftune_segments(query, key, value, Asked(scaling, sliding_window, softcap))
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, segment_attention)


@contextmanager
def attention(model: PreTrainedModel, name: str) -> Iterator[None]:
    """Switch a model's attention for a while."""
    before = model.config._attn_implementation
    if before == name:
        yield
        return
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def checkpointing(model: PreTrainedModel) -> None:
    """Gradient checkpointing whose recomputation runs with the attention of its forward pass."""
    contexts = partial(_contexts, model)
    model.activation_checkpointing_enable({"use_reentrant": False, "context_fn": contexts})


def _contexts(model: PreTrainedModel) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """For the forward pass of a layer, and for its recomputation."""
    return nullcontext(), attention(model, model.config._attn_implementation)


def recomputes_otherwise(model: PreTrainedModel) -> bool:
    """Whether a backward pass would recompute layers with another attention than that of the forward pass."""
    if not (model.training and torch.is_grad_enabled()):
        return False
    layers: list[Any] = [m for m in model.modules() if getattr(m, "gradient_checkpointing", False)]
    contexts = (layer._gradient_checkpointing_func.keywords.get("context_fn") for layer in layers)
    return any(getattr(c, "func", None) is not _contexts for c in contexts)
