"""What is read of a run's folder for comparisons."""

from __future__ import annotations

import json
from pathlib import Path

from preftune.runs.directory import RunDirectory
from preftune.runs.outcomes import read_outcome


def test_a_run_that_keeps_an_earlier_model_is_compared_by_that_one(tmp_path: Path) -> None:
    rows = [
        {"step": step, "eval_loss": loss, "eval_rewards/accuracies": accuracy, "eval_kl_div": kl, "eval_num_pairs": 100}
        for step, loss, accuracy, kl in ((0, 0.69, 0.5, 0.0), (4, 0.5, 0.8, 1.0), (8, 0.9, 0.6, -30.0))
    ]
    directory = RunDirectory(tmp_path)
    directory.run_dir.mkdir()
    directory.metrics_dir.mkdir()
    directory.metrics_jsonl.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    for kept, step in (({"step": 4, "last_step": 8}, 4), (None, 8)):
        directory.summary_json.write_text(json.dumps({"status": "finished", "kept": kept}), encoding="utf-8")
        found = read_outcome(tmp_path)
        expected = rows[step // 4]
        assert (found.step, found.loss, found.accuracy, found.kl_div) == (
            step, expected["eval_loss"], expected["eval_rewards/accuracies"], expected["eval_kl_div"],
        )  # fmt: skip
        assert len(found.history) == 3
