"""Progress as plain lines, for log files, pipes and continuous integration."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from .display import Clock, Phase, Row
from .text import duration, short, visible

_QUIET_SECONDS = 30.0
"""After so long without a line, a step or a phase says that it is alive."""
_TRAIN = (
    ("loss", "loss"),
    ("acc", "rewards/accuracies"),
    ("margin", "rewards/margins"),
    ("kl", "kl_div"),
    ("lr", "learning_rate"),
)


class PlainReporter:
    """Writes lines such as ``step 20/60  loss 0.651  acc 0.71  margin 0.12  ...  812 tok/s  left 2m10s``."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._closed = False
        self._last_line = time.monotonic()
        self._clock = Clock(0)

    def note(self, text: str) -> None:
        self._write(text)

    def warn(self, text: str) -> None:
        self._write(f"warning: {text}")

    @contextmanager
    def phase(self, title: str, total: int | None = None, unit: str = "") -> Iterator[Phase]:
        amount = f" ({total} {unit})".replace(" )", ")") if total is not None else ""
        self._write(f"{title}{amount} ...")
        phase = _PlainPhase(self, title, total, unit)
        yield phase
        if time.monotonic() - phase.started >= 1:
            self._write(f"{title}: done in {duration(time.monotonic() - phase.started)}")

    @contextmanager
    def training(self, total_steps: int, start_step: int = 0) -> Iterator[None]:
        self._clock = Clock(total_steps, start_step)
        where = f"from step {start_step} " if start_step else ""
        self._write(f"training {where}to step {total_steps}")
        yield

    def step(self, step: int, seconds: float) -> None:
        self._clock.step(step, seconds)
        self.tell_if_quiet(f"{self._where(step)}  {short(seconds)} s/step{self._left()}")

    def row(self, row: Row) -> None:
        self._write(self._held_out(row) if "eval_loss" in row else self._training(row))

    def finding(self, finding: Mapping[str, Any]) -> None:
        advice = f"\n  {finding['advice']}" if finding.get("advice") else ""
        self._write(f"{finding['severity']}: {finding['message']}{advice}")

    def tell_if_quiet(self, line: str) -> None:
        """Write ``line`` where nothing has been written for half a minute."""
        if time.monotonic() - self._last_line > _QUIET_SECONDS:
            self._write(line)

    def _training(self, row: Row) -> str:
        numbers = [f"{label} {short(row[name])}" for label, name in _TRAIN if name in row]
        if "tokens_per_second" in row:
            numbers.append(f"{row['tokens_per_second']:.0f} tok/s")
        return "  ".join([self._where(row["step"]), *numbers]) + self._left()

    def _held_out(self, row: Row) -> str:
        names = (
            ("loss", "eval_loss"),
            ("acc", "eval_rewards/accuracies"),
            ("margin", "eval_rewards/margins"),
            ("kl", "eval_kl_div"),
        )
        numbers = [f"{label} {short(row[name])}" for label, name in names if name in row]
        pairs = f"  ({row['eval_num_pairs']} pairs)" if "eval_num_pairs" in row else ""
        return "  ".join([self._where(row["step"]), "held-out:", *numbers]) + pairs

    def _where(self, step: float) -> str:
        return f"step {step}/{self._clock.total}" if self._clock.total else f"step {step}"

    def _left(self) -> str:
        left = self._clock.left
        return f"  left {duration(left)}" if left is not None else ""

    def _write(self, text: str) -> None:
        if self._closed:
            return
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        line = visible(text).encode(encoding, "backslashreplace").decode(encoding)
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except BrokenPipeError:
            # The reader left (``preftune train ... | head``). The run and its files matter more than these lines.
            self._closed = True
        self._last_line = time.monotonic()


@dataclass(slots=True)
class _PlainPhase:
    reporter: PlainReporter
    title: str
    total: int | None
    unit: str
    done: int = 0
    started: float = field(default_factory=lambda: time.monotonic())

    def advance(self, n: int = 1) -> None:
        self.done += n
        of = f" of {self.total}" if self.total is not None else ""
        self.reporter.tell_if_quiet(f"{self.title}: {self.done}{of} {self.unit}".rstrip() + self._left())

    def _left(self) -> str:
        if self.total is None or not self.done:
            return ""
        pace = (time.monotonic() - self.started) / self.done
        return f"  left {duration(pace * (self.total - self.done))}"
