"""Input that cannot be used: exit code 2, one screen of text that says what and where, and nothing left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from made import CHATML, VOCABULARY, make_tokenizer, tiny_llama
from preftune.cli.main import main
from preftune.runs.directory import RunDirectory
from preftune.train.state import check_checkpoint
from run_child import NO_MOUNT, At, SmallDisk, run_child
from run_helpers import PAIRS, as_row, save_model, settings, write_pairs, write_rows

LINES, WIDTH = 24, 450
"""One screen: lines, and characters in one of them (paths of temporary folders are long)."""

pytestmark = pytest.mark.usefixtures("no_picture")
Refused = Callable[..., str]


@pytest.fixture
def refused(model_folder: Path, pairs_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Refused:
    """``preftune train`` on a config that cannot be used; returns what was said on stderr."""

    def go(*words: str, **sections: Mapping[str, Any]) -> str:
        config = tmp_path / "run.yaml"
        config.write_text(json.dumps(settings(model_folder, pairs_file, tmp_path / "out", **sections)))
        before = snapshot(tmp_path)
        capfd.readouterr()
        code = main(["train", str(config), "--plain", *words])
        printed = capfd.readouterr()
        assert_short_refusal(code, printed.out, printed.err)
        assert snapshot(tmp_path) == before
        return printed.err

    return go


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, with its bytes; the reference cache is the user's, not the run's."""
    paths = (p for p in folder.rglob("*") if "cache" not in p.relative_to(folder).parts)
    return {str(path): path.read_bytes() if path.is_file() else None for path in paths}


def assert_short_refusal(code: int, out: str, err: str) -> None:
    assert code == 2, f"{out}{err}"
    assert "Traceback" not in out + err
    assert err.startswith("error:")
    assert len(err.splitlines()) <= LINES
    assert max(map(len, err.splitlines())) <= WIDTH


def rows_with(number: int, row: object) -> list[Any]:
    """Sound rows with another one in place ``number`` (from 1)."""
    rows: list[Any] = [as_row(pair) for pair in PAIRS]
    rows[number - 1] = row
    return rows


DATA: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty file": (lambda p: p.write_text(""), "pairs.jsonl"),
    "blank lines only": (lambda p: p.write_text("\n\n\n"), "pairs.jsonl"),
    "broken JSON": (lambda p: broken_line(p, 5), "pairs.jsonl:5"),
    "cut off": (lambda p: p.write_text(json.dumps(as_row(PAIRS[0])) + '\n{"prompt": "Is'), "pairs.jsonl:2"),
    "no chosen": (
        lambda p: write_rows(p, rows_with(7, {"prompt": "Hm?", "rejected": "No."})),
        "pairs.jsonl:7: .*'chosen'",
    ),
    "chosen is a number": (
        lambda p: write_rows(p, rows_with(3, {"prompt": "?", "chosen": 5, "rejected": "No."})),
        ":3: ",
    ),
    "chosen is null": (
        lambda p: write_rows(p, rows_with(3, {"prompt": "?", "chosen": None, "rejected": "No."})),
        ":3: ",
    ),
    "empty answer": (lambda p: write_rows(p, rows_with(2, {"prompt": "?", "chosen": "", "rejected": "No."})), ":2: "),
    "a row is a list": (lambda p: write_rows(p, rows_with(4, [1, 2])), ":4"),
    "a row is a word": (lambda p: write_rows(p, rows_with(4, "hello")), ":4"),
    "identical pairs only": (
        lambda p: write_pairs(p, [(f"Say {n}.", "ok", "ok") for n in range(200)]),
        "pairs.jsonl:1",
    ),
    "every row unknown": (lambda p: write_rows(p, [{"text": f"{n}"} for n in range(300)]), "text"),
    "not UTF-8": (lambda p: p.write_bytes(b'{"prompt": "\xff\xfe"}\n'), "UTF-8"),
    "zeros": (lambda p: p.write_bytes(bytes(1000)), "pairs.jsonl"),
    "a JSON object": (lambda p: p.write_text('{\n "a": 1\n}\n'), "pairs.jsonl"),
    "deeply nested": (lambda p: p.write_text("[" * 100_000 + "\n"), "pairs.jsonl"),
    "a huge number": (
        lambda p: p.write_text('{"prompt": ' + "9" * 5000 + ', "chosen": "a", "rejected": "b"}\n'),
        "pairs",
    ),
    "weight not a number": (
        lambda p: write_rows(p, rows_with(6, {**as_row(PAIRS[0]), "weight": float("nan")})),
        "pairs.jsonl:6",
    ),
    "folder without data": (lambda p: p.mkdir(), "no data file"),
}


def broken_line(path: Path, number: int) -> None:
    lines = [json.dumps(as_row(pair)) for pair in PAIRS]
    lines[number - 1] = lines[number - 1][:-4]
    path.write_text("\n".join(lines))


@pytest.mark.parametrize("case", DATA)
def test_data_that_cannot_be_used(refused: Refused, tmp_path: Path, case: str) -> None:
    make, expected = DATA[case]
    make(tmp_path / "pairs.jsonl")
    said = refused(data={"train": str(tmp_path / "pairs.jsonl")})
    assert_says(said, expected)


def assert_says(said: str, pattern: str) -> None:
    assert re.search(pattern, said, re.DOTALL), said


@pytest.mark.parametrize(
    "path",
    ["no/such.jsonl", "no-such-*.jsonl", "x" * 300, "/dev/null", "dataset_info.json:a"],
    ids=lambda path: path[:20],
)
def test_data_that_are_not_there(refused: Refused, path: str) -> None:
    assert path[:50] in refused(data={"train": path})
    assert path[:50] in refused(data={"eval": path, "eval_fraction": 0.05})


def test_a_long_list_of_bad_rows_fits_one_screen(refused: Refused, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "pairs.jsonl", [{"prompt": f"{n}?" * 400, "chosen": "a"} for n in range(500)])
    assert_says(refused(data={"train": str(data)}), "500 ")


def test_nothing_left_after_truncation(refused: Refused) -> None:
    assert_says(refused(data={"max_length": 16, "truncation": "drop"}), "nothing is left to train on|no pair is left")


KEYS = {
    "unknown key": (["train.learning_rat=1"], "did you mean 'learning_rate'"),
    "unknown section": (["trian.seed=1"], "did you mean 'train'"),
    "beta below zero": (["objective.beta=-1"], "objective.beta"),
    "rate below zero": (["train.learning_rate=-1e-4"], "train.learning_rate"),
    "rate is a word": (["train.learning_rate=fast"], "train.learning_rate"),
    "rate not finite": (["train.learning_rate=.inf"], "train.learning_rate"),
    "objective unknown": (["objective.name=sigmod"], "did you mean 'sigmoid'"),
    "lora target unknown": (["model.lora.target=[q_prj]"], "did you mean 'q_proj'"),
    "device": (["model.device=tpu"], "model.device"),
    "layout": (["train.layout=shared"], "train.layout"),
    "not an override": (["seed"], "key=value"),
    "format unknown": (["data.format=trll"], "trll"),
    "template missing": (["data.template=no/such.jinja"], "no/such.jinja"),
    "resume from nothing": (["train.resume=no/such"], "no/such"),
    "model missing": (["model.path=./no/such"], "no/such"),
    "model of an unknown user": (["model.path=~nobody9/model"], "model.path' starts in the home folder"),
    "data of an unknown user": (["data.train=~nobody9/a.jsonl"], "data.train' starts in the home folder"),
    "model name too long": ([f"model.path=./{'x' * 300}"], "xxx"),
    "adapter name too long": (["model.lora=null", f"model.adapter=./{'x' * 300}"], "xxx"),
    "output name too long": ([f"output_dir={'x' * 300}/out"], "xxx"),
    "cache name too long": ([f"reference.cache_dir={'x' * 300}"], "xxx"),
    "model not on this machine": (["model.path=some-body/no-such-model"], "some-body/no-such-model"),
    "adapter missing": (["model.lora=null", "model.adapter=no/such"], "no/such"),
    "reference missing": (["reference.path=./no/such"], "no/such"),
    "output below a file": (["output_dir=/dev/null/out"], "/dev/null"),
    "output is a file": (["output_dir=/dev/null"], "/dev/null"),
}


@pytest.mark.parametrize("case", KEYS)
def test_keys_that_cannot_be_honoured(refused: Refused, case: str) -> None:
    words, expected = KEYS[case]
    assert_says(refused(*words), expected)


def test_a_rate_written_as_text_is_a_number(model_folder: Path, pairs_file: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    values = settings(model_folder, pairs_file, tmp_path / "out", train={"learning_rate": "5e-7", "max_steps": 1})
    config.write_text(json.dumps(values))
    assert main(["train", str(config), "--plain", "train.warmup=0"]) == 0
    history = json.loads((tmp_path / "out" / "dpo_metrics" / "log_history.json").read_text(encoding="utf-8"))
    assert [row["learning_rate"] for row in history if "learning_rate" in row] == [5e-7]


CONFIGS: dict[str, Callable[[Path], object]] = {
    "missing": lambda _: None,
    "a folder": lambda p: p.mkdir(),
    "empty": lambda p: p.write_text(""),
    "a list": lambda p: p.write_text("- model\n- data\n"),
    "a word": lambda p: p.write_text("hello"),
    "not YAML": lambda p: p.write_text("model: {path: a\ndata: ]["),
    "tabs": lambda p: p.write_text("model:\n\tpath: demo\n"),
    "bytes": lambda p: p.write_bytes(bytes(range(256))),
    "twice": lambda p: p.write_text("model: {path: a}\nmodel: {path: b}\ndata: {train: c}\n"),
    "huge": lambda p: p.write_text("a: 1\n" * 100_000),
    "an object of Python": lambda p: p.write_text("model: !!python/object/apply:os.system [ls]\n"),
    "too deep": lambda p: p.write_text("a: " + "[" * 5000),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_config_file_that_cannot_be_read(
    tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    CONFIGS[case](tmp_path / "run.yaml")
    before = snapshot(tmp_path)
    code = main(["train", "run.yaml", "--plain"])
    printed = capfd.readouterr()
    assert_short_refusal(code, printed.out, printed.err)
    assert "run.yaml" in printed.err
    assert snapshot(tmp_path) == before


def without(*names: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return spoil


def cut_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def other_class(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "no_such_type"}))


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(tiny_llama().state_dict(), folder / "pytorch_model.bin")


MODELS: dict[str, tuple[Callable[[Path], None], str]] = {
    "no config": (without("config.json"), "model"),
    "no weights": (without("model.safetensors"), "model"),
    "no tokenizer": (without("tokenizer.json", "tokenizer_config.json"), "tokenizer"),
    "weights cut off": (cut_weights, "model"),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{"), "model"),
    "unknown class": (other_class, "no_such_type"),
    "pickled weights only": (pickled, "safetensors"),
    "empty folder": (lambda f: (shutil.rmtree(f), f.mkdir()), "model"),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("case", MODELS)
def test_a_model_folder_that_cannot_be_loaded(refused: Refused, tmp_path: Path, case: str) -> None:
    folder = save_model(tmp_path / "model")
    spoil, expected = MODELS[case]
    spoil(folder)
    said = refused(model={"path": str(folder)})
    assert str(folder) in said
    assert_says(said, expected)


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"model": {"adapter": "sft/none", "lora": None}}, "no adapter folder at sft/none"),
        ({"reference": {"path": "/none/ref"}}, "no model folder at /none/ref"),
    ],
)
def test_a_model_that_is_not_there_is_told_before_the_data_are_read(
    refused: Refused, sections: dict[str, Any], expected: str
) -> None:
    assert expected in refused("data.train=none.jsonl", **sections)


def test_an_adapter_folder_without_weights(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft" / "adapter_config.json").write_text("{}")
    assert "sft holds no adapter_model.safetensors" in refused(model={"adapter": str(tmp_path / "sft"), "lora": None})


TEMPLATES = {
    "no generation prompt": CHATML.split("{% if add")[0],
    "syntax error": "{% for m in messages %}{{ m.content }",
    "refuses every conversation": "{{ raise_exception('only system messages') }}",
    "no answer in it": "{{ messages[0].content }}{% if add_generation_prompt %} >{% endif %}",
}


@pytest.mark.parametrize("case", TEMPLATES)
@pytest.mark.parametrize("place", ["tokenizer", "file"])
def test_a_chat_template_that_cannot_be_used(refused: Refused, tmp_path: Path, case: str, place: str) -> None:
    file = tmp_path / "template.jinja"
    file.write_text(TEMPLATES[case])
    folder = tmp_path / "model"
    tiny_llama().save_pretrained(folder)
    make_tokenizer(TEMPLATES[case] if place == "tokenizer" else CHATML).save_pretrained(folder)
    said = refused(model={"path": str(folder)}, data={} if place == "tokenizer" else {"template": str(file)})
    assert_says(said, "template")


def test_a_tokenizer_with_more_tokens_than_the_model(refused: Refused, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    tiny_llama(vocab_size=300).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    assert_says(refused(model={"path": str(folder)}), "300")


def test_texts_longer_than_the_positions_of_the_model(refused: Refused, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    config = GPT2Config(vocab_size=VOCABULARY, n_positions=24, n_embd=32, n_layer=1, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    assert_says(refused(model={"path": str(folder)}), "data.max_length.*24|24.*data.max_length")


def test_an_output_folder_with_other_files(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("work of a year")
    assert_says(refused(), "thesis.tex")


def test_an_output_folder_in_use(refused: Refused, tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "out").lock():
        assert_says(refused(), f"in use by process {os.getpid()}")


def preftune(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    source = str(Path(sys.modules["preftune"].__file__ or "").parents[1])
    environment = {**os.environ, "PYTHONPATH": source, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "preftune", *words]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=folder, timeout=120, check=False
    )


@pytest.mark.slow
def test_the_real_command_refuses_without_a_trace(model_folder: Path, tmp_path: Path) -> None:
    values = settings(model_folder, tmp_path / "no" / "such.jsonl", tmp_path / "out")
    (tmp_path / "run.yaml").write_text(json.dumps(values))
    done = preftune("train", "run.yaml", folder=tmp_path)
    assert_short_refusal(done.returncode, done.stdout, done.stderr)
    assert str(tmp_path / "no" / "such.jsonl") in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"run.yaml"}


@pytest.mark.parametrize("kilobytes", [8, 60, 130, 200])
def test_a_disk_that_fills_up_while_saving(
    model_folder: Path, pairs_file: Path, tmp_path: Path, kilobytes: int
) -> None:
    values = settings(model_folder, pairs_file, tmp_path / "small" / "out", model={"lora": {"rank": 16}})
    full = run_child(values, tmp_path, small_disk=SmallDisk(tmp_path / "small", tmp_path / "kept", kilobytes))
    if full.code == NO_MOUNT:
        pytest.skip("this user may not mount a small file system")
    assert_short_refusal(full.code, "", full.printed[full.printed.index("error:") :])
    assert "the disk is full" in full.printed
    assert "goes on from the last checkpoint" in full.printed
    assert not list((tmp_path / "kept").rglob("*.tmp"))
    for folder in (tmp_path / "kept").glob("out/checkpoints/*"):
        assert check_checkpoint(folder) is None


def test_a_file_size_limit_while_saving_leaves_the_checkpoint_before(
    model_folder: Path, pairs_file: Path, tmp_path: Path
) -> None:
    values = settings(model_folder, pairs_file, tmp_path / "out", model={"lora": {"rank": 4}})
    assert run_child(values, tmp_path, At("step done", 3)).code == -9
    limited = run_child(values, tmp_path, file_kilobytes=20)
    assert_short_refusal(limited.code, "", limited.printed[limited.printed.index("error:") :])
    assert [path.name for path in (tmp_path / "out" / "checkpoints").iterdir()] == ["step-000002"]
    assert run_child(values, tmp_path).code == 0
