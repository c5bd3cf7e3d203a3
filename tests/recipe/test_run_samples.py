"""Answers drawn before and after training: the same seeds, kept over an interruption, and no trace in the training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from preftune.errors import ConfigError
from preftune.recipe import train
from preftune.runs.directory import RunDirectory
from run_helpers import checked, history, losses, settings, weights

ASKED = {"samples": 3, "sample_tokens": 6}


def run(folder: Path, pairs: Path, output: Path, **sections: Any) -> dict[str, Any]:
    """The summary of a run."""
    train(checked(settings(folder, pairs, output, **sections)))
    return json.loads(RunDirectory(output).summary_json.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def rows(output: Path) -> list[dict[str, Any]]:
    text = RunDirectory(output).samples_jsonl.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_that_learns_nothing_answers_as_before_with_no_divergence(
    model_folder: Path, pairs_file: Path, tmp_path: Path
) -> None:
    still = {"learning_rate": 1e-12, "max_steps": 2}
    answers = run(model_folder, pairs_file, tmp_path / "out", eval=ASKED, train=still)["answers"]
    assert answers["answers"] == 3
    assert answers["before"] == answers["after"]
    assert answers["kl"] == pytest.approx(0, abs=1e-9)
    assert len({row["row"] for row in rows(tmp_path / "out")}) == 3
    assert all(row["before"] == row["after"] and row["drawn"] for row in rows(tmp_path / "out"))


def test_drawing_answers_changes_nothing_of_the_training(model_folder: Path, pairs_file: Path, tmp_path: Path) -> None:
    rough = {"model": {"lora": {"rank": 4, "alpha": 8, "dropout": 0.2}}}
    run(model_folder, pairs_file, tmp_path / "plain", **rough)
    summary = run(model_folder, pairs_file, tmp_path / "asked", eval=ASKED, **rough)
    assert losses(tmp_path / "plain") == losses(tmp_path / "asked")
    plain, asked = weights(tmp_path / "plain"), weights(tmp_path / "asked")
    assert all(torch.equal(plain[name], asked[name]) for name in plain)
    assert summary["answers"]["kl"] > 0
    assert 0 < summary["answers"]["kl_per_token"] <= summary["answers"]["kl"]


@pytest.mark.parametrize(("kind", "known"), [("cached", False), ("frozen", True)])
def test_full_training_knows_the_divergence_only_where_the_reference_is_kept(
    kind: str, known: bool, model_folder: Path, pairs_file: Path, tmp_path: Path
) -> None:
    sections = {"model": {"lora": None}, "reference": {"kind": kind}, "train": {"learning_rate": 1e-3, "max_steps": 2}}
    answers = run(model_folder, pairs_file, tmp_path / "out", eval=ASKED, **sections)["answers"]
    assert ("kl" in answers) == known
    assert ("reference.kind: frozen" in answers.get("kl_missing", "")) == (not known)
    assert answers["before"]["tokens"] > 0


def test_a_loss_without_reference_says_that_there_is_no_divergence(
    model_folder: Path, pairs_file: Path, tmp_path: Path
) -> None:
    answers = run(model_folder, pairs_file, tmp_path / "out", eval=ASKED, objective={"name": "simpo"})["answers"]
    assert answers["kl_missing"] == "the objective uses no reference"


def test_a_resumed_run_compares_with_the_answers_of_its_start(
    model_folder: Path, pairs_file: Path, tmp_path: Path
) -> None:
    run(model_folder, pairs_file, tmp_path / "whole", eval=ASKED)
    run(model_folder, pairs_file, tmp_path / "cut", eval=ASKED)
    cut = RunDirectory(tmp_path / "cut")
    cut.summary_json.unlink()  # as if the power had failed before the end
    run(model_folder, pairs_file, tmp_path / "cut", eval=ASKED)
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    assert history(tmp_path / "cut")[-1]["step"] == 6


def test_answers_need_held_out_prompts_and_a_whole_model(model_folder: Path, pairs_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"eval\.samples.*held-out prompts"):
        checked(settings(model_folder, pairs_file, tmp_path, eval=ASKED, data={"eval_fraction": 0}))
    with pytest.raises(ConfigError, match=r"eval\.sample_tokens.*has no use without eval\.samples"):
        checked(settings(model_folder, pairs_file, tmp_path, eval={"sample_tokens": 6}))
    with pytest.raises(ConfigError, match=r"eval\.samples.*divided"):
        checked(settings(model_folder, pairs_file, tmp_path, eval=ASKED, train={"parallel": "fsdp"}))
