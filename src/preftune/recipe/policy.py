"""From the model and reference sections of a config to a scorer, its exact layout, and a reference that cannot move."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from ..config import Config
from ..errors import ModelError
from ..logprobs.cache import LogprobTable, cache_folder
from ..logprobs.reference import AdapterOff, Current, Frozen, Reference, compute_table, weights_hash
from ..logprobs.scorer import CompletionScorer, causal_lm
from ..logprobs.verify import LayoutChoice, choose_layout
from ..models.cache_dir import cache_root
from ..models.load import Precision, load_base, pick_device, pick_precision, resolve_path, trainable
from ..models.lora import ADAPTER_CONFIG, add_lora, base_of_adapter, is_adapter, load_adapter
from ..models.memory import auto_token_budget
from ..runs.display import Reporter
from ..tokens.encode import EncodedGroup

LOGPROB_CODE = 1
"""Raised when a change of the log-prob code changes its results, so that older caches are not used."""


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
        return cls(resolved, adapter)

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
    start: dict[str, object] = {"weights": weights_hash(base), "adapter": _adapter_hash(source.adapter)}
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


def _adapter_hash(folder: str | None) -> str | None:
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
    """The layout of the run, proved on three of its own short groups."""
    few = sorted(groups, key=lambda g: g.longest)[:3]
    return choose_layout(policy.scorer, few, config.train.layout)


def token_budget(config: Config, policy: Policy) -> int:
    """Token positions per micro-batch: as given, or by the size of model and memory."""
    if config.train.tokens_per_micro_batch != "auto":
        return config.train.tokens_per_micro_batch
    return auto_token_budget(causal_lm(policy.scorer.model).config, policy.scorer.device)


def fingerprint(config: Config, policy: Policy, template: str, identity: Mapping[str, object]) -> dict[str, object]:
    """What the reference's log-probs depend on: compared when a run is resumed."""
    backend = getattr(policy.tokenizer, "backend_tokenizer", None)
    text = backend.to_str() if backend is not None else str(sorted(policy.tokenizer.get_vocab().items()))
    return {
        **identity,
        "tokenizer": sha256(text.encode()).hexdigest()[:32],
        "template": template[:32],
        "max_length": config.data.max_length,
        "truncation": config.data.truncation,
        "dtype": policy.precision.name,
    }


@dataclass(frozen=True)
class Referee:
    """The reference of a run and what identifies it."""

    reference: Reference
    identity: Mapping[str, object]
    is_start_model: bool
    description: str


def build_reference(
    config: Config,
    policy: Policy,
    groups: Sequence[EncodedGroup],
    choice: LayoutChoice,
    budget: int,
    reporter: Reporter,
) -> Referee:
    """Resolve the reference before anything is trained or resumed.

    Raises:
        ModelError: the kind asked for cannot be had with this model.
    """
    section = config.reference
    other = None if section.path is None else _other_model(config, policy, section.path)
    identity = policy.start if other is None else other[1]
    name = "the start model" if other is None else str(section.path)
    if section.kind == "adapter_off":
        if policy.source.adapter is not None:  # model.path may be an adapter folder, which the config cannot know
            raise ModelError(
                "reference.kind: adapter_off would compare with the base model without its adapter, not with the "
                "start model; use cached or frozen"
            )
        return Referee(AdapterOff(policy.scorer), identity, True, f"{name}, the adapter switched off at each step")
    if section.kind == "frozen":
        scorer = other[0] if other else _copy(policy.scorer)
        return Referee(Frozen(scorer), identity, other is None, f"{name}, as a second model in memory")
    source = Frozen(other[0]) if other else Current(policy.scorer)
    table = _table(config, policy, identity, choice)
    cached = _fill(source, groups, table, choice, budget, reporter)
    return Referee(cached, identity, other is None, f"{name}, log-probs computed once and cached")


def _copy(scorer: CompletionScorer) -> CompletionScorer:
    return CompletionScorer(copy.deepcopy(scorer.model), autocast=scorer.autocast)


def _other_model(config: Config, policy: Policy, path: str) -> tuple[CompletionScorer, Mapping[str, object]]:
    source = Source.of(path, None)
    base, _ = load_base(source.path, policy.precision.compute, trust_remote_code=config.model.trust_remote_code)
    identity = {"weights": weights_hash(base), "adapter": _adapter_hash(source.adapter)}
    model = base if source.adapter is None else load_adapter(base, source.adapter, keep_training=False)
    mine, theirs = (causal_lm(m).config.get_text_config().vocab_size for m in (policy.scorer.model, model))
    if mine != theirs:
        raise ModelError(f"reference.path: {path} has a vocabulary of {theirs} tokens, the policy one of {mine}")
    return CompletionScorer(model.to(policy.scorer.device), autocast=policy.scorer.autocast), identity


def _table(config: Config, policy: Policy, identity: Mapping[str, object], choice: LayoutChoice) -> LogprobTable:
    root = Path(config.reference.cache_dir).expanduser() if config.reference.cache_dir else cache_root() / "reference"
    key = {
        **identity,
        "dtype": policy.precision.name,
        "layout": choice.name,
        "device": policy.scorer.device.type,
        "torch": torch.__version__,
        "code": LOGPROB_CODE,
    }
    return LogprobTable(cache_folder(root, key), key)


def _fill(
    source: Reference,
    groups: Sequence[EncodedGroup],
    table: LogprobTable,
    choice: LayoutChoice,
    budget: int,
    reporter: Reporter,
) -> Reference:
    missing = sum(bool(table.missing(g.sequence_ids)) for g in groups)
    options = {"layout": choice.layout, "layout_name": choice.name, "token_budget": budget}
    if not missing:
        return compute_table(source, groups, table, **options)  # type: ignore[arg-type]
    with reporter.phase("reference log-probs", missing, "pairs") as phase:
        return compute_table(source, groups, table, advance=phase.advance, **options)  # type: ignore[arg-type]
