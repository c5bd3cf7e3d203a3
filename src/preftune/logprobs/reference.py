"""The reference: a specification resolved before the optimiser exists, which nothing in training can move."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..tokens.batch import TokenBatch
from ..tokens.encode import EncodedGroup
from ..tokens.layouts import Layout
from ..tokens.sampler import passes
from .cache import LogprobTable
from .scorer import CompletionScorer
from .shards import ID_BYTES
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


@runtime_checkable
class Team(Protocol):
    """The processes that fill a table together: ``train.parallel.World``."""

    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...
    def gather_tensor(self, tensor: Tensor) -> list[Tensor]:
        """A tensor of every process, in their order."""

    def agreed(self) -> AbstractContextManager[None]:
        """A part that fails on all processes when it fails on one."""


@dataclass(frozen=True, slots=True)
class _Alone:
    rank: int = 0
    size: int = 1

    def gather_tensor(self, tensor: Tensor) -> list[Tensor]:
        return [tensor]

    def agreed(self) -> AbstractContextManager[None]:
        return nullcontext()


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
    team: Team | None = None,
) -> Cached:
    """Fill the table with what it lacks, shard by shard, so that an interrupted pass goes on where it was.

    Several processes compute a share each and exchange the values, so that every one holds the whole table; no disk
    needs to be shared. ``advance`` is told the number of groups done. Returns the reference that reads the table.
    """
    team = team or _Alone()
    wanted = lacking(groups, table, team)
    size = shard_groups * team.size
    for start in range(0, len(wanted), size):
        part = wanted[start : start + size]
        own, rows, values = 0, dict[bytes, Tensor](), dict[bytes, Tensor]()
        for one in passes(part, layout_name, token_budget, team.rank, team.size):
            values = _values(source, layout(one.groups))
            if not one.idle:  # an idle pass repeats pairs of another process; the table takes one value everywhere
                rows |= values
                own += len(one.groups)
                advance(len(one.groups))
        if team.size > 1:
            rows = _exchanged(rows, next(iter(values.values()))[:0], team)
            advance(len(part) - own)
        with team.agreed():  # a disk may be full
            table.add(list(rows), list(rows.values()))
    return Cached(table)


def lacking(groups: Iterable[EncodedGroup], table: LogprobTable, team: Team) -> list[EncodedGroup]:
    """The groups that the table of some process lacks."""
    every = list(groups)
    here = torch.tensor([bool(table.missing(g.sequence_ids)) for g in every], dtype=torch.bool)
    anywhere = torch.stack(team.gather_tensor(here)).any(0).tolist()
    return [group for group, missing in zip(every, anywhere, strict=True) if missing]


def _values(source: Reference, batch: TokenBatch) -> dict[bytes, Tensor]:
    """Per-token log-probs of every completion, by its id."""
    result = source.logprobs(batch)
    ids = [i for group in batch.groups for i in group.sequence_ids]
    return dict(zip(ids, result.tokens.split(result.counts.tolist()), strict=True))


def _exchanged(rows: dict[bytes, Tensor], nothing: Tensor, team: Team) -> dict[bytes, Tensor]:
    """The rows of all processes. ``nothing``: no values, but of their dtype, for a process without rows."""
    ids = torch.frombuffer(bytearray(b"".join(rows)), dtype=torch.uint8) if rows else torch.empty(0, dtype=torch.uint8)
    lengths = torch.tensor([len(v) for v in rows.values()], dtype=torch.int64)
    columns = (ids, lengths, torch.cat([nothing, *rows.values()]))
    everywhere: dict[bytes, Tensor] = {}
    for raw, counts, values in zip(*(team.gather_tensor(c) for c in columns), strict=True):
        blob = raw.numpy().tobytes()
        keys = [blob[i : i + ID_BYTES] for i in range(0, len(blob), ID_BYTES)]
        everywhere |= dict(zip(keys, values.split(counts.tolist()), strict=True))
    return everywhere


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
