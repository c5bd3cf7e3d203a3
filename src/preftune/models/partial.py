"""Train a part of the parameters: some layers, some of their modules, and modules outside the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import nn
from transformers import PreTrainedModel

from ..errors import ModelError, did_you_mean


def train_only(
    model: PreTrainedModel, *, layers: int, modules: Literal["all"] | Sequence[str] = "all", extra: Sequence[str] = ()
) -> None:
    """Freeze all parameters but those of the last ``layers`` layers (the first ones where it is negative).

    ``modules`` narrows a layer to modules of these names, ``extra`` adds modules outside the layers.

    Raises:
        ModelError: the model has no such module, or no list of layers.
    """
    path, count = _layers(model)
    chosen = range(max(0, count - layers), count) if layers > 0 else range(min(-layers, count))
    inside = {name: f"{name}.".removeprefix(f"{path}.").split(".") for name, _ in model.named_parameters()}
    in_layers = {name: parts for name, parts in inside.items() if name.startswith(f"{path}.")}
    wanted_in = () if modules == "all" else tuple(modules)
    _refuse_unknown("modules", wanted_in, {part for parts in in_layers.values() for part in parts[1:-2]})
    outside = {name: parts for name, parts in inside.items() if name not in in_layers}
    _refuse_unknown("extra", extra, {part for parts in outside.values() for part in parts[:-2]})
    for name, parameter in model.named_parameters():
        if name in in_layers:
            parts = in_layers[name]
            train = int(parts[0]) in chosen and (not wanted_in or bool(set(wanted_in) & set(parts)))
        else:
            train = bool(set(extra) & set(outside[name]))
        parameter.requires_grad_(train)


def _layers(model: PreTrainedModel) -> tuple[str, int]:
    """Path and length of the list of layers."""
    wanted = model.config.get_text_config().num_hidden_layers
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == wanted:
            return name, wanted
    raise ModelError(f"model.partial: {type(model).__name__} has no list of layers; train an adapter instead")


def _refuse_unknown(key: str, wanted: Sequence[str], known: set[str]) -> None:
    for name in wanted:
        if name not in known:
            raise ModelError(f"model.partial.{key}: no module named '{name}'{did_you_mean(name, known)}")
