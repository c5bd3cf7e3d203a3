"""TokenBatch: the door between tokens and log-probs. Everything after it is blind to the layout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from .encode import EncodedGroup


@dataclass(frozen=True, slots=True)
class PaddingMask:
    """Ordinary causal attention over padded rows; True where a token is real."""

    mask: Bool[Tensor, "rows time"]


@dataclass(frozen=True, slots=True)
class Span:
    """One tree of tokens in a packed row: a prompt ``[start, fork)`` and branches that each follow it.

    ``ends[i]`` closes branch i; the branches lie one after another from ``fork`` on. Every branch sees the
    prompt and itself, never another branch. One branch is plain causal attention over ``[start, ends[0])``.
    """

    start: int
    fork: int
    ends: tuple[int, ...]

    @property
    def pieces(self) -> tuple[int, ...]:
        """Tokens of the prompt with the first branch, then of each further branch that has any."""
        others = (end - start for start, end in pairwise(self.ends))
        return (self.ends[0] - self.start, *(size for size in others if size))


@dataclass(frozen=True, slots=True)
class Segments:
    """Causal attention within spans of one packed row; the spans cover the row without gaps."""

    spans: tuple[Span, ...]


Attention = PaddingMask | Segments


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """The completions of some groups, in any layout.

    ``predict_index`` is the flat position (over rows x time) whose hidden state predicts the target, and
    ``target_sequence`` numbers the completions in the order of ``groups``. Targets of one completion lie together.
    """

    input_ids: Int[Tensor, "rows time"]
    position_ids: Int[Tensor, "rows time"]
    attention: Attention
    predict_index: Int[Tensor, " targets"]
    target_ids: Int[Tensor, " targets"]
    target_sequence: Int[Tensor, " targets"]
    groups: tuple[EncodedGroup, ...]

    @property
    def num_sequences(self) -> int:
        """Completions in the batch."""
        return sum(len(g.completions) for g in self.groups)

    @property
    def num_tokens(self) -> int:
        """Token positions that the model computes, padding included."""
        return self.input_ids.numel()

    def to(self, device: torch.device | str) -> TokenBatch:
        """The same batch with its tensors on another device."""
        attention = self.attention
        if isinstance(attention, PaddingMask):
            attention = PaddingMask(attention.mask.to(device))
        return replace(
            self,
            attention=attention,
            **{n: getattr(self, n).to(device) for n in ("input_ids", "position_ids", *_TARGETS)},
        )


_TARGETS = ("predict_index", "target_ids", "target_sequence")
