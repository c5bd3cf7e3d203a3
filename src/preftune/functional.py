"""The pieces for people who write their own loop: a data set, a collate function, log-probs, and the DPO loss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from .data import load_pairs
from .errors import DataError
from .logprobs.scorer import CompletionScorer
from .logprobs.types import PairLogprobs
from .metrics.pairs import accuracy
from .objectives import bind
from .tokens.batch import TokenBatch
from .tokens.chat import build_template
from .tokens.encode import EncodedGroup, encode_pairs
from .tokens.layouts import padded


class PreferenceDataset(torch.utils.data.Dataset[EncodedGroup]):
    """Encoded preference pairs of a file, folder or ``dataset_info.json`` entry, for a ``DataLoader``.

    Pairs longer than ``max_length`` tokens lose the start of their prompt; ``report`` counts what was cut.

    Raises:
        DataError: a file cannot be read, or a row of it cannot be used.
    """

    def __init__(
        self, source: str | Path, tokenizer: PreTrainedTokenizerBase, *, max_length: int = 2048, template: str = "auto"
    ) -> None:
        pairs = load_pairs(source).pairs
        self.groups, self.report = encode_pairs(pairs, build_template(tokenizer, template), max_length=max_length)
        if self.report.bad:
            raise DataError("; ".join(map(str, self.report.bad[:5])))

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, index: int) -> EncodedGroup:
        return self.groups[index]


def collate(groups: Sequence[EncodedGroup]) -> TokenBatch:
    """A padded batch: one row per answer, chosen and rejected in turn. Works with every model."""
    return padded(groups)


def completion_logprobs(model: PreTrainedModel, batch: TokenBatch) -> PairLogprobs:
    """Log-probability (nats) of both answers of each pair, with gradient where the model has one.

    Logits exist only for answer tokens, a chunk at a time; sums are fp32 or wider.
    """
    return PairLogprobs.from_sequences(CompletionScorer(model)(batch))


def dpo_loss(
    policy: PairLogprobs, reference: PairLogprobs, beta: float = 0.1, label_smoothing: float = 0.0
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Mean DPO loss and accuracy of a batch (Rafailov et al. 2023, Eq. 7); a tie counts one half.

    ``-log sigmoid(beta * ((logp_c - ref_c) - (logp_r - ref_r)))``, with label smoothing the cDPO loss.
    """
    losses = bind("sigmoid", beta=beta, label_smoothing=label_smoothing)(policy, reference)
    return losses.mean(), accuracy((policy - reference).margin.detach()).mean()
