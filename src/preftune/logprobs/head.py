"""Log-probabilities of given tokens from hidden states: a chunk of the vocabulary matrix at a time, own autograd.

Logits exist for at most ``chunk`` targets at once, in fp32 or wider. With a frozen head (LoRA) the gradient with
respect to the hidden states is formed in the forward pass, so that backward only scales it; with a trained head
the logits of a chunk are computed again in backward.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

CHUNK = 256
"""Targets per chunk: about 50 MB of fp32 logits for a vocabulary of 49,152."""


@dataclass(frozen=True, slots=True)
class LogitTransform:
    """What a model does to its logits after the head: ``cap * tanh(scale * x / cap)``, or ``scale * x``."""

    scale: float = 1.0
    cap: float | None = None

    def apply_(self, logits: Tensor) -> Tensor:
        """In place on a tensor that nobody else holds."""
        if self.scale != 1.0:
            logits.mul_(self.scale)
        return logits if self.cap is None else logits.div_(self.cap).tanh_().mul_(self.cap)

    def slope_(self, gradient: Tensor, logits: Tensor) -> Tensor:
        """Gradient before the transform, from the gradient after it and the transformed logits (in place)."""
        if self.cap is not None:
            gradient.mul_(1 - (logits / self.cap).square())
        return gradient.mul_(self.scale) if self.scale != 1.0 else gradient


def token_logprobs(
    hidden: Float[Tensor, "targets width"],
    weight: Float[Tensor, "vocab width"],
    bias: Float[Tensor, " vocab"] | None,
    targets: Int[Tensor, " targets"],
    transform: LogitTransform,
    chunk: int = CHUNK,
    *,
    statistics: bool = False,
) -> tuple[Float[Tensor, " targets"], Float[Tensor, " targets"] | None]:
    """``log softmax(transform(hidden @ weight.T + bias))[target]`` in nats, fp32 or wider.

    With ``statistics`` also ``log sum_v p(v)^2`` at each position, without gradient; else None.
    """
    logprobs, log_sum_sq = _TokenLogprobs.apply(hidden, weight, bias, targets, transform, chunk, statistics)
    return logprobs, (log_sum_sq if statistics else None)


def module_logprobs(
    hidden: Float[Tensor, "targets width"],
    head: torch.nn.Module,
    targets: Int[Tensor, " targets"],
    transform: LogitTransform,
    chunk: int = CHUNK,
    *,
    statistics: bool = False,
) -> tuple[Float[Tensor, " targets"], Float[Tensor, " targets"] | None]:
    """The same for a head that is not a plain linear layer (LoRA on the head): each chunk is checkpointed."""

    def one(h: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        logits = transform.apply_(_wide(head(h)) * 1.0)
        log_total = logits.logsumexp(1)
        return logits.gather(1, y[:, None])[:, 0] - log_total, _log_sum_sq(
            logits.detach(), log_total.detach(), statistics
        )

    parts = [checkpoint(one, hidden[s], targets[s], use_reentrant=False) for s in _chunks(len(targets), chunk)]
    logprobs, log_sum_sq = (torch.cat(column) for column in zip(*parts, strict=True))
    return logprobs, (log_sum_sq if statistics else None)


def _log_sum_sq(logits: Tensor, log_total: Tensor, wanted: bool) -> Tensor:
    """``log sum_v p(v)^2`` per row; an empty tensor where it is not wanted."""
    return (2 * logits).logsumexp(1) - 2 * log_total if wanted else logits.new_empty(0)


def _chunks(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


class _TokenLogprobs(torch.autograd.Function):
    """Shapes: h [N, H], w [V, H], b [V] or None, y [N]; returns [N] and [N] or [0]."""

    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        w: Tensor,
        b: Tensor | None,
        y: Tensor,
        transform: LogitTransform,
        chunk: int,
        statistics: bool,
    ) -> tuple[Tensor, Tensor]:
        w_wide, frozen = _wide(w), ctx.needs_input_grad[0] and not any(ctx.needs_input_grad[1:3])
        out = torch.empty(len(y), dtype=w_wide.dtype, device=h.device)
        log_sum_sq = torch.empty(len(y) if statistics else 0, dtype=w_wide.dtype, device=h.device)
        slopes = torch.empty(h.shape, dtype=w_wide.dtype, device=h.device) if frozen else None
        for part in _chunks(len(y), chunk):
            logits = _logits(h[part], w_wide, b, transform)
            log_total = logits.logsumexp(1, keepdim=True)
            out[part] = logits.gather(1, y[part, None]).sub_(log_total)[:, 0]
            if statistics:
                log_sum_sq[part] = _log_sum_sq(logits, log_total[:, 0], True)
            if slopes is not None:
                gradient = _logit_gradient(logits, log_total, y[part], transform)
                torch.mm(gradient, w_wide, out=slopes[part])
        ctx.transform, ctx.chunk, ctx.frozen = transform, chunk, frozen
        ctx.save_for_backward(slopes) if frozen else ctx.save_for_backward(h, w, b, y)
        ctx.mark_non_differentiable(log_sum_sq)
        return out, log_sum_sq

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.frozen:
            (slopes,) = ctx.saved_tensors
            return (slopes * g[:, None], *(None,) * 6)
        h, w, b, y = ctx.saved_tensors
        need_h, need_w, need_b = ctx.needs_input_grad[:3]
        w_wide = _wide(w)
        dh = torch.empty(h.shape, dtype=w_wide.dtype, device=h.device) if need_h else None
        dw = torch.zeros_like(w_wide) if need_w else None
        db = torch.zeros_like(_wide(b)) if need_b else None
        for part in _chunks(len(y), ctx.chunk):
            logits = _logits(h[part], w_wide, b, ctx.transform)
            gradient = _logit_gradient(logits, logits.logsumexp(1, keepdim=True), y[part], ctx.transform)
            gradient.mul_(g[part, None])
            if dh is not None:
                torch.mm(gradient, w_wide, out=dh[part])
            if dw is not None:
                dw.addmm_(gradient.t(), _wide(h[part]))
            if db is not None:
                db += gradient.sum(0)
        return _like(dh, h), _like(dw, w), _like(db, b), None, None, None, None


def _like(gradient: Tensor | None, tensor: Tensor | None) -> Tensor | None:
    return gradient if gradient is None or tensor is None else gradient.to(tensor.dtype)


def _logits(h: Tensor, w: Tensor, b: Tensor | None, transform: LogitTransform) -> Tensor:
    logits = torch.mm(_wide(h), w.t())
    if b is not None:
        logits += b
    return transform.apply_(logits)


def _logit_gradient(logits: Tensor, log_total: Tensor, y: Tensor, transform: LogitTransform) -> Tensor:
    """d logp / d (logits before the transform) = onehot(y) - softmax, through the transform's slope."""
    gradient = (logits - log_total).exp_().neg_()
    gradient.scatter_add_(1, y[:, None], torch.ones_like(gradient[:, :1]))
    return transform.slope_(gradient, logits)
