"""Turn the demo model's quantised GGUF file into a plain float32 model folder, and prove that nothing changed."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PROBE = "Write 3 lines:\n\n1. 你好,世界 😀\n  2. don't stop\t\n3.  end"
"""Text that a damaged tokenizer or embedding would show: digits after blank lines, Chinese, an emoji, tabs."""


def convert_gguf(source: Path, target: Path) -> None:
    """Write ``target`` (a new folder): float32 safetensors, config, tokenizer and chat template of ``source``.

    Raises ModelError where the folder, read back, does not compute the same logits or encode the same text.
    """
    with quiet_transformers(), fast_gguf():
        tokenizer = load_tokenizer(source)
        model = load_dense(source)
        tokenizer.model_max_length = model.config.max_position_embeddings
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)
        verify_folder(target, model, tokenizer)


def load_tokenizer(source: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in ``source``, with digits split as the file's ``tokenizer.ggml.pre = smollm`` asks."""
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name, local_files_only=True)
    # transformers reads the vocabulary but not the pre-tokenizer's name, and would encode "\n\n1." with other tokens
    # than the model was trained on.
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
    return tokenizer


def load_dense(source: Path) -> PreTrainedModel:
    """The model in ``source`` in float32, without the marks of a quantised model, which ``save_pretrained`` refuses."""
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, dtype=torch.float32, local_files_only=True
    )
    model.hf_quantizer = None
    model.is_quantized = False
    del model.config.quantization_config
    del model.config._model_name_or_path  # the training run's title, which nobody can load
    dense: PreTrainedModel = model.eval()
    return dense


def verify_folder(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise ModelError unless ``folder`` loads as the same model and tokenizer, ready for chat."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    again = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    ids = again(PROBE)["input_ids"]
    if ids != tokenizer(PROBE)["input_ids"] or again.decode(ids) != PROBE:
        raise ModelError(f"{folder}: the saved tokenizer does not encode text as the original does")
    if again.chat_template is None or again.chat_template != tokenizer.chat_template:
        raise ModelError(f"{folder}: the chat template was lost in saving")
    if len(again) != model.config.vocab_size or again.eos_token_id != model.config.eos_token_id:
        raise ModelError(f"{folder}: tokenizer and model disagree on vocabulary size or end token")
    saved = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()
    with torch.no_grad():
        batch = torch.tensor([ids])
        if saved.dtype != torch.float32 or not torch.equal(saved(batch).logits, model(batch).logits):
            raise ModelError(f"{folder}: the saved model does not compute what the original computes")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No progress bars and no notices below errors from transformers inside; the caller's settings come back after."""
    from transformers import modeling_gguf_pytorch_utils
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        # The GGUF reader takes its bar from tqdm itself, which transformers' own switch does not reach.
        with swapped(modeling_gguf_pytorch_utils, "tqdm", lambda rows, **_: rows):
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def fast_gguf() -> Iterator[None]:
    """Read GGUF three times faster inside, with equal results; the gguf package is as before afterwards.

    Its reader slices a ``numpy.memmap`` some hundred thousand times, each time at the price of a subclass instance,
    and its table of tensor names is rebuilt for every module of the model.
    """
    import gguf
    import numpy
    from gguf import gguf_reader

    names = functools.cache(gguf.get_tensor_name_map)
    with (
        swapped(gguf_reader, "np", _PlainMemmap(numpy)),
        swapped(gguf, "get_tensor_name_map", names),
    ):
        yield


@contextmanager
def swapped(owner: Any, name: str, value: Any) -> Iterator[None]:
    """``owner.name`` is ``value`` inside, and what it was afterwards."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


class _PlainMemmap:
    """The numpy module, but ``memmap`` gives the mapped file as an ordinary array."""

    def __init__(self, numpy: Any) -> None:
        self._numpy = numpy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._numpy, name)

    def memmap(self, *args: Any, **kwargs: Any) -> Any:
        return self._numpy.memmap(*args, **kwargs).view(self._numpy.ndarray)
