"""Preftune and TRL set up alike: the same pairs, settings and start, so that numbers, times and memory compare.

TRL is needed only here: ``pip install trl==1.16.0 datasets`` next to preftune.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything is on this machine; nothing is asked of the hub
os.environ.setdefault("TQDM_DISABLE", "1")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase, PrinterCallback

from preftune.config import Config, load_config
from preftune.data import PreferencePair, load_pairs
from preftune.models.lora import add_lora
from preftune.objectives import objective_schemas
from preftune.tokens.chat import build_template
from preftune.tokens.encode import EncodedGroup, encode_pairs

try:
    from datasets import Dataset
    from peft import PeftModel
    from trl import DPOConfig, DPOTrainer
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is not installed. This script compares with TRL: pip install trl==1.16.0 datasets")

Row = Mapping[str, Any]
Mode = Literal["full", "lora", "adapter"]


@dataclass(frozen=True)
class Settings:
    """What both tools are given."""

    model: Path
    pairs: Path
    steps: int
    pairs_per_step: int
    learning_rate: float
    schedule: str
    warmup: int
    max_length: int
    beta: float
    seed: int
    rank: int = 16
    alpha: int = 32
    ours: tuple[str, ...] = ()
    """Further ``key=value`` of preftune's config: what should not change the numbers, such as the layout."""


def fitting_pairs(
    source: str, tokenizer: PreTrainedTokenizerBase, count: int | None, max_length: int
) -> tuple[list[PreferencePair], list[EncodedGroup]]:
    """The first ``count`` pairs (None: all) that fit into ``max_length`` uncut, and their tokens.

    What the tools do differently on purpose is left out: TRL cuts the end of the whole, preftune the start of the
    prompt; in an answer of several turns TRL scores the user's too. Rows without an answer are left out as well.
    """
    pairs = load_pairs(source, max_bad_rows=sys.maxsize).pairs
    encoded, _ = encode_pairs(pairs, build_template(tokenizer), max_length=max_length, truncation="drop")
    groups = [g for g in encoded if all(c.scored.all() for c in g.completions)]
    if count is not None and len(groups) < count:
        sys.exit(f"{source}: {len(groups)} pairs can be compared; {count} are asked for")
    by_origin = {pair.origin: pair for pair in pairs}
    return [by_origin[g.origin] for g in groups[:count]], groups[:count]


def write_pairs(pairs: Sequence[PreferencePair], path: Path) -> None:
    """One file in TRL's conversational format, which both tools read."""
    with path.open("w", encoding="utf-8") as file:
        for pair in pairs:
            sides = {"prompt": pair.prompt, "chosen": pair.chosen, "rejected": pair.rejected}
            row = {name: [{"role": m.role, "content": m.content} for m in turns] for name, turns in sides.items()}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def make_adapter(settings: Settings, folder: Path, *, zero: bool) -> Path:
    """The adapter that preftune makes from this seed, as a folder from which TRL starts too.

    ``zero``: its B is zero as in every fresh adapter; else B is random, as if it had been trained before.
    """
    model = add_lora(
        _base(settings),
        rank=settings.rank,
        alpha=settings.alpha,
        dropout=0.0,
        target="all-linear",
        seed=settings.seed,
    )
    if not zero:
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.01)
    model.save_pretrained(str(folder))
    return folder


def _base(settings: Settings) -> Any:
    return AutoModelForCausalLM.from_pretrained(settings.model, dtype=torch.float32)


def trl_trainer(
    settings: Settings, objective: str, adapter: Path | None, folder: Path, options: Mapping[str, Any]
) -> DPOTrainer:
    """TRL's trainer with every setting that preftune has too, in the order of the file.

    ``options`` are further arguments of its ``DPOConfig``.
    """
    model = _base(settings)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, str(adapter), is_trainable=True)
    rows = [json.loads(line) for line in settings.pairs.read_text(encoding="utf-8").splitlines()]
    arguments = DPOConfig(
        output_dir=str(folder),
        loss_type=[objective],
        beta=settings.beta,
        max_length=settings.max_length,
        max_steps=settings.steps,
        per_device_train_batch_size=settings.pairs_per_step,
        gradient_accumulation_steps=1,
        train_sampling_strategy="sequential",
        learning_rate=settings.learning_rate,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(settings.schedule, settings.schedule),
        warmup_steps=settings.warmup,
        adam_beta1=0.9,
        adam_beta2=0.999,
        adam_epsilon=1e-8,
        weight_decay=0.0,
        max_grad_norm=1.0,
        bf16=False,
        use_cpu=True,
        dataloader_pin_memory=False,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **options,
    )
    tokenizer = AutoTokenizer.from_pretrained(settings.model)
    trainer = DPOTrainer(model=model, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    trainer.remove_callback(PrinterCallback)  # the rows are shown side by side at the end
    return trainer


def preftune_config(settings: Settings, objective: str, mode: Mode, adapter: Path | None, folder: Path) -> Config:
    """The same for preftune; everything that it writes goes below ``folder``."""
    lora = {"rank": settings.rank, "alpha": settings.alpha, "dropout": 0.0}
    config = {
        "model": {
            "path": str(settings.model),
            "dtype": "float32",
            "device": "cpu",
            "lora": None if mode == "full" else lora,
            "adapter": str(adapter) if mode == "adapter" else None,
        },
        "data": {"train": str(settings.pairs), "eval_fraction": 0.0, "max_length": settings.max_length},
        "objective": {"name": objective, "beta": settings.beta},
        "reference": {"cache_dir": str(folder / "reference")},
        "train": {
            "max_steps": settings.steps,
            "pairs_per_step": settings.pairs_per_step,
            "shuffle": False,
            "learning_rate": settings.learning_rate,
            "schedule": settings.schedule,
            "warmup": float(settings.warmup),
            "weight_decay": 0.0,
            "max_grad_norm": 1.0,
            "seed": settings.seed,
            "log_every": 1,
            "save_every": settings.steps + 1,
        },
        "output_dir": str(folder / "run"),
    }
    return load_config(config, settings.ours, objectives=objective_schemas())
