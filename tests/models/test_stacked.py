"""Adapters stacked on one another give their sum, and are saved as one adapter with the same outputs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel
from torch import nn

from made import tiny_llama
from preftune.errors import ModelError
from preftune.models.load import trainable
from preftune.models.lora import add_lora, load_adapter, lora_config
from preftune.models.partial import train_only
from preftune.models.stacked import is_stacked, save_as_one, stack_adapters

IDS = torch.arange(3, 40)[None]


def opinionated(model: nn.Module, seed: int) -> None:
    """Give the trained B matrices values that matter."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in trainable(model).items():
            if "lora_B" in name:
                parameter.normal_(std=0.3)


def made_adapter(folder: Path, seed: int, **shape: object) -> Path:
    values = {"rank": 2, "alpha": 4, "dropout": 0.0, "target": ["q_proj", "up_proj"], "seed": seed} | shape
    adapted = add_lora(tiny_llama(), **values)  # type: ignore[arg-type]
    opinionated(adapted, seed)
    adapted.save_pretrained(str(folder))
    return folder


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    second = {"rank": 3, "alpha": 3, "target": ["q_proj", "v_proj"], "rslora": True}
    return [made_adapter(tmp_path / "one", 1), made_adapter(tmp_path / "two", 2, **second)]


def fresh() -> LoraConfig:
    return lora_config(tiny_llama(), rank=4, alpha=8, dropout=0.0, target="all-linear")


@torch.no_grad()
def test_a_fresh_adapter_on_top_of_others_starts_at_their_merged_model(two: list[Path]) -> None:
    stacked = stack_adapters(tiny_llama(), two, fresh(), seed=3).eval()
    merged = tiny_llama()
    for folder in two:
        merged = load_adapter(merged, folder, keep_training=False)  # type: ignore[assignment]
    torch.testing.assert_close(stacked(IDS).logits, merged.eval()(IDS).logits, atol=1e-4, rtol=1e-4)
    assert is_stacked(stacked)
    assert all(".default." in name for name in trainable(stacked))
    assert len(trainable(stacked)) == 2 * 7 * 2  # A and B of seven linear layers in two blocks


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*is deprecated")  # peft, in the test's own call
@pytest.mark.parametrize("on_top", [True, False])
@torch.no_grad()
def test_the_saved_adapter_gives_what_the_stack_gives(two: list[Path], tmp_path: Path, on_top: bool) -> None:
    stacked = stack_adapters(tiny_llama(), two, fresh() if on_top else None).eval()
    opinionated(stacked, 5)
    save_as_one(stacked, tmp_path / "one-adapter")
    loaded = PeftModel.from_pretrained(tiny_llama(), str(tmp_path / "one-adapter")).eval()
    torch.testing.assert_close(loaded(IDS).logits, stacked(IDS).logits, atol=2e-5, rtol=1e-5)
    difference = (loaded(IDS).logits - tiny_llama().eval()(IDS).logits).abs().max()
    assert float(difference) > 0.1


def test_without_a_fresh_one_only_the_last_adapter_is_trained(two: list[Path]) -> None:
    stacked = stack_adapters(tiny_llama(), two, None)
    assert {name.split(".")[-4] for name in trainable(stacked)} == {"q_proj", "v_proj"}


def test_what_cannot_be_put_side_by_side_is_refused(tmp_path: Path) -> None:
    dora = made_adapter(tmp_path / "dora", 1, dora=True)
    with pytest.raises(ModelError, match="holds DoRA, which cannot be stacked: merge it"):
        stack_adapters(tiny_llama(), [dora], fresh())
    with pytest.raises(ModelError, match=r"no adapter_config.json"):
        stack_adapters(tiny_llama(), [tmp_path], fresh())
    with pytest.raises(ModelError, match="does not fit this model"):
        stack_adapters(tiny_llama(hidden_size=16), [made_adapter(tmp_path / "other", 1)], fresh())


@torch.no_grad()
def test_dora_starts_at_the_base_model_and_trains_lengths_too() -> None:
    adapted = add_lora(tiny_llama(), rank=2, alpha=4, dropout=0.0, target="all-linear", seed=0, dora=True)
    torch.testing.assert_close(adapted.eval()(IDS).logits, tiny_llama().eval()(IDS).logits, atol=1e-5, rtol=1e-5)
    assert any("magnitude" in name for name in trainable(adapted))


def test_modules_may_be_trained_whole_beside_the_adapter() -> None:
    model = tiny_llama(tie_word_embeddings=False)
    options = {"rank": 2, "alpha": 4, "dropout": 0.0, "target": ["q_proj"], "seed": 0}
    adapted = add_lora(model, **options, modules_to_save=["lm_head"])  # type: ignore[arg-type]
    assert [name for name in trainable(adapted) if "lora_" not in name] == [
        "base_model.model.lm_head.modules_to_save.default.weight"
    ]
    with pytest.raises(ModelError, match="no module named 'lm_haed'; did you mean 'lm_head'"):
        add_lora(tiny_llama(), **options, modules_to_save=["lm_haed"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("layers", "options", "expected"),
    [
        (1, {}, {"layers.1."}),
        (-1, {}, {"layers.0."}),
        (9, {}, {"layers.0.", "layers.1."}),
        (1, {"modules": ["mlp"]}, {"layers.1.mlp."}),
        (1, {"modules": ["q_proj"], "extra": ["norm"]}, {"layers.1.self_attn.q_proj.", "norm."}),
    ],
)
def test_a_part_of_the_parameters_is_trained(layers: int, options: dict[str, object], expected: set[str]) -> None:
    model = tiny_llama()
    train_only(model, layers=layers, **options)  # type: ignore[arg-type]
    wanted = {n for n, _ in model.named_parameters() if n.startswith(tuple(f"model.{start}" for start in expected))}
    assert wanted == set(trainable(model))


def test_an_unknown_part_is_refused_with_the_near_name() -> None:
    with pytest.raises(ModelError, match=r"partial.modules: no module named 'mpl'; did you mean 'mlp'"):
        train_only(tiny_llama(), layers=1, modules=["mpl"])
    with pytest.raises(ModelError, match=r"partial.extra: no module named 'nrom'; did you mean 'norm'"):
        train_only(tiny_llama(), layers=1, extra=["nrom"])
