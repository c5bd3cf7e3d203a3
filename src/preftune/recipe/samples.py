"""One held-out prompt, answered before and after training."""

from __future__ import annotations

from dataclasses import dataclass

from ..assess.answering import Sampling, answers
from ..logprobs.attention import attention
from ..logprobs.reference import evaluating
from ..logprobs.scorer import causal_lm
from ..runs.display import Reporter
from .data import RunData
from .policy import Policy

_GREEDY = Sampling(max_new_tokens=80)


@dataclass(frozen=True, slots=True)
class Sample:
    """A prompt as the model reads it, where it is from, and two greedy answers to it."""

    file: str
    row: int
    prompt: str
    before: str
    after: str


def before_and_after(data: RunData, policy: Policy) -> tuple[Sample, ...]:
    """Of the shortest held-out prompt, the adapter off and on; nothing without an adapter."""
    if not data.held_out or not policy.is_adapter:
        return ()
    model = policy.scorer.model
    group = min(data.held_out, key=lambda g: (len(g.prompt), g.pair_id))
    prompt = group.prompt.tolist()
    lm = causal_lm(model)
    with evaluating(model), attention(lm, policy.scorer.plain_attention):
        with model.disable_adapter():  # type: ignore[operator]
            (before,) = answers(lm, policy.tokenizer, [prompt], _GREEDY)
        (after,) = answers(lm, policy.tokenizer, [prompt], _GREEDY)
    text = str(policy.tokenizer.decode(prompt)).strip()
    return (Sample(group.origin.file, group.origin.row, text, before, after),)


def show_sample(sample: Sample, reporter: Reporter) -> None:
    """Prompt and both answers, as notes."""
    reporter.note(f"one held-out prompt ({sample.file}:{sample.row}):")
    reporter.note(sample.prompt)
    reporter.note(f"before: {sample.before}")
    reporter.note(f"after:  {sample.after}")
