"""Trackers get the rows of the log as they are, and whatever goes wrong in one costs the run nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from preftune.errors import ConfigError
from preftune.runs.trackers import TrackedRun, Trackers, require

ROWS = [
    {"step": 0, "eval_loss": 0.6931, "eval_rewards/accuracies": 0.5},
    {"step": 1, "epoch": 0.5, "loss": 0.69, "rewards/margins": 0.01},
    {"step": 2, "epoch": 1.0, "loss": 0.65, "rewards/margins": 0.04},
    {"step": 2, "eval_loss": 0.66, "eval_rewards/accuracies": 0.75},
]
SERIES = {
    "loss": [(1, 0.69), (2, 0.65)],
    "rewards/margins": [(1, 0.01), (2, 0.04)],
    "eval_loss": [(0, 0.6931), (2, 0.66)],
}


def log(name: str, folder: Path, rows=ROWS, resumed_from: int | None = None) -> list[str]:
    warnings: list[str] = []
    run = TrackedRun(folder, {"objective.name": "sigmoid", "train.seed": 0}, resumed_from)
    trackers = Trackers([name], run, warnings.append)
    for row in rows:
        trackers.row(row)
    trackers.close()
    return warnings


def read_tensorboard(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {tag: [(e.step, pytest.approx(e.value)) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_reads_back_every_number(tmp_path):
    pytest.importorskip("tensorboard", reason="needs preftune[tensorboard]")
    assert log("tensorboard", tmp_path) == []
    found = read_tensorboard(tmp_path)
    assert {name: found[name] for name in SERIES} == SERIES


def test_tensorboard_shows_steps_that_came_again_once(tmp_path):
    pytest.importorskip("tensorboard", reason="needs preftune[tensorboard]")
    log("tensorboard", tmp_path)
    log("tensorboard", tmp_path, [{"step": 2, "loss": 0.5}], resumed_from=1)
    assert read_tensorboard(tmp_path)["loss"] == [(1, 0.69), (2, 0.5)]


def test_tensorboard_shows_nothing_of_a_run_that_was_replaced(tmp_path):
    pytest.importorskip("tensorboard", reason="needs preftune[tensorboard]")
    log("tensorboard", tmp_path)
    log("tensorboard", tmp_path, [{"step": 1, "loss": 0.5}])
    assert {name: found for name, found in read_tensorboard(tmp_path).items() if found} == {"loss": [(1, 0.5)]}


def test_the_id_of_a_run_is_that_of_its_earlier_start_and_no_other_run_gets_it(tmp_path):
    TrackedRun(tmp_path, {}).keep_id("wandb", "abc")
    assert TrackedRun(tmp_path, {}, resumed_from=2).earlier_id("wandb") == "abc"
    assert TrackedRun(tmp_path, {}, resumed_from=2).earlier_id("mlflow") is None
    assert TrackedRun(tmp_path, {}).earlier_id("wandb") is None


def test_mlflow_keeps_every_number_in_files_of_the_run(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="needs preftune[mlflow]")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "run").mkdir()
    assert log("mlflow", tmp_path) == []
    assert log("mlflow", tmp_path, [{"step": 3, "loss": 0.6}], resumed_from=2) == []
    client = mlflow.MlflowClient((tmp_path / "mlruns").as_uri())
    number = client.get_experiment_by_name("preftune").experiment_id
    (run,) = client.search_runs([number])
    assert run.data.params["objective.name"] == "sigmoid"
    found = {name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)] for name in SERIES}
    assert found == SERIES | {"loss": [*SERIES["loss"], (3, 0.6)]}


def test_wandb_offline_stores_every_row(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="needs preftune[wandb]")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert log("wandb", tmp_path) == []
    identity = (tmp_path / "run" / "wandb_run_id").read_text().strip()
    assert [path.name for path in tmp_path.rglob("*.wandb")] == [f"run-{identity}.wandb"]
    stored, until = b"", time.monotonic() + 30
    while b"0.75" not in stored and time.monotonic() < until:  # a process of wandb's own writes, after we are done
        stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*.wandb"))
        time.sleep(0.1)
    assert b"0.6931" in stored
    assert b"rewards/margins" in stored


def test_trackio_stores_every_row(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio", reason="needs preftune[trackio]")
    assert log("trackio", tmp_path) == []
    stored = b"".join(path.read_bytes() for path in (tmp_path / "trackio").rglob("*") if path.is_file())
    assert b"0.6931" in stored


class Failing:
    """A tracker whose server has gone."""

    def __init__(self, run):
        self.rows = 0

    def log(self, step, metrics):
        self.rows += 1
        raise ConnectionError("no route to host\nand much more")

    def close(self):
        raise AssertionError("a tracker that failed is not asked again")


def test_a_tracker_that_fails_is_told_of_once_and_the_others_go_on(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard", reason="needs preftune[tensorboard]")
    import preftune.runs.trackers.tensorboard as module

    monkeypatch.setattr(module, "begin", Failing)
    assert log("tensorboard", tmp_path) == [
        "report_to: tensorboard failed and gets no more rows: no route to host",
    ]
    monkeypatch.setattr(module, "begin", lambda run: 1 / 0)
    assert log("tensorboard", tmp_path) == ["report_to: tensorboard failed and gets no more rows: division by zero"]


def test_a_tracker_that_is_not_installed_is_refused_with_what_to_install(monkeypatch):
    import preftune.runs.trackers.base as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"mlflow is not installed: pip install 'preftune\[mlflow\]'"):
        require(["mlflow"])
    require([])
