"""One update is AdamW on the mean DPO loss, written out plainly; what is not finite updates nothing."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
from torch import nn

from made import tiny_llama
from preftune.errors import NonFiniteError
from preftune.logprobs.reference import Frozen
from preftune.logprobs.scorer import CompletionScorer
from preftune.objectives import bind
from preftune.tokens.encode import EncodedGroup
from preftune.train.step import Method, measure, train_step

BETA, RATE = 0.3, 0.01


def method(model: nn.Module, *, budget: int = 10_000, norm: float = 1e9) -> Method:
    reference = Frozen(CompletionScorer(tiny_llama(seed=4, dtype=torch.float64)))
    return Method(CompletionScorer(model), reference, bind("sigmoid", beta=BETA), "prefix_shared", budget, norm)


def plain_loss(model: nn.Module, reference: nn.Module, groups: Sequence[EncodedGroup]) -> torch.Tensor:
    """-log sigmoid(beta * ((chosen - ref) - (rejected - ref))), mean over pairs, from whole logits."""

    def logprob(lm: nn.Module, group: EncodedGroup, side: int) -> torch.Tensor:
        answer = group.completions[side].ids
        ids = torch.tensor([*group.prompt.tolist(), *answer.tolist()])
        logprobs = lm(ids[None]).logits[0].log_softmax(-1)
        return sum(logprobs[at - 1, ids[at]] for at in range(len(group.prompt), len(ids)))

    total = torch.zeros((), dtype=torch.float64)
    for group in groups:
        with torch.no_grad():
            base = logprob(reference, group, 0) - logprob(reference, group, 1)
        margin = logprob(model, group, 0) - logprob(model, group, 1) - base
        total = total - torch.nn.functional.logsigmoid(BETA * margin)
    return total / len(groups)


@pytest.mark.parametrize("budget", [64, 10_000])
def test_an_update_is_the_plain_formulas(groups: list[EncodedGroup], budget: int) -> None:
    model = tiny_llama(dtype=torch.float64)
    plain, reference = copy.deepcopy(model), tiny_llama(seed=4, dtype=torch.float64)
    expected = plain_loss(plain, reference, groups)
    expected.backward()
    norm = torch.cat([p.grad.flatten() for p in plain.parameters()]).norm()
    torch.optim.SGD(plain.parameters(), lr=RATE).step()
    measured, gradient = train_step(groups, method(model, budget=budget), torch.optim.SGD(model.parameters(), lr=RATE))
    assert measured.meter.means()["loss"] == pytest.approx(float(expected.detach()), abs=1e-7)
    assert gradient == pytest.approx(float(norm), rel=1e-6)
    assert measured.meter.pairs == len(groups)
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-7, rtol=0)


def test_a_large_gradient_is_scaled_to_the_norm_and_logged_as_it_was(groups: list[EncodedGroup]) -> None:
    model = tiny_llama(dtype=torch.float64)
    before = torch.cat([p.detach().clone().flatten() for p in model.parameters()])
    _, norm = train_step(groups, method(model, norm=0.5), torch.optim.SGD(model.parameters(), lr=1.0))
    after = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert norm > 0.5
    assert float((after - before).norm()) == pytest.approx(0.5, rel=1e-4)


def test_measuring_is_the_same_loss_and_moves_nothing(groups: list[EncodedGroup]) -> None:
    model = tiny_llama(dtype=torch.float64).train()
    before = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        expected = plain_loss(model, tiny_llama(seed=4, dtype=torch.float64), groups)
    measured = measure(groups, method(model))
    assert measured is not None
    assert measured.meter.means()["loss"] == pytest.approx(float(expected), abs=1e-7)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert model.training
    assert all(p.grad is None for p in model.parameters())


def test_measuring_stops_where_it_is_told(groups: list[EncodedGroup]) -> None:
    seen: list[int] = []

    def proceed(pairs: int) -> bool:
        seen.append(pairs)
        return len(seen) < 2

    assert measure(groups, method(tiny_llama(dtype=torch.float64), budget=64), proceed=proceed) is None
    assert len(seen) == 2


def test_a_loss_that_is_not_finite_names_its_rows_and_updates_nothing(groups: list[EncodedGroup]) -> None:
    model = tiny_llama(dtype=torch.float64, tie_word_embeddings=False)
    token = int(groups[4].prompt[0])
    with torch.no_grad():
        model.model.embed_tokens.weight[token] = float("nan")
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    with pytest.raises(NonFiniteError, match=r"made\.jsonl:5"):
        train_step(groups, method(model), optimizer)
    assert all(torch.equal(a, b.detach()) or a.isnan().any() for a, b in zip(before, model.parameters(), strict=True))
    assert not optimizer.state


def test_a_gradient_that_is_not_finite_updates_nothing(groups: list[EncodedGroup]) -> None:
    model = tiny_llama(dtype=torch.float64)
    model.model.norm.weight.register_hook(lambda gradient: gradient * float("inf"))
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    with pytest.raises(NonFiniteError, match="gradient of this step is (inf|nan); nothing was updated"):
        train_step(groups, method(model), optimizer)
    assert all(torch.equal(a, b.detach()) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())
    assert not optimizer.state
