"""What a run will cost: shown before it, stored with it, and found without touching the model."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from made import random_group, tiny_llama
from preftune.cli.main import main
from preftune.logprobs.attention import checkpointing
from preftune.logprobs.probe import probe
from preftune.logprobs.scorer import CompletionScorer
from preftune.models.lora import add_lora
from preftune.recipe import train
from preftune.recipe.cost import Tokens
from preftune.recipe.estimate import Workload
from preftune.tokens.layouts import LAYOUTS, layout_cost
from preftune.tokens.sampler import Sampler
from run_helpers import checked, settings

GROUPS = [random_group(Random(row), row) for row in range(20)]


def test_dry_run_shows_tokens_memory_and_time(
    model_folder: Path, pairs_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(settings(model_folder, pairs_file, tmp_path / "out")), encoding="utf-8")
    assert main(["train", str(config), "--dry-run", "--plain"]) == 0
    shown = capsys.readouterr().out
    for line in ("tokens: ", "shared prompts save", "memory: about ", "time: about "):
        assert line in shown
    assert not (tmp_path / "out").exists()


def test_the_estimate_is_stored_with_the_run(model_folder: Path, pairs_file: Path, tmp_path: Path) -> None:
    train(checked(settings(model_folder, pairs_file, tmp_path / "out")))
    summary = json.loads((tmp_path / "out/dpo_metrics/summary.json").read_text(encoding="utf-8"))
    record = json.loads((tmp_path / "out/run/run.json").read_text(encoding="utf-8"))
    plan = summary["plan"]
    assert record["sessions"][0]["plan"] == plan
    assert plan["layout"]["name"] == "prefix_shared"
    assert (plan["steps"], plan["warmup_steps"], plan["learning_rate"]) == (6, 1, 0.01)
    memory = plan["memory"]
    assert memory["peak_bytes"] > memory["process_bytes"] + memory["policy_bytes"] > 0
    assert memory["optimizer_bytes"] == 2 * memory["gradients_bytes"] == 2 * memory["adapter_bytes"]
    assert plan["tokens"]["per_pair"] < plan["tokens"]["without_sharing"] < plan["tokens"]["with_padding"]


def test_a_long_pair_counts_however_late_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preftune.recipe.estimate._STEPS", 5)
    late = random_group(Random(0), 20, prompt=400)
    order = Sampler(len(GROUPS) + 1, 1, shuffle=False)
    data: Any = SimpleNamespace(train=[*GROUPS, late])

    def tokens(steps: int) -> Tokens:
        return Workload(data, order, steps, 0, "prefix_shared", budget=64, processes=1).tokens()

    with_it, without = tokens(steps=21), tokens(steps=20)
    assert with_it.largest_micro_batch == layout_cost("prefix_shared", [late]) > 400 > without.largest_micro_batch
    assert (with_it.longer_than_budget, without.longer_than_budget) == (1, 0)


def test_the_probe_leaves_gradients_modes_and_random_numbers_as_they_were() -> None:
    model = add_lora(tiny_llama(), rank=2, alpha=4, dropout=0.5, target=["q_proj"], seed=0).train()
    scorer = CompletionScorer(model)
    trained = [p for p in scorer.parameters() if p.requires_grad]
    trained[0].grad = torch.ones_like(trained[0])
    before = torch.get_rng_state()
    measured = probe(scorer, LAYOUTS["prefix_shared"], GROUPS)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(trained[0].grad, torch.ones_like(trained[0]))
    assert all(p.grad is None for p in trained[1:])
    assert all(module.training for module in model.modules())
    assert min(measured.step_seconds, measured.forward_seconds) > 0


def test_the_probe_sees_what_gradient_checkpointing_saves() -> None:
    whole, recomputing = (CompletionScorer(tiny_llama(num_hidden_layers=6).train()) for _ in range(2))
    checkpointing(recomputing.model)
    kept = [probe(scorer, LAYOUTS["prefix_shared"], GROUPS).kept_bytes for scorer in (whole, recomputing)]
    assert 0 < kept[1] < kept[0] / 4
