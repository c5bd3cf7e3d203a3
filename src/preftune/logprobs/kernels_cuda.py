"""Attention over the spans of a packed row in one kernel call per layer, for CUDA.

``VarlenKernel`` gives flash-attention's variable-length kernel one sequence per answer; ``FlexKernel`` gives
FlexAttention a block mask. Both are plain index arithmetic around the one call, and that arithmetic runs anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from ..tokens.batch import Segments, Span
from .kernels import Asked, SegmentKernel, UnsupportedAttention

BLOCK = 128
"""Side of the tiles in which FlexAttention skips what nobody sees (its own default)."""


VarlenAttend = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Asked], Tensor]
"""Causal attention of sequences laid end to end, the last query of each aligned with its last key.

Query [queries, heads, dim]; key and value [keys, kv_heads, dim]; where the sequences end in queries and in keys
[sequences + 1], from 0, int32; what the layer asks for; returns [queries, heads, dim].
"""


class VarlenKernel(SegmentKernel):
    """One sequence per answer: the queries as they lie in the row, the keys with the prompt before each answer."""

    def __init__(self, segments: Segments, attend: VarlenAttend) -> None:
        super().__init__(segments)
        self._attend = attend
        pieces = [piece for span in segments.spans for piece in _pieces(span)]
        keys = [np.concatenate([np.arange(a, b) for a, b in seen]) for _, seen in pieces]
        self._sees = torch.from_numpy(np.concatenate(keys))
        self._query_ends = _ends([queries for queries, _ in pieces])
        self._key_ends = _ends([len(k) for k in keys])

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, asked: Asked) -> Tensor:
        if self._sees.device != query.device:
            names = ("_sees", "_query_ends", "_key_ends")
            self._sees, self._query_ends, self._key_ends = (getattr(self, n).to(query.device) for n in names)
        q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
        if len(self._sees) != len(k):  # some prompt has several answers
            k, v = k.index_select(0, self._sees), v.index_select(0, self._sees)
        out = self._attend(q, k, v, self._query_ends, self._key_ends, asked)
        return out.transpose(0, 1)[None]


def _pieces(span: Span) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """For each answer of a span the number of its queries, and the ranges of keys that they see."""
    first, *others = span.pieces
    yield first, [(span.start, span.start + first)]
    at = span.start + first
    for size in others:
        yield size, [(span.start, span.fork), (at, at + size)]
        at += size


def _ends(sizes: list[int]) -> Tensor:
    return torch.tensor([0, *np.cumsum(sizes)], dtype=torch.int32)


def _longest(ends: Tensor) -> int:
    return int(ends.diff().max())


def torch_varlen(
    query: Tensor, key: Tensor, value: Tensor, query_ends: Tensor, key_ends: Tensor, asked: Asked
) -> Tensor:
    """``torch.nn.attention.varlen`` (flash-attention inside PyTorch)."""
    from torch.nn.attention.varlen import varlen_attn

    if asked.softcap is not None:
        raise UnsupportedAttention("varlen_attn has no soft-capping")
    return varlen_attn(  # type: ignore[return-value]
        query.contiguous(),
        key.contiguous(),
        value.contiguous(),
        query_ends,
        key_ends,
        _longest(query_ends),
        _longest(key_ends),
        scale=asked.scale,
        window_size=(-1 if asked.window is None else asked.window - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )


def flash_attn(query: Tensor, key: Tensor, value: Tensor, query_ends: Tensor, key_ends: Tensor, asked: Asked) -> Tensor:
    """The flash-attn package, where it is installed."""
    from flash_attn import flash_attn_varlen_func

    return flash_attn_varlen_func(  # type: ignore[no-any-return]
        query,
        key,
        value,
        query_ends,
        key_ends,
        _longest(query_ends),
        _longest(key_ends),
        softmax_scale=asked.scale,
        causal=True,
        window_size=(-1, -1) if asked.window is None else (asked.window - 1, 0),
        softcap=asked.softcap or 0.0,
    )


@cache
def _compiled() -> Callable[..., Any]:
    """FlexAttention for any length: without ``dynamic`` every new row length would compile again."""
    return torch.compile(flex_attention, dynamic=True)


class FlexKernel(SegmentKernel):
    """FlexAttention with a block mask; ``attend`` is the compiled kernel unless a test gives the plain one."""

    def __init__(self, segments: Segments, attend: Callable[..., Any] | None = None) -> None:
        super().__init__(segments)
        self._attend = attend or _compiled()
        self._masks: dict[tuple[int | None, torch.device], BlockMask] = {}

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, asked: Asked) -> Tensor:
        wanted = (asked.window, query.device)
        if wanted not in self._masks:
            self._masks[wanted] = block_mask(self.segments, query.shape[2], asked.window, query.device)
        return self._attend(  # type: ignore[no-any-return]
            query,
            key,
            value,
            score_mod=None if asked.softcap is None else _capped(asked.softcap),
            block_mask=self._masks[wanted],
            scale=asked.scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )


def _capped(cap: float) -> Callable[..., Tensor]:
    def score_mod(score: Tensor, _b: Tensor, _h: Tensor, _q: Tensor, _k: Tensor) -> Tensor:
        return cap * torch.tanh(score / cap)

    return score_mod


def block_mask(segments: Segments, time: int, window: int | None, device: torch.device) -> BlockMask:
    """Which tiles of a row of ``time`` tokens hold something that is seen, and the rule within a tile.

    Made from the spans directly: asking the rule for every pair of positions would take time x time memory.
    """
    tiles = -(-time // BLOCK)
    touched = np.zeros((tiles, tiles), bool)
    for queries, keys in _rectangles(segments):
        touched[queries[0] // BLOCK : -(-queries[1] // BLOCK), keys[0] // BLOCK : -(-keys[1] // BLOCK)] = True
    touched &= np.tri(tiles, dtype=bool)
    order = np.argsort(~touched, axis=1, kind="stable").astype(np.int32)
    return BlockMask.from_kv_blocks(
        torch.from_numpy(touched.sum(1, dtype=np.int32))[None, None].to(device),
        torch.from_numpy(order)[None, None].to(device),
        BLOCK_SIZE=BLOCK,
        mask_mod=_rule(segments, time, window, device),
        seq_lengths=(time, time),
    )


def _rectangles(segments: Segments) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Ranges of queries with a range of keys of which they see some."""
    for span in segments.spans:
        at = span.start
        for size, seen in _pieces(span):
            yield from (((at, at + size), keys) for keys in seen if keys[1] > keys[0])
            at += size


def _rule(segments: Segments, time: int, window: int | None, device: torch.device) -> Callable[..., Tensor]:
    """Whether a query position sees a key position: the prompt of its span and its own branch, up to itself."""
    start, fork, own, position = (torch.zeros(time, dtype=torch.int32) for _ in range(4))
    for span in segments.spans:
        at = span.start
        for number, size in enumerate(span.pieces):
            rows = slice(at, at + size)
            start[rows], fork[rows] = span.start, span.fork
            own[rows] = span.start if number == 0 else at
            first = 0 if number == 0 else span.fork - span.start
            position[rows] = torch.arange(first, first + size, dtype=torch.int32)
            at += size
    start, fork, own, position = (x.to(device) for x in (start, fork, own, position))

    def sees(_b: Tensor, _h: Tensor, q: Tensor, k: Tensor) -> Tensor:
        seen = (k <= q) & (k >= start[q]) & ((k < fork[q]) | (k >= own[q]))
        return seen if window is None else seen & (position[q] - position[k] < window)

    return sees
