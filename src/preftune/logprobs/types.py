"""What the model says about completions: per-token log-probs, and the sums that objectives compare."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, slots=True)
class SequenceLogprobs:
    """Log-probability (nats) of every scored token, ragged: ``sequence[t]`` is the completion of token t.

    Tokens of one completion lie together, in their order. ``log_sum_sq`` is ``log sum_v p(v)^2`` at each token's
    position, without gradient; it is computed only for objectives that declare it.
    """

    tokens: Float[Tensor, " targets"]
    sequence: Int[Tensor, " targets"]
    num_sequences: int
    log_sum_sq: Float[Tensor, " targets"] | None = None

    @property
    def sums(self) -> Float[Tensor, " sequences"]:
        """Log-probability of each completion: the sum over its tokens."""
        return self.total(self.tokens)

    @property
    def counts(self) -> Int[Tensor, " sequences"]:
        """Scored tokens of each completion."""
        return torch.bincount(self.sequence, minlength=self.num_sequences)

    @property
    def position(self) -> Int[Tensor, " targets"]:
        """Number of each token within its completion, from 0."""
        starts = self.counts.cumsum(0) - self.counts
        return torch.arange(len(self.sequence), device=self.sequence.device) - starts[self.sequence]

    def total(self, values: Float[Tensor, " targets"]) -> Float[Tensor, " sequences"]:
        """Sum of per-token values over each completion."""
        return values.new_zeros(self.num_sequences).index_add(0, self.sequence, values)


@dataclass(frozen=True, slots=True)
class PairLogprobs:
    """Log-probability of both completions of each pair, summed over their tokens (nats), and their lengths.

    ``sequences`` holds the tokens behind the sums (completions 2i and 2i + 1 belong to pair i), for losses that
    look at tokens; log-ratios and other derived values have none.
    """

    chosen: Float[Tensor, " pairs"]
    rejected: Float[Tensor, " pairs"]
    chosen_tokens: Int[Tensor, " pairs"]
    rejected_tokens: Int[Tensor, " pairs"]
    sequences: SequenceLogprobs | None = None

    @classmethod
    def from_sequences(cls, sequences: SequenceLogprobs) -> PairLogprobs:
        """Completions 2i and 2i + 1 are the chosen and the rejected one of pair i."""
        sums, counts = sequences.sums, sequences.counts
        return cls(sums[0::2], sums[1::2], counts[0::2], counts[1::2], sequences)

    @property
    def margin(self) -> Float[Tensor, " pairs"]:
        """``chosen - rejected`` (nats)."""
        return self.chosen - self.rejected

    def __sub__(self, reference: PairLogprobs) -> PairLogprobs:
        """Log-ratios to the reference, side by side (nats); lengths are unchanged."""
        return self.derived(self.chosen - reference.chosen, self.rejected - reference.rejected)

    def per_token(self) -> PairLogprobs:
        """Each side divided by its own number of tokens (nats per token)."""
        return self.derived(self.chosen / self.chosen_tokens, self.rejected / self.rejected_tokens)

    def swapped(self) -> PairLogprobs:
        """Chosen and rejected exchanged."""
        return PairLogprobs(self.rejected, self.chosen, self.rejected_tokens, self.chosen_tokens)

    def detach(self) -> PairLogprobs:
        """Without gradient."""
        return self.derived(self.chosen.detach(), self.rejected.detach())

    def derived(self, chosen: Float[Tensor, " pairs"], rejected: Float[Tensor, " pairs"]) -> PairLogprobs:
        """Other values for the same pairs."""
        return replace(self, chosen=chosen, rejected=rejected, sequences=None)
