"""A model that a program has loaded itself, made ready to train: one device, dropout off, dtype decided."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from ..errors import ModelError
from .load import without_dropout


def adopt(model: PreTrainedModel, dtype: torch.dtype, what: str) -> dict[str, Any]:
    """Dropout off, parameters in ``dtype``; returns the config values that this replaced. ``what`` names it in errors.

    Raises:
        ModelError: the model is spread over several devices, or holds quantised weights.
    """
    _refuse_spread(model, what)
    if getattr(model, "is_quantized", False):
        raise ModelError(f"{what} holds quantised weights; give its name or folder instead, and model.quantization")
    replaced = without_dropout(model.config.get_text_config())
    _silence(model)
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype)
    return replaced


def _refuse_spread(model: PreTrainedModel, what: str) -> None:
    """``device_map`` may have put parts elsewhere; one device is what a step is computed on."""
    places = {str(place) for place in (getattr(model, "hf_device_map", None) or {}).values()}
    if len(places) > 1:
        raise ModelError(
            f"{what} is spread over {', '.join(sorted(places))} (device_map). Load it without device_map: one device "
            "holds the whole model"
        )


def _silence(model: nn.Module) -> None:
    """Modules have copied their rates from the config; LoRA's own dropout stays as it was configured."""
    for name, module in model.named_modules():
        if "lora_dropout" in name:
            continue
        for key, value in vars(module).items():
            if key == "p" if isinstance(module, nn.Dropout) else "dropout" in key and isinstance(value, float):
                setattr(module, key, 0.0)
