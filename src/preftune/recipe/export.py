"""A tuned model as a folder to keep, serve or push: what is written is loaded again and compared, or nothing is."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn

from ..errors import ConfigError, ModelError, RunFolderError
from ..models.load import load_base, positions_of, quiet, stored_dtype
from ..models.lora import ADAPTER_CONFIG, load_adapter
from ..runs.atomic import atomic_folder
from ..runs.directory import RunDirectory
from ..runs.display import Reporter
from ..runs.model_card import model_card
from ..runs.run_report import read_card, read_config
from .start import ADAPTER_FILES, Source
from .tuned import Loading, Tuned, load_tuned

TOLERANCE = 1e-4
"""Largest difference of a logit, relative to the largest logit where that is above 1; fp32 rounds no worse."""

_PROBES = (
    "The quick brown fox jumps over the lazy dog, and 17 * 3 = 51.",
    "def add(a: int, b: int) -> int:\n    return a + b\n",
    "Wer fragt, der lernt; 学而时习之。 ¿Qué hora es?",
)
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Export:
    """What to export, and how."""

    model: str
    """A run, an adapter or a model."""
    out: Path
    merge: bool = False
    dtype: str = "auto"
    """Of merged weights; ``auto``: as the start model stores them."""
    device: str = "cpu"
    trust_remote_code: bool = False


@dataclass(frozen=True)
class Exported:
    """What was written, and how near it is to the tuned model. Differences are of single logits, the largest."""

    folder: Path
    dtype: str
    merged: bool
    difference: float
    moved: float | None
    """How far tuning moved the logits of the model below the adapter."""


@dataclass(frozen=True)
class _Expected:
    """What is known of the tuned model when it has been written and is no longer in memory."""

    source: Source
    probes: Sequence[Tensor]
    logits: Sequence[Tensor]
    moved: float | None
    dtype: torch.dtype


def export(request: Export, reporter: Reporter) -> Exported:
    """Write the folder in one step, after what is in it gave the tuned model's logits.

    Raises:
        ConfigError: there is no adapter to merge.
        ModelError: the model cannot be loaded, or what was written gives other logits.
        RunFolderError: the folder is there already, or cannot be written.
    """
    if request.out.exists():
        raise RunFolderError(f"{request.out}: is there already. Name another folder, or delete it")
    _tell_quantization(request, reporter)
    with atomic_folder(request.out) as folder:
        expected = _write(request, folder)
        written = _logits(_load_written(request, expected.source, folder), expected.probes)
        difference = _difference(written, expected.logits)
        _judge(expected, difference)
    dtype = str(expected.dtype).removeprefix("torch.")
    return Exported(request.out, dtype, request.merge, difference, expected.moved)


def _write(request: Export, folder: Path) -> _Expected:
    loading = Loading(request.device, trust_remote_code=request.trust_remote_code)
    tuned = load_tuned(request.model, loading, torch.float32)
    if request.merge and not tuned.source.adapters:
        raise ConfigError(f"{request.model} is a whole model, so there is nothing to merge; leave --merge out")
    probes = _probes(tuned)
    expected = _Expected(
        tuned.source, probes, _logits(tuned.model, probes), _moved(tuned, probes), _dtype(request, tuned)
    )
    with quiet():
        if request.merge or not tuned.source.adapters:
            _write_model(tuned, folder, expected.dtype)
        else:
            for name in ADAPTER_FILES:
                shutil.copyfile(Path(tuned.source.adapters[-1]) / name, folder / name)
        tuned.tokenizer.save_pretrained(str(folder))
    _write_card(request, tuned, folder)
    return expected


def _write_model(tuned: Tuned, folder: Path, dtype: torch.dtype) -> None:
    model: Any = tuned.model.merge_and_unload() if isinstance(tuned.model, PeftModel) else tuned.model
    for name, rate in tuned.dropout.items():  # training had switched them off
        setattr(model.config.get_text_config(), name, rate)
    model.to(dtype).save_pretrained(str(folder))


def _load_written(request: Export, source: Source, folder: Path) -> nn.Module:
    """The model as the written files have it, in fp32."""
    trust = request.trust_remote_code
    if (folder / ADAPTER_CONFIG).is_file():
        base, _ = load_base(source.path, torch.float32, revision=source.revision, trust_remote_code=trust)
        return load_adapter(base, folder, keep_training=True).eval()
    whole: nn.Module = load_base(str(folder), torch.float32, trust_remote_code=trust)[0]
    return whole.eval()


def _dtype(request: Export, tuned: Tuned) -> torch.dtype:
    if tuned.source.adapters and not request.merge:
        return torch.float32
    if request.dtype != "auto":
        return _DTYPES[request.dtype]
    source = tuned.source
    return stored_dtype(source.path, revision=source.revision, trust_remote_code=request.trust_remote_code)


def _probes(tuned: Tuned) -> list[Tensor]:
    positions = positions_of(tuned.lm)
    return [torch.tensor([tuned.tokenizer(text).input_ids[:positions]]) for text in _PROBES]


@torch.no_grad()
def _logits(model: nn.Module, probes: Sequence[Tensor]) -> list[Tensor]:
    device = next(model.parameters()).device
    return [model(input_ids=ids.to(device)).logits.float().cpu() for ids in probes]


def _moved(tuned: Tuned, probes: Sequence[Tensor]) -> float | None:
    if not isinstance(tuned.model, PeftModel):
        return None
    after = _logits(tuned.model, probes)
    with tuned.model.disable_adapter():
        before = _logits(tuned.model, probes)
    return _difference(after, before)


def _difference(some: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """The largest one of single logits; NaN where one is."""
    return float(torch.stack([(a - b).abs().max() for a, b in zip(some, others, strict=True)]).max())


def _judge(expected: _Expected, difference: float) -> None:
    """Rounding to 16 bits moves logits, and is told; anything else that does is a fault."""
    if not math.isfinite(difference):
        raise ModelError(
            f"logits of the tuned model or of what was written as {str(expected.dtype).removeprefix('torch.')} are not "
            "finite, so nothing is kept: its weights are broken, or too large for float16; use --dtype bfloat16"
        )
    largest = max(float(logits.abs().max()) for logits in expected.logits)
    if expected.dtype == torch.float32 and not difference <= TOLERANCE * max(1.0, largest):
        raise ModelError(
            f"what was written gives other logits than the tuned model (by up to {difference:.2g}), so nothing is "
            "kept. Please report this with the name of the model"
        )


def _tell_quantization(request: Export, reporter: Reporter) -> None:
    section = read_config(RunDirectory(Path(request.model).expanduser())).get("model") or {}
    if request.merge and section.get("quantization"):
        reporter.warn(
            f"the run trained on weights in few bits ({section['quantization']}); merged into the whole weights, the "
            "adapter meets slightly other ones than in training"
        )


def _write_card(request: Export, tuned: Tuned, folder: Path) -> None:
    """The card of the run, for what was exported; else the one that the model brings."""
    stored = read_card(RunDirectory(Path(request.model).expanduser()))
    if stored is not None:
        card = replace(stored, name=request.out.absolute().name)
        card = replace(card, is_adapter=False, merged=True) if request.merge else card
        (folder / "README.md").write_text(model_card(card), encoding="utf-8")
        return
    own = Path(tuned.source.adapters[-1] if tuned.source.adapters else tuned.source.path) / "README.md"
    if own.is_file() and not request.merge:
        shutil.copyfile(own, folder / "README.md")
