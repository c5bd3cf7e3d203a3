"""The command line from outside: verbs, exit codes, and what lands on stdout and stderr."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import preftune
from preftune.cli import demo as demo_command
from preftune.cli import train as train_command
from preftune.cli.main import app, main
from preftune.errors import DataError, RunError

REPO = Path(__file__).resolve().parents[2]


def run_preftune(*arguments: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    start = ["-c", code] if code else ["-m", "preftune"]
    environment = {**os.environ, "PYTHONPATH": str(REPO / "src"), "COLUMNS": "120", "NO_COLOR": "1"}
    return subprocess.run([sys.executable, *start, *arguments], capture_output=True, text=True, env=environment)


def test_help_and_version_import_no_torch() -> None:
    code = (
        "import sys; from preftune.cli.main import main\n"
        "for words in (['--help'], ['train', '--help'], ['demo', '--help'], ['--version']):\n"
        "    assert main(words) == 0\n"
        "heavy = {'torch', 'transformers', 'pandas', 'numpy', 'matplotlib', 'pyarrow'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))"
    )
    done = run_preftune(code=code)
    assert done.stdout.rstrip().endswith("loaded: []"), done.stderr
    assert f"preftune {preftune.__version__}" in done.stdout
    for verb in ("train", "demo", "schema", "--dry-run", "--plain", "--prepare", "--output", "KEY=VALUE"):
        assert verb in done.stdout


def test_the_module_and_the_script_are_the_same_command() -> None:
    done = run_preftune("--version")
    assert (done.returncode, done.stdout) == (0, f"preftune {preftune.__version__}\n")
    scripts = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts["preftune"] == f"{main.__module__}:{main.__name__}"


def test_a_wrong_config_is_a_short_message_and_exit_code_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "a.yaml"
    config.write_text("model: {path: demo}\ndata: {train: demo}\nobjective: {beta: -1}\n")
    assert main(["train", str(config)]) == 2
    first = f"{config}:3:13: 'objective.beta' should be a number > 0 (got -1)\n"
    assert capsys.readouterr() == ("", f"error: {first}")
    assert main(["train", str(config), "train.sed=1"]) == 2
    second = "command line 'train.sed=1': unknown key 'train.sed'; did you mean 'seed'?\n"
    assert capsys.readouterr() == ("", f"error:\n{first}{second}")
    assert [item.name for item in tmp_path.iterdir()] == ["a.yaml"]


@pytest.mark.parametrize("arguments", [["trian"], ["train"], ["train", "a.yaml", "--fast"], ["schema", "x"], []])
def test_a_command_line_that_makes_no_sense_ends_with_two(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_schema_prints_json_with_every_objective(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    names = [d["properties"]["name"].get("const") for d in schema["$defs"].values() if "name" in d["properties"]]
    assert {"sigmoid", "hinge", "ipo"} <= set(names)


@pytest.mark.parametrize(
    ("stop", "code", "message"),
    [
        (DataError("pairs.jsonl:3: no chosen"), 2, "error: pairs.jsonl:3: no chosen\n"),
        (DataError("two:\nlines"), 2, "error:\ntwo:\nlines\n"),
        (RunError("it diverged"), 1, "error: it diverged\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_how_a_command_ends_is_its_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stop: BaseException,
    code: int,
    message: str,
) -> None:
    def stopped(*_: object, **__: object) -> int:
        raise stop

    monkeypatch.setattr(train_command, "run", stopped)
    assert main(["train", "a.yaml"]) == code
    assert capsys.readouterr().err == message


def test_a_request_to_terminate_ends_it_as_ctrl_c_does(monkeypatch: pytest.MonkeyPatch) -> None:
    unwound: list[str] = []

    def terminated(*_: object, **__: object) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            unwound.append("lock freed")
        return 0

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(train_command, "run", terminated)
    assert main(["train", "a.yaml"]) == 130
    assert unwound == ["lock freed"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_bug_keeps_its_traceback_and_says_that_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> int:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(train_command, "run", broken)
    with pytest.raises(ZeroDivisionError) as caught:
        main(["train", "a.yaml"])
    (note,) = caught.value.__notes__
    assert note.startswith("This is a bug in preftune")


@pytest.mark.parametrize("code", [0, 1, 130])
def test_train_hands_on_its_words_and_the_runs_exit_code(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    seen: list[object] = []

    def fake(config: Path, overrides: list[str], *, dry_run: bool, plain: bool) -> int:
        seen.extend([str(config), list(overrides), dry_run, plain])
        return code

    monkeypatch.setattr(train_command, "run", fake)
    assert main(["train", "a.yaml", "a.b=1", "objective.beta=-1", "--dry-run", "--plain"]) == code
    assert seen == ["a.yaml", ["a.b=1", "objective.beta=-1"], True, True]


def test_demo_puts_its_results_where_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from preftune.config import load_config
    from preftune.objectives import objective_schemas

    folders = []

    def fake(config: Path, overrides: list[str], *, plain: bool, compare: bool) -> int:
        loaded = load_config(config, overrides, objectives=objective_schemas())
        assert compare
        folders.append((loaded.output_dir, loaded.model.path, loaded.data.train, loaded.train.max_steps, plain))
        return 0

    monkeypatch.setattr(demo_command, "run", fake)
    assert main(["demo"]) == 0
    assert main(["demo", "--output", "my: 结果 # 1", "train.max_steps=2", "--plain"]) == 0
    assert folders == [("output", "demo", "demo", None, False), ("my: 结果 # 1", "demo", "demo", 2, True)]


def test_prepare_prints_the_folder_last_and_its_notes_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from preftune.models import embedded

    def fetched(*, note=print) -> Path:
        note("fetching")
        return tmp_path

    monkeypatch.setattr(embedded, "embedded_model_folder", fetched)
    assert main(["demo", "--prepare"]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path}\n"
    assert printed.err == "fetching\n"


@pytest.mark.parametrize("more", [["--output", "x"], ["train.seed=1"], ["--plain"]])
def test_prepare_refuses_what_it_would_ignore(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--prepare", *more]) == 2
    assert "takes no other options" in capsys.readouterr().err


def test_every_command_has_a_help_line() -> None:
    assert all(command.callback is not None and command.callback.__doc__ for command in app.registered_commands)
