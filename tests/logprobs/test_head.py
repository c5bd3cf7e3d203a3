"""The chunked head equals the plain one: values, gradients, transforms, a frozen and a trained head."""

from __future__ import annotations

import pytest
import torch

from preftune.logprobs.head import LogitTransform, module_logprobs, token_logprobs

TRANSFORMS = [LogitTransform(), LogitTransform(scale=0.25), LogitTransform(cap=3.0), LogitTransform(2.0, 3.0)]


def plain(hidden, weight, bias, targets, transform):
    logits = transform.scale * torch.nn.functional.linear(hidden, weight, bias)
    if transform.cap is not None:
        logits = transform.cap * torch.tanh(logits / transform.cap)
    return logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    hidden, weight = torch.randn(11, 6, dtype=torch.float64), torch.randn(17, 6, dtype=torch.float64)
    return hidden, weight, torch.randn(17, dtype=torch.float64), torch.randint(0, 17, (11,))


def run(function, inputs, trained):
    hidden, weight, bias = (x.clone().requires_grad_(name in trained) for x, name in zip(inputs, "hwb", strict=False))
    out = function(hidden, weight, bias, inputs[3])
    (out * torch.linspace(-1, 2, len(out), dtype=out.dtype)).sum().backward()
    return [out.detach(), *(x.grad for x in (hidden, weight, bias))]


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("trained", ["h", "hw", "hwb", "w"])
@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize("kept_rows", [0, 5, 100])
def test_chunked_head_equals_the_plain_one(inputs, transform, trained, chunk, kept_rows, monkeypatch):
    monkeypatch.setattr("preftune.logprobs.head.KEPT_BYTES", kept_rows * 17 * 8)
    ours = run(lambda *a: token_logprobs(*a, transform, chunk)[0], inputs, trained)
    theirs = run(lambda *a: plain(*a, transform), inputs, trained)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_a_head_module_gives_the_same_and_trains(inputs):
    hidden, weight, bias, targets = inputs
    head = torch.nn.Linear(6, 17, dtype=torch.float64)
    head.load_state_dict({"weight": weight, "bias": bias})
    leaf = hidden.clone().requires_grad_()
    out = module_logprobs(leaf, head, targets, TRANSFORMS[3], chunk=4)[0]
    torch.testing.assert_close(out, plain(hidden, weight, bias, targets, TRANSFORMS[3]))
    out.sum().backward()
    assert leaf.grad.abs().sum() > 0
    assert head.weight.grad.abs().sum() > 0


def test_half_precision_inputs_are_summed_in_fp32(inputs):
    hidden, weight, _, targets = inputs
    out = token_logprobs(hidden.bfloat16(), weight.bfloat16(), None, targets, LogitTransform(), 4)[0]
    assert out.dtype == torch.float32
    exact = plain(hidden.bfloat16().float(), weight.bfloat16().float(), None, targets, LogitTransform())
    torch.testing.assert_close(out, exact)


@pytest.mark.parametrize("chunk", [3, 100])
def test_the_token_statistic_is_the_log_of_the_summed_squared_probabilities(inputs, chunk):
    hidden, weight, bias, targets = inputs
    head = torch.nn.Linear(6, 17, dtype=torch.float64)
    head.load_state_dict({"weight": weight, "bias": bias})
    expected = torch.nn.functional.linear(hidden, weight, bias).softmax(-1).square().sum(-1).log()
    _, ours = token_logprobs(hidden, weight, bias, targets, LogitTransform(), chunk, statistics=True)
    torch.testing.assert_close(ours, expected)
    _, module = module_logprobs(hidden, head, targets, LogitTransform(), chunk, statistics=True)
    torch.testing.assert_close(module, expected)


@pytest.mark.parametrize("trained", ["h", "hwb"])
def test_a_bf16_matrix_is_widened_in_blocks_without_a_difference(inputs, trained, monkeypatch):
    hidden, weight, bias, targets = inputs
    narrow = (hidden.float(), weight.bfloat16(), bias.bfloat16(), targets)
    whole = run(lambda *a: token_logprobs(*a, TRANSFORMS[3])[0], narrow, trained)
    monkeypatch.setattr("preftune.logprobs.head._BLOCK", 5)
    blocks = run(lambda *a: token_logprobs(*a, TRANSFORMS[3])[0], narrow, trained)
    for a, b in zip(whole, blocks, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_backward_may_be_asked_twice(inputs):
    hidden, weight, _, targets = inputs
    leaf, matrix = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
    total = token_logprobs(leaf, matrix, None, targets, LogitTransform(cap=2.0))[0].sum()
    first, second = (torch.autograd.grad(total, (leaf, matrix), retain_graph=True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_logits_far_apart_give_finite_log_probs_and_gradients():
    hidden = torch.tensor([[300.0], [-300.0]], requires_grad=True)
    weight = torch.tensor([[1.0], [0.0], [-1.0]], requires_grad=True)
    out = token_logprobs(hidden, weight, None, torch.tensor([2, 2]), LogitTransform())[0]
    torch.testing.assert_close(out.detach(), torch.tensor([-600.0, 0.0]))
    out.sum().backward()
    torch.testing.assert_close(hidden.grad, torch.tensor([[-2.0], [0.0]]))
