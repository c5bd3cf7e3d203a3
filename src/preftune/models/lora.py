"""LoRA adapters: put a fresh one on a model, or go on training one that exists."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict, Unpack

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel

from ..errors import ModelError, did_you_mean

ADAPTER_CONFIG = "adapter_config.json"


def add_lora(
    model: PreTrainedModel,
    *,
    rank: int,
    alpha: int,
    dropout: float,
    target: str | Sequence[str],
    seed: int,
    **more: Unpack[MoreLora],
) -> PeftModel:
    """A fresh adapter, its A drawn from ``seed`` and its B zero: the policy starts exactly at the base model.

    Raises:
        ModelError: a target module that the model does not have.
    """
    config = lora_config(model, rank=rank, alpha=alpha, dropout=dropout, target=target, **more)
    return with_fresh_adapter(model, config, seed=seed)


def with_fresh_adapter(model: PreTrainedModel, config: LoraConfig, *, seed: int) -> PeftModel:
    """The model with the adapter that ``config`` describes, drawn from ``seed``."""
    torch.manual_seed(seed)
    with quiet_peft():
        return get_peft_model(model, config)


class MoreLora(TypedDict, total=False):
    """What a LoRA adapter may have besides its shape; all off by default."""

    rslora: bool
    """Scale by alpha / sqrt(rank), Kalajdzievski 2023, arXiv:2312.03732."""
    dora: bool
    """Also train the length of every weight column, Liu et al. 2024, arXiv:2402.09353."""
    modules_to_save: Sequence[str]
    """Modules that are trained whole and saved with the adapter."""


def lora_config(
    model: PreTrainedModel,
    *,
    rank: int,
    alpha: int,
    dropout: float,
    target: str | Sequence[str],
    **more: Unpack[MoreLora],
) -> LoraConfig:
    """peft's description of an adapter, its module names checked against the model."""
    if not isinstance(target, str):
        _check_targets(model, target)
    whole = list(more.get("modules_to_save", ()))
    known = {part for name, _ in model.named_modules() for part in name.split(".")}
    for name in whole:
        if name not in known:
            raise ModelError(f"model.lora.modules_to_save: no module named '{name}'{did_you_mean(name, known)}")
    return LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=target if isinstance(target, str) else list(target),
        use_rslora=more.get("rslora", False),
        use_dora=more.get("dora", False),
        modules_to_save=whole or None,
        task_type="CAUSAL_LM",
    )


@contextmanager
def quiet_peft() -> Iterator[None]:
    """peft's own notices: GPT-2's transposed layers, which it handles, and a name that transformers renames."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out.*")
        warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*is deprecated")
        yield


def _check_targets(model: nn.Module, target: Sequence[str]) -> None:
    leaves = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    unknown = [t for t in target if t.rpartition(".")[2] not in leaves]
    if unknown:
        raise ModelError(f"model.lora.target: no linear layer named '{unknown[0]}'{did_you_mean(unknown[0], leaves)}")


def load_adapter(model: PreTrainedModel, folder: str | Path, *, keep_training: bool) -> nn.Module:
    """The model with an existing adapter: trainable as it is, or merged into the weights.

    Raises:
        ModelError: the folder holds no adapter, or one of another base model.
    """
    path = Path(folder).expanduser()
    refuse_no_adapter(path)
    try:
        with quiet_peft():
            adapted = PeftModel.from_pretrained(model, str(path), is_trainable=keep_training)
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(f"model.adapter: {folder} does not fit this model: {first}") from None
    # peft froze the base model; merged, it is a whole model again.
    return adapted if keep_training else adapted.merge_and_unload().requires_grad_(True)


def refuse_no_adapter(folder: str | Path) -> None:
    """Raises ModelError where a folder holds no adapter."""
    if not (Path(folder) / ADAPTER_CONFIG).is_file():
        raise ModelError(f"model.adapter: no {ADAPTER_CONFIG} in {folder}")


def base_of_adapter(folder: str | Path) -> tuple[str, str | None]:
    """The base model that an adapter folder names, and its revision."""
    try:
        values = json.loads((Path(folder) / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        base, revision = values["base_model_name_or_path"], values.get("revision")
    except (OSError, ValueError, KeyError, TypeError):
        base, revision = None, None
    if not base:  # peft writes null for a model that had no name
        raise ModelError(f"{folder}/{ADAPTER_CONFIG} does not name its base model (base_model_name_or_path)")
    return str(base), revision


def is_adapter(folder: str | Path) -> bool:
    """Whether a folder holds an adapter and no model of its own."""
    path = Path(folder)
    return (path / ADAPTER_CONFIG).is_file() and not (path / "config.json").is_file()
