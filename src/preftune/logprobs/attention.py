"""Attention for packed and prefix-shared rows, registered once with transformers; no model is patched.

The spans of a row travel as the keyword argument ``preftune_segments`` of the model's forward pass, so nothing is
shared between models or threads, and gradient checkpointing finds them again when it recomputes a layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from ..tokens.batch import Segments, Span

NAME = "preftune_segments"


class UnsupportedAttention(Exception):  # noqa: N818 - caught where the layout is chosen
    """The model's attention has a part that the segment kernel does not compute (soft-capping, sinks, bias)."""


def segment_attention(
    module: torch.nn.Module,  # noqa: ARG001 - transformers' signature
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,  # noqa: ARG001 - none is built for a name without a mask function
    scaling: float | None = None,
    dropout: float = 0.0,
    preftune_segments: Segments | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each span; branches of a span see its prompt and themselves.

    Shapes: query [1, heads, time, dim]; key and value [1, kv_heads, time, dim]; returns [1, time, heads, dim].
    """
    if preftune_segments is None:
        raise UnsupportedAttention("the model does not hand forward arguments down to its attention")
    for name in ("softcap", "position_bias", "s_aux"):
        if kwargs.get(name) is not None:
            raise UnsupportedAttention(f"the model's attention uses {name}")
    attend = _Attend(query, key, value, scaling, dropout, sliding_window)
    parts = [part for span in preftune_segments.spans for part in attend.span(span)]
    return torch.cat(parts, 2).transpose(1, 2).contiguous(), None


class _Attend:
    """Scaled dot-product attention on slices of one row."""

    def __init__(
        self, query: Tensor, key: Tensor, value: Tensor, scaling: float | None, dropout: float, window: int | None
    ) -> None:
        self.q, self.k, self.v = query, key, value
        self.window = window
        self.options = {"scale": scaling, "dropout_p": dropout, "enable_gqa": query.shape[1] != key.shape[1]}

    def span(self, span: Span) -> Iterator[Tensor]:
        first = span.ends[0]
        rows = slice(span.start, first)
        yield self._sdpa(self.q[:, :, rows], self.k[:, :, rows], self.v[:, :, rows])
        for start, end in zip(span.ends, span.ends[1:], strict=False):
            if end > start:
                keys, values = (self._prompt_and(x, span, start, end) for x in (self.k, self.v))
                yield self._sdpa(self.q[:, :, start:end], keys, values)

    @staticmethod
    def _prompt_and(x: Tensor, span: Span, start: int, end: int) -> Tensor:
        return torch.cat((x[:, :, span.start : span.fork], x[:, :, start:end]), 2)

    def _sdpa(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        queries, keys = q.shape[2], k.shape[2]
        windowed = self.window is not None and keys > self.window
        if queries == keys and not windowed:
            return F.scaled_dot_product_attention(q, k, v, is_causal=True, **self.options)  # type: ignore[arg-type]
        mask = _lower_right(queries, keys, self.window, q)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, **self.options)  # type: ignore[arg-type]


def _lower_right(queries: int, keys: int, window: int | None, like: Tensor) -> Tensor:
    """Additive mask: the last query sees the last key, each earlier one a key less, at most ``window`` back."""
    rows = torch.arange(keys - queries, keys, device=like.device)[:, None]
    columns = torch.arange(keys, device=like.device)[None]
    allowed = columns <= rows
    if window is not None:
        allowed &= columns > rows - window
    return torch.zeros(queries, keys, dtype=like.dtype, device=like.device).masked_fill_(~allowed, float("-inf"))


AttentionInterface.register(NAME, segment_attention)


@contextmanager
def attention(model: PreTrainedModel, name: str) -> Iterator[None]:
    """Switch a model's attention for a while."""
    before = model.config._attn_implementation
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
