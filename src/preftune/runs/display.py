"""What the user sees while a run goes on: one protocol, and its choice by where the output goes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TextIO

Row = Mapping[str, int | float]


class Phase(Protocol):
    """Progress of one part of the work."""

    def advance(self, n: int = 1) -> None:
        """``n`` more units are done."""


class Reporter(Protocol):
    """Everything that a run tells its user. Texts may come from data: they are shown, never interpreted."""

    def note(self, text: str) -> None:
        """Say something in passing; may hold several lines."""

    def warn(self, text: str) -> None:
        """Say what the user should not miss."""

    def phase(self, title: str, total: int | None = None, unit: str = "") -> AbstractContextManager[Phase]:
        """Show a part of the work: ``title``, with ``total`` units named ``unit`` where that is known."""

    def training(self, total_steps: int, start_step: int = 0) -> AbstractContextManager[None]:
        """Show the training: ``step`` and ``row`` are called inside. ``start_step`` is where a resumed run begins."""

    def step(self, step: int, seconds: float) -> None:
        """Update ``step`` is done and took ``seconds``."""

    def row(self, row: Row) -> None:
        """A row was logged: of training (``loss``) or of held-out pairs (``eval_loss``)."""

    def finding(self, finding: Mapping[str, Any]) -> None:
        """Something was found: ``severity`` (error, warning, note), ``message``, ``advice``."""


def choose_reporter(stream: TextIO) -> Reporter:
    """The live display where ``stream`` is a terminal that can redraw, plain lines everywhere else."""
    from .display_plain import PlainReporter

    if not stream.isatty() or os.environ.get("TERM", "") in ("dumb", "unknown"):
        return PlainReporter(stream)
    from .display_terminal import TerminalReporter

    return TerminalReporter(stream)


@dataclass(slots=True)
class QuietReporter:
    """Shows nothing and keeps everything, for notebooks and tests."""

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    phases: list[tuple[str, int]] = field(default_factory=list)
    """Title and units done of each phase that has ended."""
    steps: list[int] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    findings: list[Mapping[str, Any]] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    @contextmanager
    def phase(self, title: str, total: int | None = None, unit: str = "") -> Iterator[Phase]:  # noqa: ARG002
        counter = Counter()
        try:
            yield counter
        finally:
            self.phases.append((title, counter.done))

    @contextmanager
    def training(self, total_steps: int, start_step: int = 0) -> Iterator[None]:  # noqa: ARG002
        yield

    def step(self, step: int, seconds: float) -> None:  # noqa: ARG002
        self.steps.append(step)

    def row(self, row: Row) -> None:
        self.rows.append(dict(row))

    def finding(self, finding: Mapping[str, Any]) -> None:
        self.findings.append(dict(finding))


@dataclass(slots=True)
class Counter:
    """A phase that only counts."""

    done: int = 0

    def advance(self, n: int = 1) -> None:
        self.done += n


@dataclass(slots=True)
class Clock:
    """Seconds left, from the pace of the last steps: the first ones, which warm up caches, are soon forgotten."""

    total: int
    at: int = 0
    recent: list[float] = field(default_factory=list)

    def step(self, step: int, seconds: float) -> None:
        """Update ``step`` is done and took ``seconds``."""
        self.at = step
        self.recent = [*self.recent[-19:], seconds]

    @property
    def left(self) -> float | None:
        """Seconds until the last step; None before the first one is done."""
        if not self.recent:
            return None
        pace = self.recent[1:] if len(self.recent) > 1 and self.at <= len(self.recent) else self.recent
        return sum(pace) / len(pace) * max(0, self.total - self.at)
