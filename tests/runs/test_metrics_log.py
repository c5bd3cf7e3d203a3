"""The running record holds whole rows, exactly, and only those of the run that goes on."""

from __future__ import annotations

import math
import os

import pytest

from preftune.errors import RunFolderError
from preftune.runs import json_lines
from preftune.runs.metrics_log import MetricsLog, held_out_rows, read_history, training_rows


def rows(*steps: int) -> list[dict[str, int | float]]:
    return [{"step": step, "loss": 0.1 + step / 3} for step in steps]


def filled(path, *steps: int) -> None:
    with MetricsLog(path, resume_step=None) as log:
        for row in rows(*steps):
            log.append(row)


def test_floats_come_back_bit_for_bit(tmp_path):
    values = [0.1 + 0.2, 5e-324, -1.7976931348623157e308, math.log(2), 5e-7]
    with MetricsLog(tmp_path / "m.jsonl", resume_step=None) as log:
        for step, value in enumerate(values):
            log.append({"step": step, "loss": value})
    assert [row["loss"] for row in read_history(tmp_path / "m.jsonl")] == values


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "0.5", None, True])
def test_what_is_no_finite_number_is_refused_and_not_written(tmp_path, value):
    with MetricsLog(tmp_path / "m.jsonl", resume_step=None) as log, pytest.raises(ValueError, match="loss is"):
        log.append({"step": 3, "loss": value})
    assert (tmp_path / "m.jsonl").read_text() == ""


@pytest.mark.parametrize("step", [None, -1, 1.0, True])
def test_a_row_needs_a_whole_step(tmp_path, step):
    with MetricsLog(tmp_path / "m.jsonl", resume_step=None) as log, pytest.raises(ValueError, match="whole step"):
        log.append({"step": step, "loss": 0.1})


def test_a_torn_last_line_is_cut_off(tmp_path):
    path = tmp_path / "m.jsonl"
    filled(path, 1, 2)
    with path.open("ab") as file:
        file.write(b'{"step": 3, "lo')
    assert read_history(path) == rows(1, 2)
    with MetricsLog(path, resume_step=2) as log:
        log.append(rows(3)[0])
        assert log.rows == rows(1, 2, 3)
    assert read_history(path) == rows(1, 2, 3)


def test_rows_after_the_checkpoint_are_dropped_on_resume(tmp_path):
    path = tmp_path / "m.jsonl"
    filled(path, 0, 10, 20, 30)
    with MetricsLog(path, resume_step=10) as log:
        assert log.rows == rows(0, 10)
    assert read_history(path) == rows(0, 10)
    with MetricsLog(path, resume_step=None):
        assert read_history(path) == []


@pytest.mark.parametrize("line", ["{", "[1]", '{"step": 1, "loss": NaN}', '{"loss": 1}', '{"step": 1, "loss": 1e999}'])
def test_a_broken_line_in_the_middle_is_named(tmp_path, line):
    path = tmp_path / "m.jsonl"
    path.write_text(f'{{"step": 1, "loss": 0.5}}\n{line}\n{{"step": 2, "loss": 0.5}}\n')
    with pytest.raises(RunFolderError, match=r"m\.jsonl:2: not a row"):
        read_history(path)


def test_a_disk_that_fills_up_within_a_line_leaves_whole_lines(tmp_path, monkeypatch):
    path = tmp_path / "m.jsonl"
    write = os.write
    with MetricsLog(path, resume_step=None) as log:
        log.append(rows(1)[0])
        monkeypatch.setattr(json_lines.os, "write", lambda handle, blob: write(handle, blob[:7]))
        with pytest.raises(RunFolderError, match="disk is full"):
            log.append(rows(2)[0])
        monkeypatch.setattr(json_lines.os, "write", write)
        log.append(rows(3)[0])
        assert log.rows == rows(1, 3)
    assert path.read_bytes().count(b"\n") == 2
    assert read_history(path) == rows(1, 3)


def test_no_file_is_an_empty_history(tmp_path):
    assert read_history(tmp_path / "absent.jsonl") == []


def test_rows_are_told_apart_by_what_they_hold():
    mixed = [{"step": 0, "eval_loss": 0.7}, {"step": 0, "loss": 0.7}, {"step": 1, "loss": 0.6}]
    assert training_rows(mixed) == [mixed[2]]
    assert held_out_rows(mixed) == [mixed[0]]
