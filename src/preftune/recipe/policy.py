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
    load_base,
    pick_device,
    pick_precision,
    refuse_checkpoint,
    refuse_misfit,
    resolve_path,
    trainable,
)
from ..models.lora import ADAPTER_CONFIG, add_lora, base_of_adapter, is_adapter, load_adapter
from ..models.memory import auto_token_budget
from ..tokens.encode import EncodedGroup


@dataclass(frozen=True)
class Source:
    """Where a model comes from: its weights, and an adapter on them that is part of the start model."""

    path: str
    adapter: str | None

    @classmethod
    def of(cls, path: str, adapter: str | None) -> Source:
        """An adapter folder as the model path means its base model with that adapter."""
        resolved = resolve_path(path)
        if is_adapter(resolved):
            if adapter is not None:
                raise ModelError(f"model.path {path} is an adapter already; leave model.adapter out")
            return cls(resolve_path(base_of_adapter(resolved)), resolved)
        if adapter is None:
            return cls(resolved, None)
        folder = Path(adapter).expanduser()
        refuse_checkpoint(folder)
        return cls(resolved, str(folder))

    @property
    def tokenizer_path(self) -> str:
        """The adapter's folder where it brings a tokenizer of its own, else the model's."""
        own = self.adapter is not None and (Path(self.adapter) / "tokenizer_config.json").is_file()
        return str(self.adapter) if own else self.path


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
    )
    start: dict[str, object] = {"weights": weights_hash(base), "adapter": adapter_hash(source.adapter)}
    model = _with_adapter(config, base, source.adapter)
    for parameter in trainable(model).values():
        parameter.data = parameter.data.to(precision.trained)
    if section.gradient_checkpointing:
        causal_lm(model).activation_checkpointing_enable({"use_reentrant": False})
    model.to(device).train()
    return Policy(CompletionScorer(model, autocast=precision.autocast), tokenizer, source, precision, start, dropout)


def _with_adapter(config: Config, base: Any, adapter: str | None) -> nn.Module:
    lora = config.model.lora
    if adapter is not None:
        return load_adapter(base, adapter, keep_training=lora is not None)
    if lora is None:
        return base  # type: ignore[no-any-return]
    return add_lora(
        base, rank=lora.rank, alpha=lora.alpha, dropout=lora.dropout, target=lora.target, seed=config.train.seed
    )


def adapter_hash(folder: str | None) -> str | None:
    """Hash of an adapter's files; None without one."""
    if folder is None:
        return None
    digest = sha256()
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
