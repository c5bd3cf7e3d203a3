"""The diagnosis on whole runs: every planted fault is named or refused, and no healthy run is accused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from planted import HEALTHY, SICK, Run, runs_table, save_talker

from preftune.errors import InputError
from preftune.metrics.diagnose.describe import rules_table
from preftune.recipe import train
from preftune.recipe.run import RunResult
from preftune.runs.display import QuietReporter
from run_helpers import checked, settings, write_rows

DOCS = Path(__file__).resolve().parents[2] / "docs" / "diagnosis.md"
MODELS: dict[str, dict[str, Any]] = {
    "talker": {"seed": 0},
    "wide": {"seed": 1, "hidden_size": 64, "intermediate_size": 128},
    "deep": {"seed": 2, "num_hidden_layers": 4},
    "stranger": {"seed": 7},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("talkers")
    return {name: save_talker(folder / name, **options) for name, options in MODELS.items()}


def result_of(run: Run, models: dict[str, Path], folder: Path, reporter: QuietReporter | None = None) -> RunResult:
    """Two epochs of 8 pairs a step, measured on held-out pairs every fifth step."""
    values = settings(models[run.model], write_rows(folder / "pairs.jsonl", run.rows), folder / "out")
    sections = {name: section for name, section in run.sections.items() if name != "objective"}
    usual = {"max_steps": None, "epochs": 2, "pairs_per_step": 8, "warmup": 0.1, "log_every": 1, "save_every": 1000}
    values["train"] |= usual
    values["data"]["eval_fraction"] = 0.3
    values["eval"] = {"every": 5}
    for name, section in sections.items():
        values[name] = {**values.get(name, {}), **section}
    if "reference" in sections:
        values["reference"] = {"path": str(models[sections["reference"]["path"]])}
    values |= {"objective": run.sections.get("objective", values["objective"])}
    return train(checked(values), reporter=reporter)


def accusations(result: RunResult) -> set[str]:
    findings = result.summary["verdict"]["findings"]
    return {finding["code"] for finding in findings if finding["severity"] != "note"}


@pytest.mark.usefixtures("no_picture")
@pytest.mark.parametrize("run", SICK, ids=lambda run: run.name)
def test_a_planted_fault_is_named(
    run: Run, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if run.patch is not None:
        run.patch(monkeypatch)
    if run.refused:
        with pytest.raises(InputError, match=run.refused):
            result_of(run, models, tmp_path)
        assert not (tmp_path / "out").exists()
        return
    result = result_of(run, models, tmp_path)
    if run.found == ("gradient_spike",):  # one spike is a note
        spike = next(f for f in result.summary["verdict"]["findings"] if f["code"] == "gradient_spike")
        assert "pairs.jsonl:51" in spike["message"]
        return
    assert accusations(result) == set(run.found), result.summary["verdict"]
    named = next(f for f in result.summary["verdict"]["findings"] if f["code"] == run.found[0])
    assert all(named[part] for part in ("message", "evidence", "cause", "advice", "source"))
    assert named["message"] in result.summary["verdict"]["sentence"]


@pytest.mark.usefixtures("no_picture")
@pytest.mark.parametrize("run", HEALTHY, ids=lambda run: run.name)
def test_a_healthy_run_is_not_accused(run: Run, models: dict[str, Path], tmp_path: Path) -> None:
    reporter = QuietReporter()
    verdict = result_of(run, models, tmp_path, reporter).summary["verdict"]
    assert verdict["healthy"], verdict
    assert [f for f in reporter.findings if f["severity"] != "note"] == [], "not while it goes on either"
    assert [f for f in verdict["findings"] if f["severity"] != "note"] == []


def test_the_documentation_shows_these_runs_and_every_rule() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert runs_table() in text
    assert rules_table() in text
