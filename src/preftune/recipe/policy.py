"""From the model section of a config to a scorer with its exact layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedTokenizerBase

from ..config import Config
from ..errors import ModelError
from ..logprobs.reference import weights_hash
from ..logprobs.scorer import CompletionScorer, causal_lm
from ..logprobs.verify import LayoutChoice, choose_layout
from ..models.load import (
    Precision,
    Quantization,
    load_base,
    pick_device,
    pick_precision,
    refuse_checkpoint,
    refuse_misfit,
    resolve_path,
    trainable,
)
from ..models.lora import (
    ADAPTER_CONFIG,
    base_of_adapter,
    is_adapter,
    load_adapter,
    lora_config,
    with_fresh_adapter,
)
from ..models.memory import auto_token_budget
from ..models.partial import train_only
from ..models.stacked import stack_adapters
from ..tokens.encode import EncodedGroup


@dataclass(frozen=True)
class Source:
    """Where a model comes from: its weights, and adapters on them that are part of the start model."""

    path: str
    adapters: tuple[str, ...] = ()

    @classmethod
    def of(cls, path: str, adapters: Sequence[str] = ()) -> Source:
        """An adapter folder as the model path means its base model with that adapter, below all others."""
        resolved = resolve_path(path)
        folders = [str(Path(adapter).expanduser()) for adapter in adapters]
        for folder in folders:
            refuse_checkpoint(Path(folder))
        if is_adapter(resolved):
            folders.insert(0, resolved)
            resolved = resolve_path(base_of_adapter(resolved))
        return cls(resolved, tuple(folders))

    @property
    def tokenizer_path(self) -> str:
        """The folder of the last adapter that brings a tokenizer of its own, else the model's."""
        own = (folder for folder in reversed(self.adapters) if (Path(folder) / "tokenizer_config.json").is_file())
        return next(own, self.path)


@dataclass(frozen=True)
class Policy:
    """The model to train, as a scorer, with what identifies its start."""

    scorer: CompletionScorer
    tokenizer: PreTrainedTokenizerBase
    source: Source
    precision: Precision
    start: Mapping[str, object]
    """Hashes of the start weights: the reference's identity."""
    dropout: Mapping[str, Any]
    """Dropout rates of the model's config that are off in training."""

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """Trained parameters by name."""
        return trainable(self.scorer.model)

    @property
    def is_adapter(self) -> bool:
        """Whether only an adapter is trained."""
        return hasattr(self.scorer.model, "peft_config")

    @property
    def size(self) -> int:
        """Parameters of the base model."""
        return causal_lm(self.scorer.model).num_parameters()


def load_policy(config: Config, source: Source, tokenizer: PreTrainedTokenizerBase) -> Policy:
    """The policy at its start, dropout off, ready to train.

    Raises:
        ModelError: something cannot be loaded or does not fit.
    """
    section = config.model
    device = pick_device(section.device)
    precision = pick_precision(section.dtype, device)
    frozen_base = section.lora is not None
    base, dropout = load_base(
        source.path,
        precision.compute if frozen_base else precision.trained,
        revision=section.revision,
        trust_remote_code=section.trust_remote_code,
        quantization=None if section.quantization is None else Quantization(section.quantization, device),
    )
    start: dict[str, object] = {"weights": weights_hash(base), "adapter": adapter_hash(source.adapters)}
    model = _with_adapter(config, base, source.adapters)
    for parameter in trainable(model).values():
        parameter.data = parameter.data.to(precision.trained)
    if section.gradient_checkpointing:
        causal_lm(model).activation_checkpointing_enable({"use_reentrant": False})
    if section.quantization is None:  # bitsandbytes has put its weights where they belong
        model.to(device)
    model.train()
    return Policy(CompletionScorer(model, autocast=precision.autocast), tokenizer, source, precision, start, dropout)


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
        for name in (ADAPTER_CONFIG, "adapter_model.safetensors"):
            file = Path(folder) / name
            if not file.is_file():
                raise ModelError(f"model.adapter: {folder} holds no {name}")
            digest.update(file.read_bytes())
    return digest.hexdigest()


def check_layout(config: Config, policy: Policy, groups: Sequence[EncodedGroup]) -> LayoutChoice:
    """The layout of the run, proved on three of its own short groups.

    Raises:
        ModelError: some text does not fit the model, or no layout is exact.
        NonFiniteError: the model's own log-probs are NaN or infinite.
    """
    largest = max(int(ids.max()) for g in groups for ids in (g.prompt, *(c.ids for c in g.completions)) if len(ids))
    refuse_misfit(causal_lm(policy.scorer.model), largest, max(g.longest for g in groups))
    few = sorted(groups, key=lambda g: g.longest)[:3]
    return choose_layout(policy.scorer, few, config.train.layout)


def token_budget(config: Config, policy: Policy) -> int:
    """Token positions per micro-batch: as given, or by the size of model and memory."""
    if config.train.tokens_per_micro_batch != "auto":
        return config.train.tokens_per_micro_batch
    return auto_token_budget(causal_lm(policy.scorer.model).config, policy.scorer.device)
