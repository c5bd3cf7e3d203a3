"""Model folder and data of the whole runs, made once; a cache of its own for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from run_helpers import save_model, write_pairs
from transformers import AutoModelForCausalLM


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model folder; treat as read-only."""
    return save_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen short pairs; treat as read-only."""
    return write_pairs(tmp_path_factory.mktemp("data") / "pairs.jsonl")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Reference log-probs of one test stay out of the user's cache and of other tests; no hub is asked."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("PREFTUNE_CACHE", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # it has read the environment already
    return folder


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Tiny matrices are slower on several threads, and the same sums everywhere need the same number of them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the curves out: they take longer than all the rest of a tiny run."""
    monkeypatch.setattr("preftune.recipe.outputs.draw_curves", lambda *_, **__: None)


@pytest.fixture
def sft_adapter(model_folder: Path, tmp_path: Path) -> Path:
    """An adapter that changes what the model says: its B is not zero."""
    base = AutoModelForCausalLM.from_pretrained(model_folder)
    torch.manual_seed(3)
    adapted = get_peft_model(base, LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "down_proj"]))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.5)
    adapted.save_pretrained(tmp_path / "sft")
    return tmp_path / "sft"
