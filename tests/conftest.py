"""Shared fixtures: real data when it is at hand, small real models and tokenizers made on the spot."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest
from hypothesis import settings
from jaxtyping import install_import_hook

# Shapes and types in signatures are checked while the tests run.
install_import_hook(["preftune.logprobs", "preftune.objectives", "preftune.metrics.pairs"], "beartype.beartype")

import torch  # noqa: E402
from transformers import PreTrainedTokenizerFast  # noqa: E402

torch.set_num_threads(1)  # tiny models are faster so, and the machine may be busy

from made import make_tokenizer, random_group  # noqa: E402
from preftune.tokens.encode import EncodedGroup  # noqa: E402
from run_helpers import save_model, write_pairs  # noqa: E402

REPO = Path(__file__).resolve().parents[1]
settings.register_profile("any machine", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real preference data (``PREFTUNE_DATA``, default ``../shared/data``)."""
    folder = Path(os.environ.get("PREFTUNE_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real preference data at {folder}: set PREFTUNE_DATA")
    return folder


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """ChatML tokenizer; treat as read-only."""
    return make_tokenizer()


@pytest.fixture
def groups() -> list[EncodedGroup]:
    """Twelve pairs of random tokens."""
    rng = Random(5)
    return [random_group(rng, row) for row in range(1, 13)]


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model folder; treat as read-only."""
    return save_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen short pairs; treat as read-only."""
    return write_pairs(tmp_path_factory.mktemp("data") / "pairs.jsonl")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Reference log-probs of one test stay out of the user's cache and of other tests; no hub is asked."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("PREFTUNE_CACHE", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # it has read the environment already
    return folder


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the curves out: they take longer than all the rest of a tiny run."""
    monkeypatch.setattr("preftune.recipe.outputs.draw_curves", lambda *_, **__: None)
