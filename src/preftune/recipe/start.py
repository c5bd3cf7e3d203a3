"""The start model of a run: from the folders that the config names, or from what the program has given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import nn

from ..config import Config
from ..errors import ModelError
from ..logprobs.reference import weights_hash
from ..logprobs.scorer import causal_lm
from ..models.adopt import adopt
from ..models.load import Precision, Quantization, load_base, refuse_checkpoint, resolve_path, trainable
from ..models.lora import ADAPTER_CONFIG, base_of_adapter, is_adapter, load_adapter, lora_config, with_fresh_adapter
from ..models.partial import train_only
from ..models.stacked import stack_adapters
from .given import Given

ADAPTER_FILES = (ADAPTER_CONFIG, "adapter_model.safetensors")


@dataclass(frozen=True)
class Source:
    """Where a model comes from: its weights, and adapters on them that are part of the start model."""

    path: str
    adapters: tuple[str, ...] = ()
    revision: str | None = None
    """Of the weights, where ``path`` is a name on the hub."""

    @classmethod
    def of(cls, path: str, adapters: Sequence[str] = (), revision: str | None = None) -> Source:
        """An adapter folder as the model path means its base model with that adapter, below all others.

        Raises:
            ModelError: a folder is not there, holds no adapter, or is a checkpoint of a run.
        """
        resolved = resolve_path(path)
        folders = [str(Path(adapter).expanduser()) for adapter in adapters]
        for folder in folders:
            refuse_checkpoint(Path(folder))
        if is_adapter(resolved):
            folders.insert(0, resolved)
            base, of_base = base_of_adapter(resolved)
            resolved, revision = resolve_path(base), revision or of_base
        for folder in folders:
            _refuse_incomplete(Path(folder))
        return cls(resolved, tuple(folders), revision)

    @property
    def tokenizer_path(self) -> str:
        """The folder of the last adapter that brings a tokenizer of its own, else the model's."""
        own = (folder for folder in reversed(self.adapters) if (Path(folder) / "tokenizer_config.json").is_file())
        return next(own, self.path)

    @property
    def tokenizer_revision(self) -> str | None:
        """Of the tokenizer, where it is the model's."""
        return self.revision if self.tokenizer_path == self.path else None


@dataclass(frozen=True)
class Start:
    """The start model with what is trained on it."""

    model: nn.Module
    identity: Mapping[str, object]
    """Hashes of its weights: what identifies it as a reference."""
    dropout: Mapping[str, Any]
    """Dropout rates of its config that were switched off."""
    fresh_adapter: bool
    """Whether an adapter was added to it, so that it is still there when that is switched off."""


def load_start(config: Config, source: Source, precision: Precision, device: torch.device) -> Start:
    """The start model from where the config says.

    Raises:
        ModelError: something cannot be loaded or does not fit.
    """
    section = config.model
    base, dropout = load_base(
        source.path,
        precision.compute if section.lora is not None else precision.trained,
        revision=source.revision,
        trust_remote_code=section.trust_remote_code,
        quantization=None if section.quantization is None else Quantization(section.quantization, device),
        attention=section.attention,
    )
    identity = {"weights": weights_hash(base), "adapter": adapter_hash(source.adapters)}
    fresh = section.lora is not None and not source.adapters
    model = _with_adapter(config, base, source.adapters)
    if isinstance(model, PeftModel):  # so that whoever loads the adapter loads it on the same weights
        for adapter in model.peft_config.values():
            adapter.revision = source.revision
    return Start(model, identity, dropout, fresh)


def adopt_start(config: Config, precision: Precision, given: Given) -> Start:
    """The start model that the program has given.

    Raises:
        ModelError: it cannot be trained as it is.
    """
    assert given.model is not None
    lm, adapted = causal_lm(given.model), isinstance(given.model, PeftModel)
    dropout = adopt(lm, precision.compute if adapted or config.model.lora else precision.trained, "the model")
    identity = {"weights": weights_hash(given.model), "adapter": None}
    if not adapted and given.lora is not None:
        model: nn.Module = with_fresh_adapter(lm, given.lora, seed=config.train.seed)
    else:
        model = given.model if adapted else _with_adapter(config, lm, ())
    if not trainable(model):
        raise ModelError("the given adapter is frozen: load it with PeftModel.from_pretrained(..., is_trainable=True)")
    return Start(model, identity, dropout, fresh_adapter=isinstance(model, PeftModel) and not adapted)


def _with_adapter(config: Config, base: Any, adapters: Sequence[str]) -> nn.Module:
    section = config.model
    if section.stack and not adapters:
        raise ModelError("model.stack: there is nothing below; name the adapter as model.adapter")
    if section.lora is None:
        for folder in adapters:
            base = load_adapter(base, folder, keep_training=False)
        if section.partial is not None:
            part = section.partial
            train_only(base, layers=part.layers, modules=part.modules, extra=part.extra or ())
        return base  # type: ignore[no-any-return]
    if adapters and not section.stack:
        if section.lora != type(section.lora)():
            raise ModelError(
                f"model.lora has no use: {adapters[-1]} brings its own rank and targets. Leave lora out, set it to "
                "null, or set model.stack: true for a fresh adapter on top"
            )
        if len(adapters) == 1:
            return load_adapter(base, adapters[0], keep_training=True)
        return stack_adapters(base, adapters, None)
    lora = section.lora
    fresh = lora_config(
        base,
        rank=lora.rank,
        alpha=lora.alpha,
        dropout=lora.dropout,
        target=lora.target,
        rslora=lora.rslora,
        dora=lora.dora,
        modules_to_save=lora.modules_to_save or (),
    )
    if adapters:
        return stack_adapters(base, adapters, fresh, seed=config.train.seed)
    return with_fresh_adapter(base, fresh, seed=config.train.seed)


def adapter_hash(folders: Sequence[str]) -> str | None:
    """Hash of the adapters' files; None without one."""
    if not folders:
        return None
    digest = sha256()
    for folder in folders:
        for name in ADAPTER_FILES:
            digest.update((Path(folder) / name).read_bytes())
    return digest.hexdigest()


def _refuse_incomplete(adapter: Path) -> None:
    if not adapter.is_dir():
        raise ModelError(f"no adapter folder at {adapter}")
    for name in ADAPTER_FILES:
        if not (adapter / name).is_file():
            raise ModelError(f"{adapter} holds no {name}, so it is no adapter that can be read")
