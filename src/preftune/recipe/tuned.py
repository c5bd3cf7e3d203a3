"""A tuned model as something to use: loaded with its tokenizer, and beside it what it was tuned from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..errors import ModelError
from ..models.load import load_base, load_tokenizer, pick_device, pick_precision
from ..models.lora import load_adapter
from ..runs.directory import RunDirectory
from .scoring import reference_of
from .start import Source


@dataclass(frozen=True)
class Loading:
    """How models are loaded; names as in a config."""

    device: str = "auto"
    dtype: str = "auto"
    trust_remote_code: bool = False


@dataclass(frozen=True)
class Tuned:
    """A model with its tokenizer, in eval mode, on its device."""

    source: Source
    model: nn.Module
    """A PeftModel where it is an adapter, else the model itself."""
    tokenizer: PreTrainedTokenizerBase
    dropout: dict[str, Any] = field(default_factory=dict)
    """Dropout rates of its config that were switched off."""

    @property
    def lm(self) -> PreTrainedModel:
        """What generates."""
        lm: Any = self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model
        return lm  # type: ignore[no-any-return]


def load_tuned(path: str, loading: Loading = Loading(), dtype: torch.dtype | None = None) -> Tuned:
    """The model of a run, of an adapter folder, of a model folder, or of the hub; ``dtype`` goes before ``loading``'s.

    Raises:
        ModelError: there is none, or it cannot be loaded.
    """
    source = Source.of(path)
    _refuse_unfinished(Path(path).expanduser(), source)
    return _load(source, loading, dtype)


def _load(source: Source, loading: Loading, dtype: torch.dtype | None = None) -> Tuned:
    device = pick_device(loading.device)
    compute = dtype or pick_precision(loading.dtype, device).compute
    trust = loading.trust_remote_code
    base, dropout = load_base(source.path, compute, revision=source.revision, trust_remote_code=trust)
    model: nn.Module = base
    for number, folder in enumerate(source.adapters, 1):
        model = load_adapter(base, folder, keep_training=number == len(source.adapters))
        base = model if number < len(source.adapters) else base  # type: ignore[assignment]
    model = model.to(device).eval().requires_grad_(False)
    tokenizer = load_tokenizer(source.tokenizer_path, revision=source.tokenizer_revision, trust_remote_code=trust)
    return Tuned(source, model, tokenizer, dropout)


def _refuse_unfinished(folder: Path, source: Source) -> None:
    directory = RunDirectory(folder)
    if not source.adapters and directory.resolved_yaml.is_file() and not (folder / "config.json").is_file():
        raise ModelError(f"{folder} holds a run that is not done: it has no model yet. Start it again to go on")


@dataclass(frozen=True)
class Reference:
    """What a tuned model is compared with: the same model with its adapter off, or another one in memory."""

    name: str
    tuned: Tuned
    other: Tuned | None = None

    @contextmanager
    def model(self) -> Iterator[PreTrainedModel]:
        """The model that generates as the reference, for the block."""
        if self.other is not None:
            yield self.other.lm
            return
        assert isinstance(self.tuned.model, PeftModel)  # else the reference is another model
        with self.tuned.model.disable_adapter():
            yield self.tuned.lm


def load_reference(path: str, tuned: Tuned, named: str | None, loading: Loading = Loading()) -> Reference:
    """What the run at ``path`` compared with, or the model that is named.

    Raises:
        ConfigError: no reference is named and none follows from the model.
        ModelError: it cannot be loaded.
    """
    source, name = reference_of(path, named)
    if source == replace(tuned.source, adapters=()) and len(tuned.source.adapters) == 1:
        return Reference(name, tuned)
    return Reference(name, tuned, _load(source, loading))
