"""Keeping the best model, a KL budget, ending early: what is kept, and that a resume changes nothing."""

from __future__ import annotations

import json
import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from preftune.config.schema import Eval
from preftune.errors import ConfigError
from preftune.recipe import train
from preftune.recipe.keeping import Keeping
from run_child import At, run_child
from run_helpers import checked, settings, timeless, weights, write_pairs


def row(step: int, accuracy: float = 0.5, loss: float = 0.6, kl: float = 1.0) -> dict[str, float]:
    return {
        "step": step, "eval_loss": loss, "eval_rewards/accuracies": accuracy,
        "eval_rewards/margins": 1 - loss, "eval_kl_div": kl,
    }  # fmt: skip


def keeping(every: int | None = 2, **options: Any) -> Keeping:
    return Keeping.of(Eval(every=2, **options), every)


def test_the_best_by_accuracy_margin_or_loss_is_kept_but_never_the_untrained_model():
    rows = [row(0, 0.9, 0.1), row(2, 0.6, 0.5), row(4, 0.8, 0.6), row(6, 0.8, 0.55), row(8, 0.8, 0.55)]
    assert keeping(keep_best="accuracy").best(rows)["step"] == 6  # of equals the lower loss, then the earlier one
    assert keeping(keep_best="margin").best(rows)["step"] == 2
    assert keeping(keep_best="loss").best(rows)["step"] == 2
    assert keeping(keep_best="loss").best(rows[:1]) is None
    assert keeping().best(rows) is None


def test_a_kl_budget_keeps_the_last_or_the_best_model_within_it_and_ends_the_run():
    rows = [row(2, 0.7, kl=2), row(4, 0.6, kl=4), row(6, 0.9, kl=11)]
    assert keeping(max_kl=10.0).best(rows)["step"] == 4
    assert keeping(max_kl=10.0, keep_best="accuracy").best(rows)["step"] == 2
    assert keeping(max_kl=10.0).why_end(rows[:2]) is None
    assert keeping(max_kl=10.0).why_end(rows) == "held-out kl_div is 11, above eval.max_kl 10"


def test_where_no_model_fits_the_rules_the_last_one_is_kept_and_that_is_said():
    rows = [row(2, 0.7, kl=2), row(4, 0.6, kl=4)]
    assert str(keeping(max_kl=1.0).kept(rows, 4)) == (
        "the model of step 4 is kept (the last one: none that was measured fits eval.max_kl and eval.keep_best); "
        "the run ended at step 4: held-out kl_div is 2, above eval.max_kl 1"
    )
    assert "the last one" in str(keeping(max_kl=1.0, keep_best="accuracy").kept(rows, 4))
    within = keeping(max_kl=3.0).kept(rows, 4)
    assert (within.step, within.found) == (2, True)
    assert "(the last within the KL budget)" in str(within)


def test_patience_counts_measurements_without_a_better_one():
    rules = keeping(keep_best="accuracy", patience=2)
    rows = [row(2, 0.6), row(4, 0.8), row(6, 0.7), row(8, 0.79)]
    assert rules.why_end(rows[:3]) is None
    assert rules.why_end(rows) == "no better accuracy in 2 measurements since step 4 (eval.patience)"
    assert rules.wants("end", rows, 8)
    assert [rules.wants("save", rows[:2], step) for step in (2, 4)] == [False, True]


@pytest.fixture(scope="module")
def pairs_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("keeping") / "pairs.jsonl")


def run_values(model: Path, data: Path, output: Path, **measured: Any) -> dict[str, Any]:
    """Fourteen steps at a rate at which held-out accuracy goes up and down, with dropout; checkpoints are pruned."""
    values = settings(model, data, output, eval={"every": 2, **measured}, model={"lora": {"dropout": 0.1}})
    values["train"] |= {"max_steps": 14, "learning_rate": 0.03, "log_every": 5, "save_every": 3, "keep_last": 1}
    return values


def with_sections(values: dict[str, Any], sections: dict[str, Any]) -> dict[str, Any]:
    """The values with these laid over their sections."""
    return values | {name: values[name] | section for name, section in sections.items()}


def summary(output: Path) -> dict[str, Any]:
    return json.loads((output / "dpo_metrics" / "summary.json").read_text(encoding="utf-8"))


def by_hand(output: Path, name: str, sign: int) -> int:
    """The step of the best measurement of a run, from its log."""
    rows = [row for row in timeless(output) if "eval_loss" in row and row["step"] > 0]
    return max(rows, key=lambda row: (sign * row[name], -row["eval_loss"], -row["step"]))["step"]


@pytest.mark.usefixtures("no_picture")
def test_the_saved_model_is_that_of_the_best_measurement(model_folder: Path, pairs_file: Path, tmp_path: Path) -> None:
    plain = run_values(model_folder, pairs_file, tmp_path / "plain")
    plain["train"] |= {"save_every": 2, "keep_last": None, "log_every": 2}
    train(checked(plain))
    for by, name, sign in (("loss", "eval_loss", -1), ("margin", "eval_rewards/margins", 1)):
        out = tmp_path / by
        values = run_values(model_folder, pairs_file, out, keep_best=by)
        train(checked(values))
        step = by_hand(tmp_path / "plain", name, sign)
        kept = summary(out)["kept"]
        assert (kept["step"], kept["last_step"], kept["by"], kept["ended"]) == (step, 14, by, None)
        assert summary(out)["held_out"][name]["end"] == kept["value"]
        assert_equal(weights(out), weights(tmp_path / "plain" / "checkpoints" / f"step-{step:06d}"))
        assert f"step-{step:06d}" in {folder.name for folder in (out / "checkpoints").iterdir()}
        assert summary(out)["pairs"]["held_out"]["after"]["accuracy"] == summary(out)["held_out_accuracy"]["value"]


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("step", "number"), [("step done", 5), ("step done", 9), ("step done", 12)])
def test_a_killed_run_goes_on_to_the_same_end(
    model_folder: Path, pairs_file: Path, tmp_path: Path, ended_early: Path, step: str, number: int
) -> None:
    values = run_values(model_folder, pairs_file, tmp_path / "out", keep_best="loss", patience=2)
    killed = run_child(values, tmp_path, At(step, number))
    again = run_child(values, tmp_path)
    assert again.code == 0, again.printed
    assert killed.code in (-signal.SIGKILL, 0)
    assert timeless(tmp_path / "out") == timeless(ended_early)
    assert summary(tmp_path / "out")["kept"] == summary(ended_early)["kept"]
    assert_equal(weights(tmp_path / "out"), weights(ended_early))


@pytest.fixture(scope="module")
def ended_early(model_folder: Path, pairs_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody touched and that patience ends; treat as read-only."""
    folder = tmp_path_factory.mktemp("ended")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFTUNE_CACHE", str(folder / "cache"))
        ended = run_child(run_values(model_folder, pairs_file, folder / "out", keep_best="loss", patience=2), folder)
    assert ended.code == 0, ended.printed
    return folder / "out"


def test_the_best_checkpoint_that_somebody_removes_meanwhile_is_named_and_another_kept(
    model_folder: Path, pairs_file: Path, tmp_path: Path, ended_early: Path
) -> None:
    kept = summary(ended_early)["kept"]
    values = run_values(model_folder, pairs_file, tmp_path / "out", keep_best="loss", patience=2)
    best = tmp_path / "out" / "checkpoints" / f"step-{kept['step']:06d}"
    ended = run_child(values, tmp_path, At("step done", kept["last_step"], do=partial(shutil.rmtree, best)))
    assert ended.code == 0, ended.printed
    assert f"warning: the best model so far, of step {kept['step']}, has no sound checkpoint" in ended.printed
    assert kept["step"] < summary(tmp_path / "out")["kept"]["step"] <= kept["last_step"]


def test_patience_ends_a_run_with_the_best_model_and_says_why(ended_early: Path) -> None:
    kept = summary(ended_early)["kept"]
    assert kept["last_step"] == kept["step"] + 4 < 14
    assert "eval.patience" in kept["ended"]
    assert summary(ended_early)["steps"] == kept["last_step"]
    rows = timeless(ended_early)
    assert {row["step"] for row in rows if "eval_loss" in row} <= {row["step"] for row in rows if "loss" in row}


@pytest.mark.usefixtures("no_picture")
def test_a_kl_budget_ends_a_run(model_folder: Path, pairs_file: Path, tmp_path: Path) -> None:
    slow = {"train": {"learning_rate": 0.003}}
    train(checked(with_sections(run_values(model_folder, pairs_file, tmp_path / "free"), slow)))
    drifts = {row["step"]: row["eval_kl_div"] for row in timeless(tmp_path / "free") if "eval_kl_div" in row}
    steps = [step for step in drifts if step]
    over = next(step for step in steps[1:] if drifts[step] > max([0.01, *(drifts[s] for s in steps if s < step)]))
    budget = (drifts[over] + max([0.01, *(drifts[s] for s in steps if s < over)])) / 2
    train(checked(with_sections(run_values(model_folder, pairs_file, tmp_path / "out", max_kl=budget), slow)))
    kept = summary(tmp_path / "out")["kept"]
    assert (kept["last_step"], kept["step"]) == (over, over - 2)
    assert "above eval.max_kl" in kept["ended"]


def test_rules_that_cannot_be_followed_are_refused(model_folder: Path, pairs_file: Path, tmp_path: Path) -> None:
    values = settings(model_folder, pairs_file, tmp_path / "out")
    with pytest.raises(ConfigError, match="needs eval.keep_best, which says what better means"):
        checked(values | {"eval": {"every": 2, "patience": 2}})
    with pytest.raises(ConfigError, match="needs measurements while training goes on: give eval.every"):
        checked(values | {"eval": {"keep_best": "loss"}})
    with pytest.raises(ConfigError, match="there is no kl_div: leave eval.max_kl out"):
        train(checked(values | {"objective": {"name": "simpo"}, "eval": {"every": 2, "max_kl": 5.0}}))
