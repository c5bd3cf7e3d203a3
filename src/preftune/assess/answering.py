"""Answers of a model to conversations: in batches, or one as it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase, TextStreamer

from ..errors import TemplateError
from ..tokens.dates import on_a_fixed_day
from .sampling import end_tokens, own_settings_aside, room

Turns = Sequence[Mapping[str, str]]
"""Messages with ``role`` and ``content``."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen; ``temperature`` 0 takes the most likely one."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


def render(tokenizer: PreTrainedTokenizerBase, turns: Turns) -> list[int]:
    """Token ids of a conversation with the header of the answer; without a chat template, of the last turn's text.

    Raises:
        TemplateError: the template refuses the conversation.
    """
    if not tokenizer.chat_template:
        return list(tokenizer(turns[-1]["content"]).input_ids)
    return rendered(tokenizer, turns, header=True)


def rendered(tokenizer: PreTrainedTokenizerBase, turns: Turns, *, header: bool) -> list[int]:
    """Token ids of a conversation under the chat template, with or without the header of a further answer.

    A template that writes the date writes the same day as in training.

    Raises:
        TemplateError: the template refuses the conversation.
    """
    try:
        source = on_a_fixed_day(tokenizer.get_chat_template())
        text = tokenizer.apply_chat_template(
            [dict(turn) for turn in turns], chat_template=source, tokenize=False, add_generation_prompt=header
        )
    except TemplateError:
        raise
    except Exception as error:  # noqa: BLE001 - a template is a program of somebody else's and may raise anything
        said = str(error) or type(error).__name__
        raise TemplateError(f"the chat template refuses this conversation: {said}") from None
    return list(tokenizer(str(text), add_special_tokens=False).input_ids)


@torch.no_grad()
def answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    say: Callable[[str], None] | None = None,
) -> list[str]:
    """One answer for each prompt, all in one batch; ``say`` is told the text of an only one while it is written.

    Raises:
        ModelError: a prompt is too long for the model.
    """
    longest, pad = max(map(len, prompts)), _pad(tokenizer)
    ids = torch.tensor([[pad] * (longest - len(p)) + list(p) for p in prompts], device=model.device)
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=model.device)
    chosen = _generation(model, tokenizer, sampling, longest)
    torch.manual_seed(sampling.seed)
    generate: Any = model.generate
    with own_settings_aside(model):
        output = generate(
            input_ids=ids,
            attention_mask=mask,
            generation_config=chosen,
            streamer=_Saying(tokenizer, say) if say else None,
        )
    return [str(text).strip() for text in tokenizer.batch_decode(output[:, longest:], skip_special_tokens=True)]


def _generation(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sampling: Sampling, longest: int
) -> GenerationConfig:
    """How tokens are chosen, and where an answer ends; ``longest``: tokens of the longest prompt."""
    sample = sampling.temperature > 0
    chosen = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0} if sample else {}
    return GenerationConfig(
        max_new_tokens=room(model, longest, sampling.max_new_tokens),
        do_sample=sample,
        eos_token_id=end_tokens(model, tokenizer) or None,
        pad_token_id=_pad(tokenizer),
        **chosen,
    )


def _pad(tokenizer: PreTrainedTokenizerBase) -> int:
    return int(next(i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if i is not None))


class _Saying(TextStreamer):
    """Hands on text as it becomes whole words."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, say: Callable[[str], None]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._say = say

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:  # noqa: ARG002
        self._say(text)
