"""Sweeps of real runs in processes of their own: one reference pass, nothing made twice, nothing lost by a crash."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from preftune.cli.main import main
from preftune.recipe import train
from preftune.recipe.grid import grid
from preftune.recipe.sweep import SweepFolder, outcomes, plan_sweep
from run_helpers import checked, settings

REPO = Path(__file__).resolve().parents[2]
BETAS = "objective.beta=0.1,0.3"


@pytest.fixture
def environment(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the processes of the runs inherit."""
    monkeypatch.setenv("PYTHONPATH", str(REPO / "src"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return {**os.environ, "PREFTUNE_CACHE": str(own_cache)}


@pytest.fixture
def config(model_folder: Path, pairs_file: Path, tmp_path: Path) -> Path:
    return written(tmp_path, settings(model_folder, pairs_file, tmp_path / "out"))


def written(folder: Path, values: Mapping[str, Any]) -> Path:
    path = folder / "a.yaml"
    path.write_text(yaml.safe_dump(dict(values)), encoding="utf-8")
    return path


def sessions(folder: Path) -> list[dict[str, Any]]:
    """Each start of a run."""
    return json.loads((folder / "run" / "run.json").read_text(encoding="utf-8"))["sessions"]


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def cached_files(cache: Path) -> dict[Path, int]:
    """Shards of reference log-probs and when they were written."""
    return {path: path.stat().st_mtime_ns for path in cache.rglob("*.safetensors")}


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
def test_one_reference_pass_serves_all_and_a_crash_loses_no_other_run(
    config: Path, own_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sweep", str(config), "model.lora.target=all-linear,[nosuch],[q_proj]", "--parallel", "2"]
    assert main(words) == 1
    folder = tmp_path / "out-sweep"
    printed = capsys.readouterr().out
    assert "not finished: target=nosuch" in printed.splitlines()[-1]
    assert "failed with exit code 2" in printed
    assert "no linear layer named 'nosuch'" in printed
    assert [run["status"] for run in table(folder)] == ["finished", "failed", "finished"]
    logs = [path.read_text(encoding="utf-8") for path in sorted((folder / "logs").iterdir())]
    assert sum("reference log-probs (16 pairs)" in log for log in logs) == 1, "one run computes it"
    assert sum("log-probs computed once and cached" in log for log in logs) == 2, "all that came so far use it"

    shards = cached_files(own_cache)
    finished = {path: path.stat().st_mtime_ns for path in (folder / "runs" / "target=all-linear").rglob("*")}
    assert main(words) == 1
    assert "target=all-linear: finished before" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in finished} == finished, "a finished run is not touched"
    assert cached_files(own_cache) == shards
    assert len(shards) > 0


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on_and_makes_no_finished_run_again(
    environment: dict[str, str], model_folder: Path, pairs_file: Path, tmp_path: Path
) -> None:
    long_runs = {"train": {**settings(model_folder, pairs_file, tmp_path)["train"], "max_steps": 60, "save_every": 5}}
    config = written(tmp_path, {**settings(model_folder, pairs_file, tmp_path / "out"), **long_runs})
    folder = tmp_path / "out-sweep"
    runs = [folder / "runs" / name for name in ("beta=0.1", "beta=0.3")]
    command = [sys.executable, "-m", "preftune", "sweep", str(config), BETAS]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    wait_for(runs[1] / "checkpoints")
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = (runs[0] / "dpo_metrics" / "summary.json").stat().st_mtime_ns

    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "beta=0.1: finished before" in again.stdout
    assert (runs[0] / "dpo_metrics" / "summary.json").stat().st_mtime_ns == done
    assert len(sessions(runs[0])) == 1
    assert [run["status"] for run in table(folder)] == ["finished", "finished"]
    assert (
        "Take objective.beta" in (folder / "report.html").read_text(encoding="utf-8") or "No run can be" in again.stdout
    )


@pytest.mark.slow
def test_a_sweep_that_is_stopped_lets_its_run_save_and_goes_on_from_there(
    environment: dict[str, str], model_folder: Path, pairs_file: Path, tmp_path: Path
) -> None:
    long_runs = {"train": {**settings(model_folder, pairs_file, tmp_path)["train"], "max_steps": 200, "save_every": 5}}
    config = written(tmp_path, {**settings(model_folder, pairs_file, tmp_path / "out"), **long_runs})
    run = tmp_path / "out-sweep" / "runs" / "beta=0.1"
    command = [sys.executable, "-m", "preftune", "sweep", str(config), BETAS]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    wait_for(run / "checkpoints")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (
        130,
        "error: interrupted; runs that were going on have saved their state, and the same command goes on\n",
    )
    assert sessions(run)[-1]["status"] == "interrupted"
    rows = (run / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    last = max(int(json.loads(row)["step"]) for row in rows)
    assert last < 200
    assert (run / "checkpoints" / f"step-{last:06d}").is_dir(), "the last update is not lost"


def wait_for(path: Path, seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.02)


def test_a_run_that_printed_an_error_and_left_no_folder_has_failed(config: Path, tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path / "out-sweep")
    planned = plan_sweep(config, grid(["objective.beta=0.1,0.2,0.3"]), folder)
    for one, printed in zip(planned, ("error: no such layer\n", "reading the data ...\n", None), strict=True):
        if printed:
            folder.log(one.point).parent.mkdir(parents=True, exist_ok=True)
            folder.log(one.point).write_text(printed)
    assert [run.status for run in outcomes(planned, folder)] == ["failed", "not started", "not started"]


def test_mistakes_are_told_before_anything_is_made(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", str(config), "objective.beta=0.1,-1"]) == 2
    assert "objective.beta' should be a number > 0 (got -1)" in capsys.readouterr().err
    assert main(["sweep", str(config), "objective.beta=-1,x", "train.sed=1,2"]) == 2
    assert [line.partition(": ")[0] for line in capsys.readouterr().err.splitlines()] == [
        "error:",
        *(f"command line '{word}'" for word in ("objective.beta=-1", "train.sed=1", "train.sed=2", "objective.beta=x")),
    ]
    assert main(["sweep", str(config), "objective.beta=0.1,0.10"]) == 2
    assert capsys.readouterr().err == "error: beta=0.1 and beta=0.10 are the same run: their values mean the same\n"
    assert main(["sweep", str(config), "objective.beta=0.1"]) == 2
    assert main(["compare", str(tmp_path)]) == 2
    assert main(["compare", str(tmp_path), str(tmp_path / "b")]) == 2
    assert capsys.readouterr().err.endswith("name the output_dir of each run\n")
    assert not (tmp_path / "out-sweep").exists()


@pytest.mark.usefixtures("no_picture", "own_cache")
def test_any_runs_can_be_compared(
    model_folder: Path, pairs_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, beta in (("a", 0.1), ("b", 0.5)):
        values = settings(model_folder, pairs_file, tmp_path / name, objective={"name": "sigmoid", "beta": beta})
        train(checked(values))
    capsys.readouterr()
    folders = [str(tmp_path / name) for name in ("a", "b")]
    page, csv_file = tmp_path / "page.html", tmp_path / "table.csv"
    assert main(["compare", *folders, "--html", str(page), "--csv", str(csv_file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["run", "a", "b"]
    with csv_file.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["objective.beta"] for row in rows] == ["0.1", "0.5"]
    history = [json.loads(line) for line in (tmp_path / "b" / "run" / "metrics.jsonl").read_text().splitlines()]
    first, last = (row for row in history if "eval_loss" in row)
    gained = {side: last[f"eval_logps/{side}"] - first[f"eval_logps/{side}"] for side in ("chosen", "rejected")}
    assert float(rows[1]["margin_gained_nats"]) == pytest.approx(gained["chosen"] - gained["rejected"])
    assert 0.5 * float(rows[1]["margin_gained_nats"]) == pytest.approx(float(rows[1]["reward_margin"]), abs=1e-4)
    assert "Where answers moved" in page.read_text(encoding="utf-8")
