"""Keys that are fine alone but not together. All such rules live here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .data import Data
from .eval import Eval
from .model import Lora, Model
from .objective import ReferenceConfig

if TYPE_CHECKING:
    from .config import Config


def conflicts(config: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    """Keys that are fine alone but not together: the place of the key to change, and why. All such rules live here."""
    model, data, reference = config.model, config.data, config.reference
    yield from _training_conflicts(model)
    yield from _adapter_conflicts(model, reference)
    yield from _data_conflicts(data)
    yield from _process_conflicts(config)
    if reference.kind == "adapter_off":
        if model.lora is None:
            yield ("reference", "kind"), "adapter_off needs an adapter to turn off, but model.lora is null; use cached"
        if reference.path is not None:
            yield (
                ("reference", "path"),
                "names another model, but reference.kind adapter_off uses the start model; use cached or frozen",
            )
    if reference.cache_dir is not None and reference.kind in ("adapter_off", "frozen"):
        yield (("reference", "cache_dir"), f"has no use: reference.kind {reference.kind} caches nothing; use cached")
    if model.path == "demo" and model.revision is not None:
        yield ("model", "revision"), "is for models on the hub; the embedded demo model has none; leave it out"
    if model.device == "mps" and model.dtype == "float64":
        yield ("model", "dtype"), "float64 does not exist on mps; use float32"
    yield from _eval_conflicts(config)


def _eval_conflicts(config: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    measured, data = config.eval, config.data
    if data.eval is None and data.eval_fraction == 0 and not data.eval_pairs:
        for key in ("every", "keep_best", "max_kl", "patience"):
            if getattr(measured, key) is not None:
                yield ("eval", key), "needs held-out pairs: give data.eval, or data.eval_fraction above 0"
        if measured.samples:
            yield ("eval", "samples"), "needs held-out prompts: give data.eval, or data.eval_fraction above 0"
    if measured.sample_tokens != Eval.model_fields["sample_tokens"].default and not measured.samples:
        yield ("eval", "sample_tokens"), "has no use without eval.samples, which says how many prompts are answered"
    for key in ("keep_best", "max_kl", "patience"):
        if getattr(measured, key) is not None and measured.every is None:
            yield ("eval", key), "needs measurements while training goes on: give eval.every"
    if measured.patience is not None and measured.keep_best is None:
        yield ("eval", "patience"), "needs eval.keep_best, which says what better means"


def _adapter_conflicts(model: Model, reference: ReferenceConfig) -> Iterator[tuple[tuple[str, ...], str]]:
    if reference.adapter is not None and reference.path is None:
        yield ("reference", "adapter"), "needs reference.path, the model that the adapter belongs to"
    if model.adapter is None:
        return
    if model.lora not in (None, Lora()) and not model.stack:
        yield (
            ("model", "lora"),
            "has no use: model.adapter brings its own rank and targets; leave lora out, set it to null, or set stack: "
            "true for a fresh adapter on top",
        )
    if reference.kind == "adapter_off":
        yield ("reference", "kind"), "adapter_off would compare with the model without model.adapter; use cached"


def _training_conflicts(model: Model) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is trained: an adapter, a part, or all."""
    if model.partial is not None:
        if model.lora is not None:
            yield ("model", "partial"), "and model.lora exclude each other; set model.lora: null"
        if model.partial.layers == 0 and model.partial.extra is None:
            yield ("model", "partial", "layers"), "0 trains nothing; give a number of layers, or extra modules"
    if model.quantization is not None and model.lora is None:
        yield ("model", "quantization"), "needs an adapter: weights in few bits cannot be trained; leave model.lora in"
    if model.quantization == "int8" and model.dtype not in ("auto", "bfloat16"):
        yield ("model", "dtype"), "int8 weights are multiplied in 16 bits; use bfloat16 or auto"
    if model.stack and model.lora is None:
        yield ("model", "stack"), "needs model.lora for the adapter on top"


def _process_conflicts(config: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    if config.train.parallel != "fsdp":
        return
    if config.train.optimizer.endswith("_8bit"):
        yield ("train", "optimizer"), f"{config.train.optimizer} cannot be divided among processes (fsdp); use adamw"
    if config.model.quantization is not None:
        yield ("model", "quantization"), "weights in few bits cannot be divided among processes (fsdp); use ddp"
    if config.eval.samples:
        yield ("eval", "samples"), "a model that is divided among processes (fsdp) cannot answer; use ddp, or set 0"


def _data_conflicts(data: Data) -> Iterator[tuple[tuple[str, ...], str]]:
    if data.max_prompt_length is not None and data.max_prompt_length >= data.max_length:
        yield ("data", "max_prompt_length"), f"leaves no room for an answer: data.max_length is {data.max_length}"
    for key, sources in (("train", data.sources), *(("eval", sources) for sources in data.held_out.values())):
        if len({source.weight is None for source in sources}) > 1:
            yield ("data", key), "gives some sources a weight and others none; give each one, or none"
    if data.eval_pairs is not None and data.eval is not None:
        yield ("data", "eval_pairs"), "has no use when data.eval names the held-out pairs; leave one of them out"
    if data.eval_pairs is not None and data.eval_fraction != Data.model_fields["eval_fraction"].default:
        yield ("data", "eval_pairs"), "takes the place of data.eval_fraction; leave one of them out"
    if data.margin_threshold is not None and data.rankings is None:
        yield ("data", "margin_threshold"), "has no use without data.rankings, which says how rankings become pairs"
    if data.eval is not None and data.eval_fraction not in (0.0, Data.model_fields["eval_fraction"].default):
        yield ("data", "eval_fraction"), "has no use when data.eval names the held-out pairs; leave one of them out"
