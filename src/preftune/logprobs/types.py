"""What the model says about completions: per-token log-probs, and the sums that objectives compare."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class SequenceLogprobs:
    """Log-probability (nats) of every scored token, ragged: ``sequence[t]`` is the completion of token t."""

    tokens: Float[Tensor, " targets"]
    sequence: Int[Tensor, " targets"]
    num_sequences: int

    @property
    def sums(self) -> Float[Tensor, " sequences"]:
        """Log-probability of each completion: the sum over its tokens."""
        zeros = self.tokens.new_zeros(self.num_sequences)
        return zeros.index_add(0, self.sequence, self.tokens)

    @property
    def counts(self) -> Int[Tensor, " sequences"]:
        """Scored tokens of each completion."""
        return torch.bincount(self.sequence, minlength=self.num_sequences)


@dataclass(frozen=True, slots=True)
class PairLogprobs:
    """Log-probability of both completions of each pair, summed over their tokens (nats), and their lengths."""

    chosen: Float[Tensor, " pairs"]
    rejected: Float[Tensor, " pairs"]
    chosen_tokens: Int[Tensor, " pairs"]
    rejected_tokens: Int[Tensor, " pairs"]

    @classmethod
    def from_sequences(cls, sequences: SequenceLogprobs) -> PairLogprobs:
        """Completions 2i and 2i + 1 are the chosen and the rejected one of pair i."""
        sums, counts = sequences.sums, sequences.counts
        return cls(sums[0::2], sums[1::2], counts[0::2], counts[1::2])

    @property
    def margin(self) -> Float[Tensor, " pairs"]:
        """``chosen - rejected`` (nats)."""
        return self.chosen - self.rejected

    def __sub__(self, reference: PairLogprobs) -> PairLogprobs:
        """Log-ratios to the reference, side by side (nats); lengths are unchanged."""
        return replace(self, chosen=self.chosen - reference.chosen, rejected=self.rejected - reference.rejected)

    def per_token(self) -> PairLogprobs:
        """Each side divided by its own number of tokens (nats per token)."""
        return replace(self, chosen=self.chosen / self.chosen_tokens, rejected=self.rejected / self.rejected_tokens)

    def swapped(self) -> PairLogprobs:
        """Chosen and rejected exchanged."""
        return PairLogprobs(self.rejected, self.chosen, self.rejected_tokens, self.chosen_tokens)

    def detach(self) -> PairLogprobs:
        """Without gradient."""
        return replace(self, chosen=self.chosen.detach(), rejected=self.rejected.detach())
