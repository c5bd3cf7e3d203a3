"""Exported models give the tuned logits in plain transformers and peft, or nothing is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from preftune.cli.main import main
from preftune.errors import ModelError, RunFolderError
from preftune.models.lora import quiet_peft
from preftune.recipe import train
from preftune.recipe.export import Export, export
from preftune.recipe.tuned import load_tuned
from preftune.runs.display import QuietReporter
from run_helpers import checked, settings

pytestmark = pytest.mark.usefixtures("no_picture")
IDS = torch.arange(3, 60)[None]


@torch.no_grad()
def logits(model: nn.Module) -> Tensor:
    return model.eval()(input_ids=IDS).logits


@pytest.fixture
def run(model_folder: Path, pairs_file: Path, tmp_path: Path) -> Path:
    """A LoRA run of two steps at a rate that is seen."""
    values = settings(model_folder, pairs_file, tmp_path / "run", train={"max_steps": 2, "learning_rate": 0.05})
    return train(checked(values)).output_dir


def tuned_logits(run: Path, model_folder: Path) -> Tensor:
    """By peft alone."""
    base = AutoModelForCausalLM.from_pretrained(model_folder)
    with quiet_peft():
        return logits(PeftModel.from_pretrained(base, str(run)))


def test_a_merged_model_gives_the_tuned_logits_in_plain_transformers(
    run: Path, model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run), str(tmp_path / "out"), "--merge", "--plain"]) == 0
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    expected = tuned_logits(run, model_folder)
    assert (expected - logits(AutoModelForCausalLM.from_pretrained(model_folder))).abs().max() > 0.01
    torch.testing.assert_close(logits(merged), expected, atol=1e-4, rtol=1e-4)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(run).chat_template
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "library_name: transformers" in card
    assert "merged LoRA tuning" in card
    said = capsys.readouterr().out
    assert "with tokenizer, template and card" in said
    assert "tuning moved them by up to" in said
    (run / "run" / "card.json").unlink()
    assert main(["export", str(run), str(tmp_path / "again"), "--merge", "--plain"]) == 0
    assert "but no card" in capsys.readouterr().out


def test_an_exported_adapter_loads_with_peft(run: Path, model_folder: Path, tmp_path: Path) -> None:
    done = export(Export(str(run), tmp_path / "out"), QuietReporter())
    torch.testing.assert_close(tuned_logits(done.folder, model_folder), tuned_logits(run, model_folder))
    names = {file.name for file in done.folder.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "README.md"} <= names
    assert not {"run", "dpo_metrics", "checkpoints"} & names


def test_a_run_of_all_parameters_is_exported_whole(model_folder: Path, pairs_file: Path, tmp_path: Path) -> None:
    values = settings(model_folder, pairs_file, tmp_path / "run", train={"max_steps": 1})
    values["model"]["lora"] = None
    run = train(checked(values)).output_dir
    done = export(Export(str(run), tmp_path / "out"), QuietReporter())
    assert (done.merged, done.moved) == (False, None)
    loaded = [AutoModelForCausalLM.from_pretrained(folder) for folder in (run, done.folder)]
    torch.testing.assert_close(logits(loaded[0]), logits(loaded[1]))


def test_rounding_to_16_bits_is_told_beside_what_tuning_did(run: Path, tmp_path: Path) -> None:
    done = export(Export(str(run), tmp_path / "out", merge=True, dtype="bfloat16"), QuietReporter())
    assert done.moved is not None
    assert 1e-4 < done.difference < done.moved
    assert json.loads((done.folder / "config.json").read_text(encoding="utf-8"))["dtype"] == "bfloat16"


def test_other_logits_leave_nothing_behind(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preftune.recipe.export.TOLERANCE", -1.0)
    with pytest.raises(ModelError, match="gives other logits than the tuned model"):
        export(Export(str(run), tmp_path / "out", merge=True), QuietReporter())
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_weights_that_float16_cannot_hold_are_not_kept(run: Path, tmp_path: Path) -> None:
    file = run / "adapter_model.safetensors"
    tensors = load_file(file)
    save_file({name: tensor * 1e4 for name, tensor in tensors.items()}, file, {"format": "pt"})
    with pytest.raises(ModelError, match=r"written as float16 are not finite.*--dtype bfloat16"):
        export(Export(str(run), tmp_path / "out", merge=True, dtype="float16"), QuietReporter())
    assert not (tmp_path / "out").exists()
    assert export(Export(str(run), tmp_path / "out", merge=True, dtype="bfloat16"), QuietReporter()).merged


def test_a_card_that_cannot_be_read_is_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = run / "run" / "card.json"
    for damaged in ('{"name": "x"', '{"colour": "green"}', "[]"):
        card.write_text(damaged, encoding="utf-8")
        assert main(["export", str(run), str(tmp_path / "out"), "--plain"]) == 2
        assert f"{card}: cannot be read" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(RunFolderError, match="is there already"):
        export(Export(str(run), tmp_path / "out"), QuietReporter())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["MODEL", "OUT", "--merge"], "is a whole model, so there is nothing to merge"),
        (["RUN", "OUT", "--dtype", "bfloat16"], "add --merge"),
        (["RUN", "OUT", "--private"], "goes with --push"),
        (["RUN", "OUT", "--gguf", "x.gguf"], "--gguf is of whole models, and this is an adapter; add --merge"),
        (["RUN", "OUT", "--merge", "--gguf", "x.gguf"], "llama.cpp's converter, which is not installed: git clone"),
        (["nowhere/at/all", "OUT"], "no model folder at"),
    ],
)
def test_what_cannot_be_exported_is_said(
    run: Path,
    model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.delenv("LLAMA_CPP", raising=False)
    named = {"MODEL": str(model_folder), "RUN": str(run), "OUT": str(tmp_path / "out")}
    assert main(["export", *(named.get(word, word) for word in arguments)]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_gguf_is_left_to_the_converter_that_is_installed(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converter = tmp_path / "llama.cpp" / "convert_hf_to_gguf.py"
    converter.parent.mkdir()
    converter.write_text(
        "import sys, pathlib\nassert pathlib.Path(sys.argv[1], 'config.json').is_file()\n"
        "pathlib.Path(sys.argv[sys.argv.index('--outfile') + 1]).write_text('GGUF')\n"
    )
    monkeypatch.setenv("LLAMA_CPP", str(converter.parent))
    file = tmp_path / "model.gguf"
    assert main(["export", str(run), str(tmp_path / "out"), "--merge", "--gguf", str(file)]) == 0
    assert file.read_text() == "GGUF"


def test_pushing_uploads_what_was_exported(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def push(folder: Path, repository: str, **options: object) -> str:
        calls.append((folder, repository, options["private"]))
        return "https://hub/commit"

    monkeypatch.setattr("preftune.runs.hub.push", push)
    assert main(["export", str(run), str(tmp_path / "out"), "--push", "me/model", "--private"]) == 0
    assert calls == [(tmp_path / "out", "me/model", True)]
    assert "pushed: https://hub/commit" in capsys.readouterr().out


def test_a_run_that_is_not_done_has_no_model(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "run"
    folder.mkdir(parents=True)
    (folder / "resolved.yaml").write_text("model: {path: m}\n", encoding="utf-8")
    with pytest.raises(ModelError, match="holds a run that is not done"):
        load_tuned(str(tmp_path / "run"))
