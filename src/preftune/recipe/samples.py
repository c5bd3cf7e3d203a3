"""One held-out prompt, answered before and after training."""

from __future__ import annotations

from ..assess.generate import greedy_answer
from ..logprobs.reference import evaluating
from ..runs.display import Reporter
from .data import RunData
from .policy import Policy


def show_before_and_after(data: RunData, policy: Policy, reporter: Reporter) -> None:
    """Greedy answers to the shortest held-out prompt, the adapter off and on; nothing without an adapter."""
    if not data.held_out or not policy.is_adapter:
        return
    model = policy.scorer.model
    group = min(data.held_out, key=lambda g: (len(g.prompt), g.pair_id))
    prompt = group.prompt.tolist()
    with evaluating(model):
        with model.disable_adapter():  # type: ignore[operator]
            before = greedy_answer(model, policy.tokenizer, prompt)
        after = greedy_answer(model, policy.tokenizer, prompt)
    reporter.note(f"one held-out prompt ({group.origin}):")
    reporter.note(str(policy.tokenizer.decode(prompt)).strip())
    reporter.note(f"before: {before}")
    reporter.note(f"after:  {after}")
