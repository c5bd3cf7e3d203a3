"""One process, two replicas (DDP) and two shards (FSDP2) train the same model from the same config (in float64)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from run_child import Ended, run_child, run_children
from run_helpers import PAIRS, settings, timeless, weights, write_pairs

KINDS = ("ddp", "fsdp")
LONG = ("Tell a long story of the sea. " * 6, "Once " * 25 + "it was calm.", "No.")
"""Longer than any micro-batch here, so it gets one of its own."""
LORA = {"dtype": "float64", "lora": {"rank": 4, "alpha": 8}}
FULL = {"dtype": "float64", "lora": None}
Values = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seventeen pairs, one of them long."""
    return write_pairs(tmp_path_factory.mktemp("uneven") / "pairs.jsonl", [*PAIRS, LONG])


@pytest.fixture
def values(model_folder: Path, uneven: Path, tmp_path: Path) -> Values:
    """A run with held-out pairs, micro-batches of a few pairs, and last steps of one pair: fewer than processes."""

    def make(name: str, model: dict[str, Any], train: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        rate = 0.005 if model["lora"] else 0.0005
        common = {"max_steps": 6, "pairs_per_step": 6, "learning_rate": rate, "tokens_per_micro_batch": 100}
        return settings(
            more.pop("folder", model_folder),
            uneven,
            tmp_path / name,
            model=model,
            data={"eval_fraction": 0.25, "max_length": 512} | more.pop("data", {}),
            train=common | (train or {}),
            eval={"every": 2},
            reference={"cache_dir": str(tmp_path / f"cache-{name}")} | more.pop("reference", {}),
            **more,
        )

    return make


def ended_well(ended: list[Ended]) -> None:
    assert [e.code for e in ended] == [0] * len(ended), "\n".join(e.printed for e in ended)


def assert_same_run(one: Path, other: Path) -> None:
    """Losses and other means to 1e-7, weights to 1e-8, counts exactly."""
    for mine, theirs in zip(timeless(one), timeless(other), strict=True):
        assert mine.keys() == theirs.keys()
        for name, value in mine.items():
            exact = name == "step" or "num_" in name
            assert theirs[name] == (value if exact else pytest.approx(value, abs=1e-7, rel=1e-7)), name
    assert weights(one).keys() == weights(other).keys()
    for name, tensor in weights(one).items():
        torch.testing.assert_close(weights(other)[name], tensor, atol=1e-8, rtol=0)


@pytest.mark.parametrize("model", [LORA, FULL], ids=["lora", "full"])
def test_one_process_is_two_replicas_is_two_shards(values: Values, tmp_path: Path, model: dict[str, Any]) -> None:
    assert run_child(values("one", model), tmp_path).code == 0
    for kind in KINDS:
        ended_well(run_children(values(kind, model, {"parallel": kind}), tmp_path))
        assert_same_run(tmp_path / "one", tmp_path / kind)
