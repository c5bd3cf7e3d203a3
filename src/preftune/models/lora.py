"""LoRA adapters: put a fresh one on a model, or go on training one that exists."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel

from ..errors import ModelError, did_you_mean

ADAPTER_CONFIG = "adapter_config.json"


def add_lora(
    model: PreTrainedModel, *, rank: int, alpha: int, dropout: float, target: str | Sequence[str], seed: int
) -> PeftModel:
    """A fresh adapter, its A drawn from ``seed`` and its B zero: the policy starts exactly at the base model.

    Raises:
        ModelError: a target module that the model does not have.
    """
    if not isinstance(target, str):
        _check_targets(model, target)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=target if isinstance(target, str) else list(target),
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(seed)
    with _quiet():
        return get_peft_model(model, config)


@contextmanager
def _quiet() -> Iterator[None]:
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
    if not (path / ADAPTER_CONFIG).is_file():
        raise ModelError(f"model.adapter: no {ADAPTER_CONFIG} in {folder}")
    try:
        with _quiet():
            adapted = PeftModel.from_pretrained(model, str(path), is_trainable=keep_training)
    except (RuntimeError, ValueError, KeyError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise ModelError(f"model.adapter: {folder} does not fit this model: {first}") from None
    # peft froze the base model; merged, it is a whole model again.
    return adapted if keep_training else adapted.merge_and_unload().requires_grad_(True)


def base_of_adapter(folder: str | Path) -> str:
    """The base model that an adapter folder names."""
    try:
        values = json.loads((Path(folder) / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        return str(values["base_model_name_or_path"])
    except (OSError, ValueError, KeyError):
        raise ModelError(f"{folder}/{ADAPTER_CONFIG} does not name its base model (base_model_name_or_path)") from None


def is_adapter(folder: str | Path) -> bool:
    """Whether a folder holds an adapter and no model of its own."""
    path = Path(folder)
    return (path / ADAPTER_CONFIG).is_file() and not (path / "config.json").is_file()
