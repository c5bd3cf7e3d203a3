"""transformers' callbacks as the observer of a run: which events there are, and what a callback may ask for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback
from transformers.integrations.integration_utils import get_reporting_integration_callbacks
from transformers.trainer_callback import CallbackHandler, DefaultFlowCallback

from ...errors import ConfigError, did_you_mean
from ...recipe import Beginning, Observer
from ...runs.directory import RunDirectory
from ...train.loop import Wish
from .arguments import PreferenceArguments

if TYPE_CHECKING:
    from .trainer import PreferenceTrainer

NOT_THERE = ("on_substep_end", "on_pre_optimizer_step", "on_optimizer_step", "on_prediction_step", "on_predict")
"""Events that do not happen here: a step and an evaluation are each one piece of work."""

_FLAGS: Mapping[Wish, str] = {
    "log": "should_log",
    "save": "should_save",
    "evaluation": "should_evaluate",
    "end": "should_training_stop",
}


def checked_callback(callback: Any) -> Any:
    """The callback, or its class, as it was given.

    Raises:
        ConfigError: it waits for an event that does not happen here.
    """
    kind = callback if isinstance(callback, type) else type(callback)
    if not issubclass(kind, TrainerCallback):
        raise ConfigError(f"callbacks: {kind.__name__} is not a transformers.TrainerCallback")
    waiting = [name for name in NOT_THERE if getattr(kind, name) is not getattr(TrainerCallback, name)]
    if waiting:
        raise ConfigError(
            f"callbacks: {kind.__name__} waits for {', '.join(waiting)}, which does not happen here. There are "
            "on_train_begin, on_epoch_begin, on_step_begin, on_step_end, on_log, on_save, on_evaluate, on_epoch_end "
            "and on_train_end"
        )
    return callback


def make_handler(
    args: PreferenceArguments, callbacks: Iterable[Any] | None, model: Any, tokenizer: Any
) -> CallbackHandler:
    """All callbacks of a trainer: transformers' default flow, the trackers of ``report_to``, and those given."""
    own = [checked_callback(callback) for callback in callbacks or ()]
    try:
        trackers = [kind() for kind in get_reporting_integration_callbacks(args.report_to)]
    except (ValueError, RuntimeError, ImportError) as error:
        raise ConfigError(f"report_to={args.report_to}: {error}") from None
    return CallbackHandler([DefaultFlowCallback, *trackers, *own], model, tokenizer, None, None)


class Bridge(Observer):
    """Tells a trainer's callbacks what happens, keeps its ``state``, and passes on what they ask for."""

    def __init__(self, trainer: PreferenceTrainer) -> None:
        self.trainer = trainer
        self.beginning: Beginning | None = None
        self.in_epoch = False
        self.began = time.perf_counter()
        self.summary: dict[str, float] = {}
        """The last row of TRL's log: time, speed and mean loss of the training."""

    def begins(self, beginning: Beginning) -> None:
        self.beginning = beginning
        trainer, args = self.trainer, self.trainer.args
        state = trainer.state
        state.global_step, state.max_steps = beginning.step, beginning.steps
        state.epoch = beginning.sampler.epoch_after(beginning.step)
        state.num_train_epochs = -(-beginning.steps // beginning.sampler.steps_per_epoch)
        state.train_batch_size = args.per_device_train_batch_size
        state.compute_steps(args, beginning.steps)
        state.log_history = [logs for row in beginning.rows if (logs := self._logs(row)) is not None]
        trainer.callback_handler.optimizer = beginning.optimizer
        self._tell("on_train_begin")

    def stepping(self, step: int) -> None:  # noqa: ARG002
        if not self.in_epoch:
            self.in_epoch = True
            self._tell("on_epoch_begin")
        self._tell("on_step_begin")

    def stepped(self, step: int) -> None:
        assert self.beginning is not None
        state = self.trainer.state
        state.global_step, state.epoch = step, self.beginning.sampler.epoch_after(step)
        self._tell("on_step_end")
        if step % self.beginning.sampler.steps_per_epoch == 0 or step == state.max_steps or self.wants("end"):
            self.in_epoch = False
            self._tell("on_epoch_end")

    def row(self, row: Mapping[str, float | int]) -> None:
        logs = self._logs(row)
        if logs is None:
            return
        self.trainer.log(logs)
        if "eval_loss" in row:
            self._tell("on_evaluate", metrics=logs)
            note_best(self.trainer, logs)  # after it, because EarlyStoppingCallback compares with the best before

    def saved(self, step: int, folder: Path) -> None:  # noqa: ARG002
        self._tell("on_save")

    def wants(self, wish: Wish) -> bool:
        return bool(getattr(self.trainer.control, _FLAGS[wish]))

    def ended(self) -> None:
        if self.in_epoch:
            self.in_epoch = False
            self._tell("on_epoch_end")
        self.summary = self._summary()
        self.trainer.log(self.summary)
        self._tell("on_train_end")

    def _summary(self) -> dict[str, float]:
        assert self.beginning is not None
        seconds = time.perf_counter() - self.began
        before, now, sampler = self.beginning.step, self.trainer.state.global_step, self.beginning.sampler
        steps, passes = now - before, sampler.epoch_after(now) - sampler.epoch_after(before)
        return {
            "train_runtime": seconds,
            "train_samples_per_second": passes * sampler.num_groups / seconds,
            "train_steps_per_second": steps / seconds,
            "train_loss": mean_loss(self.trainer.state.log_history),
        }

    def _logs(self, row: Mapping[str, float | int]) -> dict[str, Any] | None:
        """A row as TRL logs it; None for measurements before training, which TRL does not make."""
        if row["step"] == 0 and not ("eval_loss" in row and self.trainer.args.eval_on_start):
            return None
        logs = dict(row)
        if "eval_seconds" in logs:
            logs |= evaluation_speed("eval", logs.pop("eval_seconds"), logs["eval_num_pairs"])
        return logs

    def _tell(self, event: str, **facts: Any) -> None:
        trainer = self.trainer
        tell = getattr(trainer.callback_handler, event)
        trainer.control = tell(trainer.args, trainer.state, trainer.control, **facts)
        if trainer.control.should_epoch_stop:
            raise ConfigError("callbacks: should_epoch_stop is not there: use should_training_stop")


def mean_loss(history: Iterable[Mapping[str, Any]]) -> float:
    """Mean over the steps of the logged losses, each of which is the mean since the row before it."""
    total, last = 0.0, 0
    for row in history:
        if "loss" in row and row["step"] > last:
            total += row["loss"] * (row["step"] - last)
            last = row["step"]
    return total / last if last else 0.0


def evaluation_speed(prefix: str, seconds: float, pairs: float) -> dict[str, float]:
    """TRL's names for the time of an evaluation."""
    return {f"{prefix}_runtime": seconds, f"{prefix}_samples_per_second": pairs / seconds}


def note_best(trainer: PreferenceTrainer, metrics: Mapping[str, Any]) -> None:
    """Keep the best value of ``metric_for_best_model``."""
    args, state = trainer.args, trainer.state
    if args.metric_for_best_model is None:
        return
    name = args.metric_for_best_model
    name = name if name.startswith("eval_") else f"eval_{name}"
    if name not in metrics:
        raise ConfigError(
            f"metric_for_best_model={args.metric_for_best_model!r} is not measured{did_you_mean(name, metrics)}"
        )
    better = state.best_metric is None or (
        metrics[name] > state.best_metric if args.greater_is_better else metrics[name] < state.best_metric
    )
    if better:
        state.best_metric, state.best_global_step = metrics[name], state.global_step


def note_kept(trainer: PreferenceTrainer, kept: Mapping[str, Any] | None) -> None:
    """Say in ``state`` which model ``load_best_model_at_end`` has left in the trainer."""
    if kept is None or kept["value"] is None:  # the last model: there was no choice, or nothing was measured
        return
    state = trainer.state
    state.best_metric, state.best_global_step = kept["value"], kept["step"]
    state.best_model_checkpoint = str(RunDirectory(trainer.args.folder).checkpoint(kept["step"]))
