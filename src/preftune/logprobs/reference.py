"""The reference: a specification resolved before the optimiser exists, which nothing in training can move."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager
from hashlib import blake2b
from typing import Any

import torch
from torch import nn

from ..errors import ModelError
from ..tokens.batch import TokenBatch
from ..tokens.encode import EncodedGroup
from ..tokens.layouts import Layout
from ..tokens.sampler import micro_batches
from .cache import LogprobTable
from .scorer import CompletionScorer
from .types import SequenceLogprobs


class Reference(ABC):
    """Log-probs of a batch's completions under the model that training must stay near."""

    kind: str

    @abstractmethod
    def logprobs(self, batch: TokenBatch) -> SequenceLogprobs:
        """Per-token log-probs (nats), without gradient, in the batch's order of targets."""


class Frozen(Reference):
    """Another model, in eval mode, its parameters without gradient."""

    kind = "frozen"

    def __init__(self, scorer: CompletionScorer) -> None:
        self._scorer = scorer.eval()
        for parameter in scorer.parameters():
            parameter.requires_grad_(False)

    @torch.no_grad()
    def logprobs(self, batch: TokenBatch) -> SequenceLogprobs:
        return self._scorer(batch)  # type: ignore[no-any-return]


class Current(Reference):
    """The policy as it stands, in eval mode: fills a table before training starts, and is then let go."""

    kind = "current"

    def __init__(self, scorer: CompletionScorer) -> None:
        self._scorer = scorer

    @torch.no_grad()
    def logprobs(self, batch: TokenBatch) -> SequenceLogprobs:
        with evaluating(self._scorer):
            return self._scorer(batch)  # type: ignore[no-any-return]


class AdapterOff(Reference):
    """The policy's own base model with the adapter switched off, in eval mode."""

    kind = "adapter_off"

    def __init__(self, scorer: CompletionScorer) -> None:
        if not hasattr(scorer.model, "disable_adapter"):
            raise ModelError("reference.kind: adapter_off needs model.lora; use cached or frozen for full training")
        self._scorer = scorer

    @torch.no_grad()
    def logprobs(self, batch: TokenBatch) -> SequenceLogprobs:
        with evaluating(self._scorer), self._scorer.model.disable_adapter():  # type: ignore[operator]
            return self._scorer(batch)  # type: ignore[no-any-return]


class Cached(Reference):
    """Values computed once; they cannot drift because no model is asked again."""

    kind = "cached"

    def __init__(self, table: LogprobTable) -> None:
        self._table = table

    def logprobs(self, batch: TokenBatch) -> SequenceLogprobs:
        ids = [i for group in batch.groups for i in group.sequence_ids]
        tokens = torch.cat(self._table.lookup(ids)).to(batch.target_ids.device)
        return SequenceLogprobs(tokens, batch.target_sequence, batch.num_sequences)


def compute_table(
    source: Reference,
    groups: Iterable[EncodedGroup],
    table: LogprobTable,
    *,
    layout: Layout,
    layout_name: str,
    token_budget: int,
    advance: Callable[[int], None] = lambda _: None,
    shard_groups: int = 512,
) -> Cached:
    """Fill the table with what it lacks, shard by shard, so that an interrupted pass goes on where it was.

    ``advance`` is told the number of groups done. Returns the reference that reads the complete table.
    """
    wanted = [g for g in groups if table.missing(g.sequence_ids)]
    for start in range(0, len(wanted), shard_groups):
        _fill(source, wanted[start : start + shard_groups], table, layout, layout_name, token_budget, advance)
    return Cached(table)


def _fill(
    source: Reference,
    groups: Sequence[EncodedGroup],
    table: LogprobTable,
    layout: Layout,
    layout_name: str,
    token_budget: int,
    advance: Callable[[int], None],
) -> None:
    rows: dict[bytes, torch.Tensor] = {}
    for micro in micro_batches(groups, layout_name, token_budget):
        result = source.logprobs(layout(micro))
        ids = [i for group in micro for i in group.sequence_ids]
        rows |= dict(zip(ids, result.tokens.split(result.counts.tolist()), strict=True))
        advance(len(micro))
    table.add(list(rows), list(rows.values()))


@contextmanager
def evaluating(module: nn.Module) -> Any:
    """Eval mode for a while; every submodule gets its own mode back."""
    modes = {m: m.training for m in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for submodule, training in modes.items():
            submodule.training = training


def weights_hash(model: nn.Module) -> str:
    """Hash over names, dtypes, shapes and bytes of the parameters and persistent buffers (about 1 s per GB)."""
    digest = blake2b(digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        flat = tensor.detach().cpu().contiguous().view(-1)
        digest.update(flat.view(torch.uint8).numpy() if flat.numel() else b"")
    return digest.hexdigest()


ContextManager = AbstractContextManager
