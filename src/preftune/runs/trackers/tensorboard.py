"""TensorBoard: event files in ``tensorboard/`` of the run folder (``tensorboard --logdir RUN/tensorboard``)."""

from __future__ import annotations

import time
from collections.abc import Mapping

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from .base import TrackedRun


class TensorBoard:
    """Writes one event a row."""

    def __init__(self, run: TrackedRun) -> None:
        self._writer = EventFileWriter(str(run.folder / "tensorboard"))
        # Readers drop what older files hold from this step on: rows that come again, or all of a run that was replaced.
        first = 0 if run.resumed_from is None else run.resumed_from + 1
        start = SessionLog(status=SessionLog.START)
        self._writer.add_event(Event(wall_time=time.time(), step=first, session_log=start))

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


begin = TensorBoard
