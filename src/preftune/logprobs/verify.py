"""Start-up self-check: which layout this model computes exactly, measured on real groups against its own logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..errors import ModelError, NonFiniteError
from ..tokens.encode import Completion, EncodedGroup
from ..tokens.layouts import LAYOUTS, Layout
from .attention import UnsupportedAttention, attention
from .scorer import CompletionScorer, causal_lm
from .types import SequenceLogprobs

PREFERRED = ("prefix_shared", "packed", "padded")
"""Layouts from fastest to most general."""


@dataclass(frozen=True, slots=True)
class LayoutChoice:
    """The layout that a run uses, why, and the noise measured with it (nats per token, largest)."""

    name: str
    reason: str
    noise: float

    @property
    def layout(self) -> Layout:
        """The layout function."""
        return LAYOUTS[self.name]


def choose_layout(scorer: CompletionScorer, groups: Sequence[EncodedGroup], wanted: str = "auto") -> LayoutChoice:
    """The first layout that passes the self-check on ``groups`` (two or three real ones, best short).

    Raises:
        ModelError: the layout asked for, or every layout, gives other log-probs than the model's own logits.
        NonFiniteError: the model's own log-probs are NaN or infinite.
    """
    names = PREFERRED if wanted == "auto" else (wanted,)
    failures: list[str] = []
    truth = model_logprobs(scorer, groups)
    if not bool(truth.isfinite().all()):
        bad = [g for g in groups if not bool(model_logprobs(scorer, [g]).isfinite().all())]
        raise NonFiniteError(
            f"the model's own log-probs of these rows are not finite: {', '.join(str(g.origin) for g in bad)}. Its "
            "weights hold NaN, infinity or numbers too large for the dtype (model.dtype); nothing was updated"
        )
    for name in names:
        noise, fault = _check(scorer, name, groups, truth)
        if fault is None:
            why = "; ".join(failures) or (
                "exact on this model" if wanted == "auto" else "as asked; exact on this model"
            )
            return LayoutChoice(name, why, noise)
        failures.append(f"{name}: {fault}")
    remedy = "train.layout: auto picks one that is" if wanted != "auto" else "this architecture cannot be trained"
    raise ModelError(f"no exact layout for {type(causal_lm(scorer.model)).__name__} ({'; '.join(failures)}); {remedy}")


@torch.no_grad()
def model_logprobs(scorer: CompletionScorer, groups: Sequence[EncodedGroup]) -> Tensor:
    """Per-token log-probs (nats) from the model's own logits, one unpadded sequence at a time: the plain truth."""
    lm, parts = causal_lm(scorer.model), []
    with scorer.cast(), attention(lm, scorer.plain_attention):
        for group in groups:
            for completion in group.completions:
                ids = torch.from_numpy(np.concatenate([group.prompt, completion.ids]).astype(np.int64))
                logits = lm(input_ids=ids[None].to(scorer.device), use_cache=False).logits[0]
                wide = logits if logits.dtype == torch.float64 else logits.float()
                parts.append(_picked(wide.log_softmax(-1), ids.to(scorer.device), group, completion))
    return torch.cat(parts)


def _picked(logprobs: Tensor, ids: Tensor, group: EncodedGroup, completion: Completion) -> Tensor:
    first = len(group.prompt)
    positions = [first + i for i, scored in enumerate(completion.scored) if scored and first + i > 0]
    at = torch.tensor(positions, device=ids.device)
    return logprobs[at - 1, ids[at]]


@torch.no_grad()
def _check(
    scorer: CompletionScorer, name: str, groups: Sequence[EncodedGroup], truth: Tensor
) -> tuple[float, str | None]:
    """Largest difference per token to the model's own logits, and what is wrong if anything is."""
    try:
        ours = scorer(LAYOUTS[name](groups))
        moved = 0.0 if name == "padded" else _leak(scorer, LAYOUTS[name], groups, ours)
    except (UnsupportedAttention, TypeError, ValueError, RuntimeError) as error:
        return 0.0, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    noise = float((ours.tokens - truth).abs().max())
    if not noise <= tolerance(scorer):
        return noise, f"log-probs differ from the model's own by {noise:.1e} nats per token"
    if moved > (0.0 if scorer.device.type == "cpu" else tolerance(scorer)):
        return noise, f"one answer moves another's log-prob by {moved:.1e} nats"
    return noise, None


def _leak(scorer: CompletionScorer, layout: Layout, groups: Sequence[EncodedGroup], before: SequenceLogprobs) -> float:
    """How far other completions move when the first one is replaced by other tokens: bitwise nothing, if exact."""
    first = groups[0].completions[0]
    other = replace(
        groups[0], completions=(Completion(first.ids[::-1].copy(), first.scored), *groups[0].completions[1:])
    )
    after = scorer(layout([other, *groups[1:]]))
    rest = before.sequence > 0
    return float((before.tokens - after.tokens)[rest].abs().max())


def tolerance(scorer: CompletionScorer) -> float:
    """Rounding allowed per token (nats) in the compute dtype."""
    dtype = scorer.autocast or next(scorer.model.parameters()).dtype
    return {torch.float64: 1e-9, torch.float32: 2e-3}.get(dtype, 0.25)
