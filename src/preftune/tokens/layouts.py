"""Lay groups out as a batch: padded rows, packed sequences, or packed groups that share their prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .batch import PaddingMask, Segments, Span, TokenBatch
from .encode import Completion, EncodedGroup, IntArray

Layout = Callable[[Sequence[EncodedGroup]], TokenBatch]


@dataclass
class _Targets:
    """Collects, completion by completion, where each scored token is predicted."""

    index: list[IntArray] = field(default_factory=list)
    ids: list[IntArray] = field(default_factory=list)
    sequence: list[IntArray] = field(default_factory=list)

    def add(self, completion: Completion, prompt_last: int | None, start: int) -> None:
        """``start``: flat position of the completion's first token; ``prompt_last``: of the last prompt token.

        A first token without a prompt before it has no predictor and is not scored.
        """
        first = np.array([-1 if prompt_last is None else prompt_last], np.int64)
        predictors = np.concatenate([first, start + np.arange(len(completion.ids) - 1)])
        keep = completion.scored & (predictors >= 0)
        self.index.append(predictors[keep])
        self.ids.append(completion.ids[keep])
        self.sequence.append(np.full(int(keep.sum()), len(self.sequence), np.int64))

    def tensors(self) -> dict[str, Tensor]:
        """The three target fields of a TokenBatch."""
        return {
            "predict_index": _long(self.index),
            "target_ids": _long(self.ids),
            "target_sequence": _long(self.sequence),
        }


def _long(parts: Sequence[IntArray]) -> Tensor:
    return torch.from_numpy(np.concatenate([np.asarray(p, np.int64) for p in parts]))


def _forward_ids(completion: Completion) -> IntArray:
    """The last token of an answer predicts nothing, so it never enters the model."""
    return completion.ids[:-1]


def padded(groups: Sequence[EncodedGroup]) -> TokenBatch:
    """One row per completion, padded on the right to the longest."""
    rows = [np.concatenate([g.prompt, _forward_ids(c)]) for g in groups for c in g.completions]
    width = max(1, *(len(r) for r in rows))
    ids, mask, targets = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width), bool), _Targets()
    row = 0
    for group in groups:
        length = len(group.prompt)
        for completion in group.completions:
            ids[row, : len(rows[row])], mask[row, : len(rows[row])] = rows[row], True
            origin = row * width
            targets.add(completion, origin + length - 1 if length else None, origin + length)
            row += 1
    positions = np.broadcast_to(np.arange(width), ids.shape).copy()
    return TokenBatch(
        input_ids=torch.from_numpy(ids),
        position_ids=torch.from_numpy(positions),
        attention=PaddingMask(torch.from_numpy(mask)),
        groups=tuple(groups),
        **targets.tensors(),
    )


def packed(groups: Sequence[EncodedGroup]) -> TokenBatch:
    """One row holding every prompt + completion after the other; nothing is padded."""
    builder = _Row()
    for group in groups:
        for completion in group.completions:
            builder.add_tree(group.prompt, (completion,))
    return builder.batch(groups)


def prefix_shared(groups: Sequence[EncodedGroup]) -> TokenBatch:
    """One row of groups ``[prompt, completion 1, ..., completion k]``: the prompt is computed once for all k."""
    builder = _Row()
    for group in groups:
        if len(group.prompt):
            builder.add_tree(group.prompt, group.completions)
        else:  # nothing to share: each completion is a tree of its own
            for completion in group.completions:
                builder.add_tree(group.prompt, (completion,))
    return builder.batch(groups)


class _Row:
    """A packed row under construction."""

    def __init__(self) -> None:
        self._ids: list[IntArray] = []
        self._positions: list[IntArray] = []
        self._spans: list[Span] = []
        self._targets = _Targets()
        self._length = 0

    def add_tree(self, prompt: IntArray, completions: Sequence[Completion]) -> None:
        """Append a prompt and its branches; branch positions continue from the prompt's end."""
        start = self._length
        self._extend(prompt, 0)
        fork, ends = self._length, []
        for completion in completions:
            self._targets.add(completion, fork - 1 if len(prompt) else None, self._length)
            self._extend(_forward_ids(completion), len(prompt))
            ends.append(self._length)
        if self._length > start:
            self._spans.append(Span(start, fork, tuple(ends)))

    def _extend(self, ids: IntArray, first_position: int) -> None:
        self._ids.append(ids)
        self._positions.append(first_position + np.arange(len(ids), dtype=np.int32))
        self._length += len(ids)

    def batch(self, groups: Sequence[EncodedGroup]) -> TokenBatch:
        """The finished row as a batch of one row."""
        return TokenBatch(
            input_ids=_long(self._ids)[None],
            position_ids=_long(self._positions)[None],
            attention=Segments(tuple(self._spans)),
            groups=tuple(groups),
            **self._targets.tensors(),
        )


LAYOUTS: dict[str, Layout] = {"padded": padded, "packed": packed, "prefix_shared": prefix_shared}
"""Layouts by their config name."""


def layout_cost(name: str, groups: Sequence[EncodedGroup]) -> int:
    """Token positions that the model computes for these groups in a layout."""
    if name == "prefix_shared":
        return sum(len(g.prompt) + sum(len(c.ids) for c in g.completions) for g in groups)
    lengths = [len(g.prompt) + len(c.ids) for g in groups for c in g.completions]
    return max(lengths) * len(lengths) if name == "padded" else sum(lengths)
