"""How many tokens go through a model at once: a pure function of model, device and memory, in powers of two."""

from __future__ import annotations

import os
from typing import Any

import torch

_ACTIVATION_SHARE = 0.3
"""Share of the memory that activations of one micro-batch may take."""


def auto_token_budget(config: Any, device: torch.device) -> int:
    """Token positions per micro-batch: from 512 to 2,048 on a CPU, where more is not faster, to 16,384 on a GPU."""
    return token_budget_for(config.get_text_config(), device.type, total_memory(device))


def token_budget_for(config: Any, device_type: str, memory_bytes: int) -> int:
    """The same from plain numbers. About 18 hidden-size and 4 feed-forward activations are kept per layer and token."""
    hidden, layers = config.hidden_size, config.num_hidden_layers
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    per_token = layers * (18 * hidden + 4 * inner) * 4
    fitting = int(_ACTIVATION_SHARE * memory_bytes / per_token)
    largest = 16_384 if device_type == "cuda" else 2_048
    return min(largest, max(512, 1 << max(0, fitting.bit_length() - 1)))


def total_memory(device: torch.device) -> int:
    """Memory of the device, or of the machine for a CPU (bytes)."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
