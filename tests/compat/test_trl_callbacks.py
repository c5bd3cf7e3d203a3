"""transformers' callbacks hear of every event that exists, and get what they ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import EarlyStoppingCallback, TrainerCallback
from transformers.integrations import integration_utils

from preftune import DPOConfig, DPOTrainer
from preftune.errors import ConfigError
from run_helpers import PAIRS, as_row

ROWS = [as_row(pair) for pair in PAIRS]


@pytest.fixture
def quick(tmp_path: Path) -> dict[str, Any]:
    """Two passes of two steps over eight pairs."""
    return {
        "output_dir": str(tmp_path / "out"),
        "num_train_epochs": 2,
        "per_device_train_batch_size": 4,
        "learning_rate": 0.01,
        "disable_tqdm": True,
    }


class Noting(TrainerCallback):
    """Notes the events with their step."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.facts: dict[str, Any] = {}

    def _note(self, name: str, state: Any) -> None:
        self.events.append(f"{name} {state.global_step}")

    def on_init_end(self, args: Any, state: Any, control: Any, **facts: Any) -> None:
        self._note("init", state)

    def on_train_begin(self, args: Any, state: Any, control: Any, **facts: Any) -> None:
        self._note("begin", state)
        self.facts = facts | {"max_steps": state.max_steps, "epochs": state.num_train_epochs}

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **facts: Any) -> None:
        self._note("epoch", state)

    def on_step_begin(self, args: Any, state: Any, control: Any, **facts: Any) -> None:
        self._note("step", state)

    def on_step_end(self, args: Any, state: Any, control: Any, **facts: Any) -> None:
        self._note("stepped", state)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any, **facts: Any) -> None:
        self._note("summary" if "train_loss" in logs else "log", state)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any, **facts: Any) -> None:
        self._note("evaluated", state)
        assert metrics["eval_loss"] > 0

    def on_save(self, args: Any, state: Any, control: Any, **facts: Any) -> None:
        self._note("saved", state)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **facts: Any) -> None:
        self._note(f"epoch {state.epoch:g} over", state)

    def on_train_end(self, args: Any, state: Any, control: Any, **facts: Any) -> None:
        self._note("end", state)


def test_every_event_is_heard_in_order(model_folder: Path, quick: dict[str, Any]) -> None:
    noting = Noting()
    args = DPOConfig(**quick, logging_steps=2, save_strategy="no", eval_strategy="epoch")
    trainer = DPOTrainer(
        str(model_folder), args=args, train_dataset=ROWS[:8], eval_dataset=ROWS[8:], callbacks=[noting]
    )
    trainer.train()
    assert noting.events == [
        *["init 0", "begin 0"],
        *["epoch 0", "step 0", "stepped 1", "step 1", "stepped 2", "epoch 1 over 2", "log 2", "log 2", "evaluated 2"],
        *["epoch 2", "step 2", "stepped 3", "step 3", "stepped 4", "epoch 2 over 4", "log 4", "log 4", "evaluated 4"],
        *["summary 4", "end 4"],
    ]
    assert (noting.facts["max_steps"], noting.facts["epochs"]) == (4, 2)
    assert noting.facts["model"] is trainer.model
    assert noting.facts["processing_class"] is trainer.tokenizer
    assert noting.facts["optimizer"].param_groups


def test_rows_are_those_that_trl_logs(model_folder: Path, quick: dict[str, Any]) -> None:
    def history(**arguments: Any) -> list[dict[str, float]]:
        args = DPOConfig(**quick | {"output_dir": quick["output_dir"] + str(len(arguments))}, **arguments)
        trainer = DPOTrainer(str(model_folder), args=args, train_dataset=ROWS[:8], eval_dataset=ROWS[8:])
        trainer.train()
        return trainer.state.log_history

    rows = history(logging_steps=2)
    assert [row["step"] for row in rows if "loss" in row] == [2, 4]
    names = {
        "rewards/chosen",
        "rewards/margins",
        "rewards/accuracies",
        "logps/chosen",
        "learning_rate",
        "grad_norm",
        "epoch",
    }
    assert names <= rows[0].keys()
    assert rows[-1]["train_loss"] == pytest.approx((rows[0]["loss"] + rows[1]["loss"]) / 2)
    assert {"eval_loss", "eval_runtime", "eval_samples_per_second", "epoch"} <= rows[2].keys()
    assert rows[2]["step"] == 4
    started = history(logging_steps=2, eval_on_start=True)
    assert (started[0]["step"], started[0]["eval_loss"]) == (0, pytest.approx(0.693147, abs=1e-5))


def test_the_speed_counts_the_pairs_of_a_last_step_that_is_not_full(model_folder: Path, quick: dict[str, Any]) -> None:
    args = DPOConfig(**quick | {"num_train_epochs": 1, "per_device_train_batch_size": 4})
    trainer = DPOTrainer(str(model_folder), args=args, train_dataset=ROWS[:6])
    trainer.train()
    summary = trainer.state.log_history[-1]
    assert summary["train_steps_per_second"] * summary["train_runtime"] == pytest.approx(2)
    assert summary["train_samples_per_second"] * summary["train_runtime"] == pytest.approx(6)


class Asking(TrainerCallback):
    """Asks for a log row, a checkpoint and a measurement after step 1, and for the end after step 2."""

    def on_step_end(self, args: Any, state: Any, control: Any, **facts: Any) -> Any:
        control.should_log = control.should_save = control.should_evaluate = state.global_step == 1
        control.should_training_stop = state.global_step == 2
        return control


def test_what_a_callback_asks_for_happens(model_folder: Path, quick: dict[str, Any]) -> None:
    noting = Noting()
    args = DPOConfig(**quick, logging_strategy="no", save_strategy="no")
    rows = {"train_dataset": ROWS[:8], "eval_dataset": ROWS[8:]}
    trainer = DPOTrainer(str(model_folder), args=args, **rows, callbacks=[Asking, noting])
    assert trainer.train().global_step == 2
    assert [e for e in noting.events if e.split()[0] in ("log", "saved", "evaluated", "end")] == [
        *["log 1", "saved 1", "log 1", "evaluated 1", "log 2", "log 2", "evaluated 2", "end 2"]
    ]
    assert (Path(quick["output_dir"]) / "checkpoints" / "step-000001").is_dir()
    assert trainer.prepared.plan.steps == 4


def test_early_stopping_ends_the_run(model_folder: Path, quick: dict[str, Any]) -> None:
    def steps(**arguments: Any) -> tuple[int, float | None, int | None]:
        args = DPOConfig(
            **quick
            | {"num_train_epochs": 4, "learning_rate": 1e-9, "output_dir": quick["output_dir"] + str(arguments)},
            eval_strategy="steps",
            eval_steps=1,
            **arguments,
        )
        trainer = DPOTrainer(
            str(model_folder),
            args=args,
            train_dataset=ROWS[:8],
            eval_dataset=ROWS[8:],
            callbacks=[EarlyStoppingCallback(early_stopping_patience=2, early_stopping_threshold=0.5)],
        )
        return trainer.train().global_step, trainer.state.best_metric, trainer.state.best_global_step

    stopped, best, _ = steps(metric_for_best_model="loss")
    assert (stopped, best) == (3, pytest.approx(0.693147, abs=1e-3))
    assert steps(metric_for_best_model="eval_rewards/accuracies", greater_is_better=True)[0] == 3


def test_the_best_model_is_the_one_that_is_left(model_folder: Path, quick: dict[str, Any]) -> None:
    args = DPOConfig(
        **quick | {"num_train_epochs": 6, "learning_rate": 0.05},
        eval_strategy="steps",
        eval_steps=1,
        load_best_model_at_end=True,
    )
    stop = EarlyStoppingCallback(early_stopping_patience=2)
    rows = {"train_dataset": ROWS[:8], "eval_dataset": ROWS[8:]}
    trainer = DPOTrainer(str(model_folder), args=args, **rows, callbacks=[stop])
    ended = trainer.train().global_step
    measured = {row["step"]: row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row}
    best = min(measured, key=lambda step: measured[step])
    assert ended == best + 2 < 12
    assert (trainer.state.best_global_step, trainer.state.best_metric) == (best, measured[best])
    assert Path(trainer.state.best_model_checkpoint).is_dir()
    assert Path(trainer.state.best_model_checkpoint).name == f"step-{best:06d}"
    assert trainer.evaluate()["eval_loss"] == pytest.approx(measured[best], abs=1e-6)


class Saving(TrainerCallback):
    """Asks for a checkpoint when a measurement is good."""

    def on_evaluate(self, args: Any, state: Any, control: Any, **facts: Any) -> None:
        control.should_save = state.global_step == 3


def test_a_checkpoint_asked_for_by_a_measurement_is_of_its_step(model_folder: Path, quick: dict[str, Any]) -> None:
    args = DPOConfig(**quick, eval_strategy="steps", eval_steps=1, save_strategy="no")
    rows = {"train_dataset": ROWS[:8], "eval_dataset": ROWS[8:]}
    DPOTrainer(str(model_folder), args=args, **rows, callbacks=[Saving()]).train()
    assert [p.name for p in (Path(quick["output_dir"]) / "checkpoints").iterdir()] == ["step-000003"]


class Waiting(TrainerCallback):
    """Waits for events that do not happen."""

    def on_substep_end(self, args: Any, state: Any, control: Any, **facts: Any) -> None: ...

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **facts: Any) -> None: ...


class Skipping(TrainerCallback):
    """Wants to leave the rest of an epoch out."""

    def on_step_end(self, args: Any, state: Any, control: Any, **facts: Any) -> None:
        control.should_epoch_stop = True


def test_what_is_not_there_is_an_error(model_folder: Path, quick: dict[str, Any]) -> None:
    def made(*callbacks: Any) -> DPOTrainer:
        return DPOTrainer(str(model_folder), args=DPOConfig(**quick), train_dataset=ROWS, callbacks=callbacks)

    with pytest.raises(ConfigError, match="Waiting waits for on_substep_end, on_optimizer_step, which does not happen"):
        made(Waiting())
    with pytest.raises(ConfigError, match="is not a transformers.TrainerCallback"):
        made(print)
    trainer = made()
    with pytest.raises(ConfigError, match="on_substep_end"):
        trainer.add_callback(Waiting)
    trainer.add_callback(Skipping)
    with pytest.raises(ConfigError, match="use should_training_stop"):
        trainer.train()
    args = DPOConfig(**quick, eval_strategy="epoch", metric_for_best_model="lss")
    bad = DPOTrainer(str(model_folder), args=args, train_dataset=ROWS[:8], eval_dataset=ROWS[8:])
    with pytest.raises(ConfigError, match="metric_for_best_model='lss' is not measured; did you mean 'eval_loss'"):
        bad.train()


def test_callbacks_can_be_added_and_taken_out(model_folder: Path, quick: dict[str, Any]) -> None:
    trainer = DPOTrainer(str(model_folder), args=DPOConfig(**quick), train_dataset=ROWS)
    noting = Noting()
    trainer.add_callback(noting)
    assert trainer.pop_callback(Noting) is noting
    trainer.add_callback(Noting)
    trainer.remove_callback(Noting)
    assert not [c for c in trainer.callback_handler.callbacks if isinstance(c, Noting)]


def test_a_tracker_is_told_through_its_own_callback(
    model_folder: Path, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    class Tracker(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any, **facts: Any) -> None:
            seen.append((args.run_name, args.project, args.trackio_space_id, logs.get("loss")))

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "mine", Tracker)
    args = DPOConfig(
        **quick, report_to="mine", run_name="one", project="two", trackio_space_id="three", logging_steps=4
    )
    DPOTrainer(str(model_folder), args=args, train_dataset=ROWS[:8]).train()
    assert seen[0][:3] == ("one", "two", "three")
    assert seen[0][3] > 0
    with pytest.raises(ConfigError, match="report_to"):
        DPOTrainer(str(model_folder), args=DPOConfig(**quick, report_to="nobody"), train_dataset=ROWS[:8])
