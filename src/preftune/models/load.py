"""Load a causal language model and its tokenizer, ready for training: dropout off, dtype and device decided."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as hf_logging
from transformers.utils.import_utils import is_flash_attn_2_available

from ..errors import ModelError
from .embedded import EMBEDDED_NAME, embedded_model_folder

CHECKPOINT_MARK = "state.json"
"""The file that tells a training checkpoint from a model folder."""

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


@dataclass(frozen=True, slots=True)
class Precision:
    """``compute``: dtype of the forward pass; ``trained``: dtype of trained parameters and optimiser state.

    Trained parameters are fp32 or wider: at a learning rate of 5e-7 pure bf16 loses most updates.
    """

    compute: torch.dtype
    trained: torch.dtype

    @property
    def autocast(self) -> torch.dtype | None:
        """The autocast dtype, where the compute dtype is narrower than the trained parameters."""
        return None if self.compute == self.trained else self.compute

    @property
    def name(self) -> str:
        """``float32``, ``bfloat16`` or ``float64``."""
        return str(self.compute).removeprefix("torch.")


def pick_device(choice: str) -> torch.device:
    """``auto``: CUDA where there is one, then MPS, then CPU.

    Raises:
        ModelError: the device asked for is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    name = next(n for n, there in available.items() if there) if choice == "auto" else choice
    if not available[name]:
        raise ModelError(f"model.device: {name} is not available on this machine; use auto or cpu")
    return torch.device(name)


def pick_precision(choice: str, device: torch.device) -> Precision:
    """``auto``: bf16 on a GPU that computes it, else fp32.

    Raises:
        ModelError: float16, which underflows without loss scaling, or float64 where the device has none.
    """
    if choice == "float16":
        raise ModelError("model.dtype: float16 loses small gradients; use bfloat16 (GPU) or float32")
    if choice == "float64" and device.type == "mps":
        raise ModelError("model.dtype: float64 does not exist on MPS; use float32")
    if choice == "auto":
        choice = "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    compute = _DTYPES[choice]
    return Precision(compute, torch.float32 if compute == torch.bfloat16 else compute)


def resolve_path(path: str) -> str:
    """The folder or hub id behind ``model.path``; ``demo`` is the embedded model.

    Raises:
        ModelError: the path is a checkpoint of a run, or a local path that does not exist.
    """
    if path == EMBEDDED_NAME:
        return str(embedded_model_folder(note=lambda _: None))
    folder = Path(path).expanduser()
    try:
        is_folder, is_file = folder.is_dir(), folder.is_file()
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    if is_folder:
        refuse_checkpoint(folder)
        return str(folder)
    if is_file:
        raise ModelError(f"{path} is a file; give the model's folder")
    if path.count("/") != 1 or path.startswith((".", "/", "~")):
        raise ModelError(f"no model folder at {path}")
    return path


def refuse_checkpoint(folder: Path) -> None:
    """A checkpoint as the start model would make the half-trained model its own reference.

    Raises:
        ModelError: ``folder`` is one, or cannot be read.
    """
    try:
        if not (folder / CHECKPOINT_MARK).is_file():
            return
    except OSError as error:
        raise ModelError(f"{folder}: cannot be read: {error.strerror}") from None
    raise ModelError(
        f"{folder} is a training checkpoint. As the start model it would become its own reference. "
        "To go on with that run, start it again with the same output_dir (train.resume: auto). To start a new stage "
        "from a finished run, give the run's output folder"
    )


def load_tokenizer(
    path: str, *, revision: str | None = None, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder or hub id."""
    with loading(f"the tokenizer of {path}"):
        return AutoTokenizer.from_pretrained(path, revision=revision, trust_remote_code=trust_remote_code)


@dataclass(frozen=True, slots=True)
class Quantization:
    """Frozen weights in few bits (Dettmers et al. 2023, arXiv:2305.14314), and the device that holds them."""

    kind: Literal["nf4", "fp4", "int8"]
    device: torch.device

    def arguments(self, compute: torch.dtype) -> dict[str, Any]:
        """What ``from_pretrained`` needs for it.

        Raises:
            ModelError: bitsandbytes is not installed, or the device is not a CUDA GPU (on a CPU it rounds the weights
                again when a model goes into eval mode, so policy and reference would differ).
        """
        if self.device.type != "cuda":
            raise ModelError(
                f"model.quantization: {self.kind} needs a CUDA GPU, not {self.device}; set model.quantization: null"
            )
        if find_spec("bitsandbytes") is None:
            raise ModelError(
                f"model.quantization: {self.kind} needs bitsandbytes: pip install 'preftune[quantization]', or set "
                "model.quantization: null"
            )
        four = self.kind != "int8"
        config = BitsAndBytesConfig(
            load_in_8bit=not four,
            load_in_4bit=four,
            bnb_4bit_quant_type=self.kind if four else "fp4",
            bnb_4bit_use_double_quant=four,
            bnb_4bit_compute_dtype=compute,
        )
        return {"quantization_config": config, "device_map": {"": self.device}}


def load_base(
    path: str,
    dtype: torch.dtype,
    *,
    revision: str | None = None,
    trust_remote_code: bool = False,
    quantization: Quantization | None = None,
    attention: str = "auto",
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model with every dropout of its config off, and the config values that this replaced."""
    more = {} if quantization is None else quantization.arguments(dtype)
    if attention == "flash_attention_2" and not is_flash_attn_2_available():
        raise ModelError(
            "model.attention: flash_attention_2 needs a GPU and the package flash-attn; use sdpa, or auto. The layouts "
            "packed and prefix_shared bring their own kernels in any case"
        )
    if attention != "auto":
        more["attn_implementation"] = attention
    with loading(f"the model {path}"):
        config = AutoConfig.from_pretrained(path, revision=revision, trust_remote_code=trust_remote_code)
        replaced = without_dropout(config.get_text_config())
        model = AutoModelForCausalLM.from_pretrained(
            path,
            config=config,
            dtype=dtype,
            revision=revision,
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
            **more,
        )
    return model, replaced


def stored_dtype(path: str, *, revision: str | None = None, trust_remote_code: bool = False) -> torch.dtype:
    """In what a model folder or hub id keeps its weights; float32 where it does not say."""
    with loading(f"the model {path}"):
        config = AutoConfig.from_pretrained(path, revision=revision, trust_remote_code=trust_remote_code)
    dtype = config.get_text_config().dtype or config.dtype
    return dtype if isinstance(dtype, torch.dtype) else torch.float32


def without_dropout(config: Any) -> dict[str, Any]:
    """Set every dropout rate of a config to zero; returns the old values."""
    rates = {
        name: value
        for name, value in config.to_dict().items()
        if ("dropout" in name or name.endswith("pdrop")) and isinstance(value, float) and value > 0
    }
    for name in rates:
        setattr(config, name, 0.0)
    return rates


def refuse_misfit(model: PreTrainedModel, largest_token: int, longest: int) -> None:
    """A token without an embedding, or a position that the model has none for, would fail far from its cause.

    ``largest_token`` is an id, ``longest`` the tokens of the longest prompt plus answer.

    Raises:
        ModelError: the tokenizer or ``data.max_length`` does not fit the model.
    """
    embeddings = len(model.get_input_embeddings().weight)  # type: ignore[arg-type]
    if largest_token >= embeddings:
        raise ModelError(
            f"the tokenizer writes token {largest_token}, but the model has embeddings for {embeddings} tokens only: "
            "they do not belong together"
        )
    positions = positions_of(model)
    if positions is not None and longest > positions:
        raise ModelError(
            f"the longest prompt and answer have {longest} tokens, but the model has {positions} positions: "
            f"set data.max_length: {positions}"
        )


def positions_of(model: PreTrainedModel) -> int | None:
    """Tokens that a model has positions for; None where its config sets no limit."""
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and notices of the library's own on the terminal."""
    bars, verbosity = hf_logging.is_progress_bar_enabled(), hf_logging.get_verbosity()
    hf_logging.disable_progress_bar()
    hf_logging.set_verbosity_error()
    try:
        yield
    finally:
        hf_logging.set_verbosity(verbosity)
        if bars:
            hf_logging.enable_progress_bar()


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Loading errors in one sentence."""
    try:
        with quiet():
            yield
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ModelError(f"{what} cannot be loaded: {lines[0] if lines else type(error).__name__}") from None


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters with gradient, by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}
