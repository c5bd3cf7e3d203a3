"""Loading a model: dropout off, dtypes decided, paths resolved or refused, adapters put on, taken over or merged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.utils import logging as hf_logging
from transformers.utils.import_utils import is_flash_attn_2_available

from made import make_tokenizer, tiny_llama
from preftune.errors import ModelError
from preftune.models.load import (
    load_base,
    load_tokenizer,
    pick_device,
    pick_precision,
    quiet,
    refuse_misfit,
    resolve_path,
    trainable,
)
from preftune.models.lora import add_lora, base_of_adapter, is_adapter, load_adapter
from preftune.models.memory import token_budget_for

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny")
    tiny_llama(attention_dropout=0.3).save_pretrained(path)
    make_tokenizer().save_pretrained(path)
    return path


def test_dropout_of_the_base_model_is_off_and_remembered(folder: Path, tmp_path: Path) -> None:
    model, replaced = load_base(str(folder), torch.float32)
    assert replaced == {"attention_dropout": 0.3}
    ids = torch.arange(3, 40)[None]
    assert torch.equal(model.train()(ids).logits, model.eval()(ids).logits)
    config = GPT2Config(vocab_size=50, n_positions=8, n_embd=8, n_layer=1, n_head=1, resid_pdrop=0.4)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    other, rates = load_base(str(tmp_path), torch.float64)
    assert rates["resid_pdrop"] == 0.4
    assert torch.equal(other.train()(ids[:, :5]).logits, other.eval()(ids[:, :5]).logits)


def test_the_models_own_attention_is_the_one_that_is_asked_with_the_same_numbers(folder: Path) -> None:
    ids = torch.arange(3, 40)[None]
    models = {name: load_base(str(folder), torch.float64, attention=name)[0] for name in ("eager", "sdpa")}
    assert {name: model.config._attn_implementation for name, model in models.items()} == {n: n for n in models}
    # eager takes its softmax in float32
    torch.testing.assert_close(models["eager"](ids).logits, models["sdpa"](ids).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.skipif(is_flash_attn_2_available(), reason="FlashAttention is there")
def test_flash_attention_that_is_not_there_is_said_with_what_to_use(folder: Path) -> None:
    with pytest.raises(ModelError, match="model.attention: flash_attention_2 needs a GPU and the package .* use sdpa"):
        load_base(str(folder), torch.float32, attention="flash_attention_2")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_the_model_comes_in_the_dtype_that_is_asked(folder: Path, dtype: torch.dtype) -> None:
    model, _ = load_base(str(folder), dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}


def test_trained_parameters_are_never_narrower_than_fp32() -> None:
    bfloat16 = pick_precision("bfloat16", CPU)
    assert (bfloat16.compute, bfloat16.trained, bfloat16.autocast) == (torch.bfloat16, torch.float32, torch.bfloat16)
    assert pick_precision("float64", CPU).trained == torch.float64
    assert pick_precision("auto", CPU).autocast is None
    with pytest.raises(ModelError, match="float16 loses small gradients"):
        pick_precision("float16", CPU)
    with pytest.raises(ModelError, match="float64 does not exist on MPS"):
        pick_precision("float64", torch.device("mps"))


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match="cuda is not available"):
        pick_device("cuda")
    assert pick_device("cpu") == CPU


def test_loading_says_nothing_and_leaves_the_librarys_switches_alone(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    load_base(str(folder), torch.float32)
    load_tokenizer(str(folder))
    with pytest.raises(ZeroDivisionError), quiet():
        raise ZeroDivisionError
    assert (hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr() == ("", "")


def test_what_a_path_means(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    assert resolve_path(str(folder)) == str(folder)
    assert resolve_path(f"~/{folder.name}") == str(folder)
    assert resolve_path("some-body/some-model") == "some-body/some-model"
    (tmp_path / "weights.bin").touch()
    for wrong, match in [
        (str(tmp_path / "weights.bin"), "is a file"),
        ("./nothing", "no model folder"),
        ("a/b/c", "no model folder"),
        ("x" * 300, "cannot be read|no model folder"),
    ]:
        with pytest.raises(ModelError, match=match):
            resolve_path(wrong)


@pytest.mark.parametrize("text", ['{"step": 4}', "", "[1]"])
def test_a_training_checkpoint_is_no_model(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(ModelError, match="training checkpoint.*its own reference"):
        resolve_path(str(tmp_path))


def test_a_fresh_adapter_changes_nothing_and_is_all_that_is_trained() -> None:
    plain, ids = tiny_llama(), torch.arange(3, 40)[None]
    adapted = add_lora(tiny_llama(), rank=2, alpha=4, dropout=0.0, target="all-linear", seed=5)
    assert torch.equal(plain(ids).logits, adapted(ids).logits)
    assert trainable(adapted)
    assert all("lora_" in name for name in trainable(adapted))
    assert not any("lm_head" in name for name in trainable(adapted))


def test_the_seed_fixes_the_adapters_first_values() -> None:
    def first(seed: int) -> torch.Tensor:
        adapted = add_lora(tiny_llama(), rank=2, alpha=4, dropout=0.0, target=["q_proj"], seed=seed)
        return next(iter(trainable(adapted).values()))

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))


def test_an_unknown_target_is_refused_with_the_near_name() -> None:
    with pytest.raises(ModelError, match=r"no linear layer named 'q_prj'; did you mean 'q_proj'"):
        add_lora(tiny_llama(), rank=2, alpha=4, dropout=0.0, target=["q_prj"], seed=0)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    adapted = add_lora(tiny_llama(), rank=2, alpha=4, dropout=0.0, target=["q_proj", "up_proj"], seed=0)
    with torch.no_grad():
        for name, parameter in trainable(adapted).items():
            if "lora_B" in name:
                parameter.normal_(std=0.5)
    adapted.save_pretrained(str(tmp_path / "adapter"))
    return tmp_path / "adapter"


@torch.no_grad()
def test_an_adapter_is_taken_over_or_merged_with_the_same_numbers(adapter: Path) -> None:
    ids = torch.arange(3, 40)[None]
    kept = load_adapter(tiny_llama(), adapter, keep_training=True).eval()
    merged = load_adapter(tiny_llama(), adapter, keep_training=False).eval()
    torch.testing.assert_close(kept(ids).logits, merged(ids).logits, atol=1e-4, rtol=1e-4)
    assert float((merged(ids).logits - tiny_llama().eval()(ids).logits).abs().max()) > 0.1
    assert all("lora_" in name for name in trainable(kept))


def test_a_merged_model_trains_all_its_parameters(adapter: Path) -> None:
    merged = load_adapter(tiny_llama(), adapter, keep_training=False)
    assert trainable(merged).keys() == trainable(tiny_llama()).keys()


def test_an_adapter_of_another_model_is_refused(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not fit this model"):
        load_adapter(tiny_llama(hidden_size=16), adapter, keep_training=True)
    with pytest.raises(ModelError, match=r"no adapter_config.json in"):
        load_adapter(tiny_llama(), tmp_path, keep_training=True)


def test_an_adapter_folder_is_known_by_its_files(adapter: Path, folder: Path, tmp_path: Path) -> None:
    assert is_adapter(adapter)
    assert not is_adapter(folder)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "base/model"}))
    assert base_of_adapter(adapter) == ("base/model", None)
    for said in ("{}", "[]", "no json", '{"base_model_name_or_path": null}'):
        (tmp_path / "adapter_config.json").write_text(said)
        with pytest.raises(ModelError, match="does not name its base model"):
            base_of_adapter(tmp_path)


def test_tokens_and_positions_must_fit_the_model() -> None:
    model = tiny_llama()
    refuse_misfit(model, 319, 512)
    with pytest.raises(ModelError, match="token 320, .* 320 tokens only"):
        refuse_misfit(model, 320, 10)
    with pytest.raises(ModelError, match=r"513 tokens, .* 512 positions: set data.max_length: 512"):
        refuse_misfit(model, 0, 513)


def test_the_token_budget_is_a_power_of_two_that_grows_with_memory() -> None:
    config = tiny_llama().config
    budgets = [token_budget_for(config, "cuda", 2**power) for power in range(20, 40)]
    assert budgets == sorted(budgets)
    assert all(budget & (budget - 1) == 0 for budget in budgets)
    assert (budgets[0], budgets[-1]) == (512, 16_384)
    assert token_budget_for(config, "cpu", 2**40) == 1_024
