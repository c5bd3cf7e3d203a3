"""What the model says about completions: per-token log-probs, and the sums that objectives compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
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

    @property
    def values(self) -> tuple[Tensor, ...]:
        """What losses differentiate: the two sums."""
        return self.chosen, self.rejected

    def with_values(self, values: Sequence[Tensor]) -> PairLogprobs:
        """Other values for the same pairs."""
        return self.derived(*values)

    @classmethod
    def joined(cls, parts: Sequence[PairLogprobs]) -> PairLogprobs:
        """All pairs of the parts, without their tokens."""
        return cls(
            chosen=torch.cat([p.chosen for p in parts]),
            rejected=torch.cat([p.rejected for p in parts]),
            chosen_tokens=torch.cat([p.chosen_tokens for p in parts]),
            rejected_tokens=torch.cat([p.rejected_tokens for p in parts]),
        )

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


@dataclass(frozen=True, slots=True)
class FeedbackLogprobs:
    """Log-probability of liked and disliked answers (nats, summed over their tokens).

    ``mismatched`` is that of another prompt's answer after the same prompt, for estimates of the KL divergence;
    None where the objective does not ask for it.
    """

    answer: Float[Tensor, " records"]
    answer_tokens: Int[Tensor, " records"]
    desirable: Bool[Tensor, " records"]
    mismatched: Float[Tensor, " records"] | None = None

    @classmethod
    def from_sequences(cls, sequences: SequenceLogprobs, desirable: Bool[Tensor, " records"]) -> FeedbackLogprobs:
        """One completion per record, or the answer and a mismatched one in turn."""
        each = sequences.num_sequences // len(desirable)
        sums, counts = sequences.sums, sequences.counts
        return cls(sums[0::each], counts[0::each], desirable, sums[1::each] if each == 2 else None)

    def __sub__(self, reference: FeedbackLogprobs) -> FeedbackLogprobs:
        """Log-ratios to the reference (nats)."""
        mine, theirs = self.mismatched, reference.mismatched
        mismatched = None if mine is None or theirs is None else mine - theirs
        return replace(self, answer=self.answer - reference.answer, mismatched=mismatched)

    @property
    def values(self) -> tuple[Tensor, ...]:
        """What losses differentiate: the answers (mismatched ones only enter estimates without gradient)."""
        return (self.answer,)

    def with_values(self, values: Sequence[Tensor]) -> FeedbackLogprobs:
        """Other values for the same records."""
        return replace(self, answer=values[0])

    @classmethod
    def joined(cls, parts: Sequence[FeedbackLogprobs]) -> FeedbackLogprobs:
        """All records of the parts."""
        mismatched = [p.mismatched for p in parts if p.mismatched is not None]
        return cls(
            answer=torch.cat([p.answer for p in parts]),
            answer_tokens=torch.cat([p.answer_tokens for p in parts]),
            desirable=torch.cat([p.desirable for p in parts]),
            mismatched=torch.cat(mismatched) if mismatched else None,
        )


@dataclass(frozen=True, slots=True)
class RankingLogprobs:
    """Log-probability of ranked answers (nats, summed over their tokens), best first within each ranking.

    ``answers`` has one row per ranking, padded on the right; ``present`` is True where there is an answer.
    """

    answers: Float[Tensor, "rankings most"]
    answer_tokens: Int[Tensor, "rankings most"]
    present: Bool[Tensor, "rankings most"]

    @classmethod
    def from_sequences(cls, sequences: SequenceLogprobs, sizes: Sequence[int]) -> RankingLogprobs:
        """``sizes``: number of completions of each ranking, in order."""
        sums, counts = sequences.sums.split(list(sizes)), sequences.counts.split(list(sizes))
        pad = torch.nn.utils.rnn.pad_sequence
        ones = [torch.ones_like(c, dtype=torch.bool) for c in counts]
        return cls(pad(sums, True), pad(counts, True), pad(ones, True))

    def __sub__(self, reference: RankingLogprobs) -> RankingLogprobs:
        """Log-ratios to the reference (nats)."""
        return replace(self, answers=self.answers - reference.answers)

    @property
    def values(self) -> tuple[Tensor, ...]:
        """What losses differentiate: the answers."""
        return (self.answers,)

    def with_values(self, values: Sequence[Tensor]) -> RankingLogprobs:
        """Other values for the same rankings."""
        return replace(self, answers=values[0])

    @classmethod
    def joined(cls, parts: Sequence[RankingLogprobs]) -> RankingLogprobs:
        """All rankings of the parts, padded to the longest."""
        pad = torch.nn.utils.rnn.pad_sequence
        columns = ([row for p in parts for row in getattr(p, n)] for n in ("answers", "answer_tokens", "present"))
        return cls(*(pad(rows, True) for rows in columns))

    @property
    def best(self) -> Float[Tensor, " rankings"]:
        """Values of the best answers."""
        return self.answers[:, 0]

    @property
    def worst(self) -> Float[Tensor, " rankings"]:
        """Values of the worst answers."""
        last = self.present.sum(1, keepdim=True) - 1
        return self.answers.gather(1, last)[:, 0]


Logprobs = PairLogprobs | FeedbackLogprobs | RankingLogprobs
