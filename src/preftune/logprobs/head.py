"""Log-probabilities of given tokens from hidden states: a chunk of the vocabulary matrix at a time, own autograd.

Logits exist for at most ``chunk`` targets at once, in fp32 or wider. With a frozen head (LoRA) the gradient with
respect to the hidden states is formed in the forward pass, so that backward only scales it. With a trained head the
softmax of the first chunks is kept, as far as ``KEPT_BYTES`` go; that of the others is computed again in backward.
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
KEPT_BYTES = 256 << 20
"""Softmax values of a trained head that one call holds until its backward pass, at most."""
_BLOCK = 8_192
"""Rows of a bf16 vocabulary matrix that are widened at once where no kernel multiplies bf16 and writes fp32."""


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

    def slope(self, logits: Tensor) -> Tensor | float | None:
        """Derivative of the transform at the transformed logits; None where it is 1."""
        if self.cap is not None:
            return (logits / self.cap).square_().neg_().add_(1).mul_(self.scale)
        return None if self.scale == 1.0 else self.scale


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
        head = _Head(h, w, b, transform)
        need_h, trained = ctx.needs_input_grad[0], any(ctx.needs_input_grad[1:3])
        kept_rows = KEPT_BYTES // (len(w) * head.dtype.itemsize) if trained else 0
        out, log_sum_sq = (h.new_empty(n, dtype=head.dtype) for n in (len(y), len(y) if statistics else 0))
        slopes = h.new_empty(h.shape, dtype=head.dtype) if need_h and not trained else None
        kept: list[Tensor] = []
        buffer = None
        for part in _chunks(len(y), chunk):
            keep = part.stop <= kept_rows
            logits = head.logits(h[part], out=None if keep else buffer)
            softmax = _Softmax(logits, y[part], transform, differentiable=keep or slopes is not None)
            out[part] = softmax.logprobs
            if statistics:
                log_sum_sq[part] = softmax.log_sum_sq()
            if keep:
                kept.append(softmax.gradient_())
                continue
            buffer = logits
            if slopes is not None:
                head.pull_back(softmax.gradient_(), out=slopes[part])
        ctx.transform, ctx.chunk, ctx.frozen = transform, chunk, slopes is not None
        ctx.save_for_backward(slopes) if ctx.frozen else ctx.save_for_backward(h, w, b, y, *kept)
        ctx.mark_non_differentiable(log_sum_sq)
        return out, log_sum_sq

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.frozen:
            (slopes,) = ctx.saved_tensors
            return (slopes * g[:, None], *(None,) * 6)
        h, w, b, y, *kept = ctx.saved_tensors
        need_h, need_w, need_b = ctx.needs_input_grad[:3]
        head = _Head(h, w, b, ctx.transform)
        dh = h.new_empty(h.shape, dtype=head.dtype) if need_h else None
        dw, db, buffer = None, None, None
        for number, part in enumerate(_chunks(len(y), ctx.chunk)):
            if number < len(kept):
                gradient = kept[number]
            else:
                buffer = head.logits(h[part], out=buffer)
                gradient = _Softmax(buffer, y[part], ctx.transform, differentiable=True).gradient_()
            # Gradients of the rows are scaled by g where they are small: in dh, and in the hidden states for dw.
            if dh is not None:
                head.pull_back(gradient, out=dh[part]).mul_(g[part, None])
            if need_w:
                dw = head.weight_gradient(gradient, h[part] * g[part, None], dw)
            if need_b:
                db = gradient.t().mv(g[part]) if db is None else db.addmv_(gradient.t(), g[part])
        return _like(dh, h), _like(dw, w), _like(db, b), None, None, None, None


class _Head:
    """Products with the vocabulary matrix [V, H] in fp32 or wider, without a wide copy of a narrow one."""

    def __init__(self, h: Tensor, w: Tensor, b: Tensor | None, transform: LogitTransform) -> None:
        narrow = torch.bfloat16 in (h.dtype, w.dtype)
        self.fused = narrow and h.is_cuda  # one kernel there multiplies bf16 and writes fp32
        self.w, self.b, self.transform = w.bfloat16() if self.fused else w, b, transform
        self.dtype = torch.float32 if narrow else w.dtype

    def logits(self, h: Tensor, out: Tensor | None) -> Tensor:
        """``transform(h @ w.T + b)`` [n, V], in the memory of ``out`` where that is given."""
        if self.fused:
            logits = torch.mm(h.bfloat16(), self.w.t(), out_dtype=torch.float32)
        else:
            logits = h.new_empty(len(h), len(self.w), dtype=self.dtype) if out is None else out[: len(h)]
            for columns, block in self._blocks():
                torch.mm(h.to(self.dtype), block.t(), out=logits[:, columns])
        if self.b is not None:
            logits += self.b
        return self.transform.apply_(logits)

    def pull_back(self, gradient: Tensor, out: Tensor) -> Tensor:
        """``out = gradient @ w`` [n, H]."""
        if self.fused:
            return out.copy_(torch.mm(gradient.bfloat16(), self.w, out_dtype=torch.float32))
        for columns, block in self._blocks():
            out.addmm_(gradient[:, columns], block, beta=1 if columns.start else 0)
        return out

    def weight_gradient(self, gradient: Tensor, h: Tensor, so_far: Tensor | None) -> Tensor:
        """``so_far + gradient.T @ h`` [V, H]."""
        if self.fused:
            product = torch.mm(gradient.bfloat16().t(), h.bfloat16(), out_dtype=torch.float32)
            return product if so_far is None else so_far.add_(product)
        wide = h.to(self.dtype)
        return torch.mm(gradient.t(), wide) if so_far is None else so_far.addmm_(gradient.t(), wide)

    def _blocks(self) -> Iterator[tuple[slice, Tensor]]:
        rows = _BLOCK if self.w.dtype != self.dtype else len(self.w)
        return ((part, self.w[part].to(self.dtype)) for part in _chunks(len(self.w), rows))


class _Softmax:
    """Log-probs of targets from logits, in the logits' own memory; after ``gradient_`` only that is left there."""

    def __init__(self, logits: Tensor, targets: Tensor, transform: LogitTransform, *, differentiable: bool) -> None:
        self._targets = targets[:, None]
        self._slope = transform.slope(logits) if differentiable else None
        picked = logits.gather(1, self._targets)
        largest = logits.amax(1, keepdim=True)
        self._powers: Tensor = logits.sub_(largest).exp_()
        self._total = self._powers.sum(1, keepdim=True)
        self.logprobs = (picked - largest - self._total.log())[:, 0]

    def log_sum_sq(self) -> Tensor:
        """``log sum_v p(v)^2`` per row."""
        norm: Tensor = torch.linalg.vector_norm(self._powers, dim=1)
        return 2 * (norm / self._total[:, 0]).log()

    def gradient_(self) -> Tensor:
        """d logp / d (logits before the transform): (onehot(target) - softmax) times the transform's slope."""
        gradient = self._powers
        gradient.div_(-self._total).scatter_add_(1, self._targets, torch.ones_like(self._total))
        if self._slope is not None:
            gradient.mul_(self._slope)
        return gradient


def _like(gradient: Tensor | None, tensor: Tensor | None) -> Tensor | None:
    return gradient if gradient is None or tensor is None else gradient.to(tensor.dtype)
