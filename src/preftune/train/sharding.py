"""How processes share a model: a replica in each (DDP), or its parameters divided among them (FSDP2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from ..logprobs.scorer import CompletionScorer, causal_lm
from ..logprobs.types import SequenceLogprobs

# FSDP finds the tensors of a forward pass's result through the pytree registry.
torch.export.register_dataclass(SequenceLogprobs)


def replicate(scorer: CompletionScorer) -> DistributedDataParallel:
    """A wrapper whose backward averages gradients over processes. The scorer itself stays as it is."""
    return DistributedDataParallel(scorer, gradient_as_bucket_view=True)


@contextmanager
def averaging(replicas: DistributedDataParallel | None, last: bool) -> Iterator[None]:
    """A forward and backward pass: replicas average their gradients in the last one of a step only.

    Sharded models average in every pass: to wait for the last would need a whole gradient in memory.
    """
    if replicas is None or last:
        yield
        return
    with replicas.no_sync():
        yield


def shard(scorer: CompletionScorer, device: torch.device) -> None:
    """Divide every parameter over all processes, in place; a block is whole only while it computes.

    The model may lie on the CPU: only its shards go to ``device``. The scorer is the root, so embedding and head are
    whole from the start of its forward pass to the end of the backward pass, and log-probs are formed inside.
    """
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    model = causal_lm(scorer.model)
    names = set(model._no_split_modules or ())
    blocks = [module for module in model.modules() if type(module).__name__ in names]
    for block in reversed(blocks):  # inner ones first
        fully_shard(block, mesh=mesh)
    fully_shard(scorer, mesh=mesh)
    register_fsdp_forward_method(scorer, "logits")
    scorer.register_forward_hook(_divide_again)


def _divide_again(scorer: nn.Module, _inputs: Any, _output: Any) -> None:
    """Without a backward pass the root would stay whole, and its named parameters would not be the trained ones."""
    if not torch.is_grad_enabled() and isinstance(scorer, FSDPModule):
        scorer.reshard()


def is_sharded(scorer: CompletionScorer) -> bool:
    """Whether the parameters are divided among processes."""
    return isinstance(scorer, FSDPModule)


def whole(tensor: Tensor) -> Tensor:
    """A divided tensor, whole; all processes ask together. Others are returned as they are."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def own_part(tensor: Tensor) -> Tensor:
    """What this process holds of a divided tensor. Others are returned as they are."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def divided_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """A whole tensor, which every process holds, divided as the parameter is."""
    if not isinstance(parameter, DTensor):
        return tensor
    place = tensor.to(parameter.device)
    return distribute_tensor(place, parameter.device_mesh, parameter.placements, src_data_rank=None)
