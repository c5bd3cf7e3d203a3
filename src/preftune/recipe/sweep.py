"""Many runs of one config: each in a process of its own, so that one that crashes costs no other its result.

A run resumes from its folder and a finished one is not repeated: that is what makes a sweep resumable. Reference
log-probabilities are kept by content, so that what one run has computed no other computes again; hence one run at a
time prepares, whatever else is training.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from ..config import Config, load_config
from ..errors import ConfigError, Interrupted, RunFolderError
from ..objectives import objective_schemas
from ..runs.atomic import as_run_folder_error
from ..runs.directory import RunDirectory
from ..runs.display import Reporter
from ..runs.lock import held
from ..runs.outcomes import RunOutcome, read_outcome
from ..runs.text import duration
from .grid import Point
from .run import with_defaults

_POLL_SECONDS = 0.2
_SAVE_SECONDS = 120.0
"""Time that a run gets to save its state when the sweep is stopped."""


@dataclass(frozen=True)
class SweepFolder:
    """Where everything of a sweep is."""

    root: Path

    @property
    def table(self) -> Path:
        return self.root / "sweep.csv"

    @property
    def page(self) -> Path:
        return self.root / "report.html"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    def run(self, point: Point) -> RunDirectory:
        """The folder of one run."""
        return RunDirectory(self.runs / point.name)

    def log(self, point: Point) -> Path:
        """What the run has printed."""
        return self.root / "logs" / f"{point.name}.log"


@dataclass(frozen=True)
class Planned:
    """A point whose config has been checked."""

    point: Point
    config: Config
    is_finished: bool


def check_points(config: Path, points: Sequence[Point]) -> list[Config]:
    """The config of each point.

    Raises:
        ConfigError: all mistakes of all points; what several have in common stands once.
    """
    found, mistakes = [], dict[str, None]()
    for point in points:
        try:
            found.append(load_config(config, point.overrides, objectives=objective_schemas()))
        except ConfigError as error:
            mistakes |= dict.fromkeys(str(error).splitlines())
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return found


def plan_sweep(config: Path, points: Sequence[Point], folder: SweepFolder) -> list[Planned]:
    """Check every run before the first one starts.

    Raises:
        ConfigError: a combination cannot be trained, or two are the same.
        RunFolderError: a folder holds a run of another config.
    """
    planned, seen = [], dict[str, str]()
    for point in points:
        overrides = [*point.overrides, _output(folder, point)]
        checked = load_config(config, overrides, objectives=objective_schemas())
        resolved = checked.model_dump(mode="json")
        same = seen.setdefault(json.dumps({**resolved, "output_dir": None}, sort_keys=True), point.name)
        if same != point.name:
            raise ConfigError(f"{same} and {point.name} are the same run: their values mean the same")
        state = folder.run(point).state(resolved, resume=checked.train.resume, complete=with_defaults)
        planned.append(Planned(point, checked, state == "finished"))
    return planned


def _output(folder: SweepFolder, point: Point) -> str:
    return f"output_dir={json.dumps(str(folder.run(point).root), ensure_ascii=False)}"


@dataclass
class _Child:
    """A run that is going on."""

    planned: Planned
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    log_start: int
    """Bytes that earlier tries have printed."""
    record_before: bytes | None
    started: float = field(default_factory=time.monotonic)


def sweep(
    config: Path,
    planned: Sequence[Planned],
    folder: SweepFolder,
    reporter: Reporter,
    *,
    parallel: int = 1,
    ended: Callable[[], Any] = lambda: None,
) -> list[RunOutcome]:
    """Make all runs that are not finished, at most ``parallel`` at a time; ``ended`` is called after each.

    Raises:
        Interrupted: stopped by Ctrl-C or SIGTERM; the runs have saved their states.
        RunFolderError: another sweep is using this folder.
    """
    with as_run_folder_error(folder.root):
        folder.runs.mkdir(parents=True, exist_ok=True)
    waiting = [one for one in planned if not one.is_finished]
    running: list[_Child] = []
    with held(folder.runs / ".lock"), _stopped_at_the_end(running):
        for one in planned:
            if one.is_finished:
                reporter.note(f"{one.point.name}: finished before")
        busy: set[str] = set()
        while waiting or running:
            for child in [child for child in running if child.process.poll() is not None]:
                running.remove(child)
                child.log.close()
                reporter.note(_told(child, folder))
                ended()
            if len(running) < parallel and not any(_prepares(child, folder) for child in running):
                started = _start_next(config, waiting, folder, busy, reporter, parallel)
                running += [started] if started else []
            time.sleep(_POLL_SECONDS)
    return outcomes(planned, folder)


def outcomes(planned: Sequence[Planned], folder: SweepFolder) -> list[RunOutcome]:
    """What came of each run so far."""
    found = []
    for one in planned:
        outcome = read_outcome(folder.run(one.point).root, one.point.name)
        if outcome.status == "not started" and _errors(folder.log(one.point)):  # refused before it wrote anything
            outcome = replace(outcome, status="failed")
        found.append(outcome)
    return found


def _start_next(
    config: Path, waiting: list[Planned], folder: SweepFolder, busy: set[str], reporter: Reporter, parallel: int
) -> _Child | None:
    """Start the first run that waits and whose folder is free: a killed sweep may have left runs that go on."""
    for one in waiting:
        if not _is_in_use(folder.run(one.point)):
            waiting.remove(one)
            reporter.note(f"{one.point.name}: started ({len(waiting)} more to come)")
            return _start(config, one, folder, parallel)
        if one.point.name not in busy:
            busy.add(one.point.name)
            reporter.note(f"{one.point.name}: is being trained by another process; waiting for it")
    return None


def _start(config: Path, one: Planned, folder: SweepFolder, parallel: int) -> _Child:
    log = folder.log(one.point)
    log.parent.mkdir(parents=True, exist_ok=True)
    arguments = ["train", "--plain", "--", str(config), *one.point.overrides, _output(folder, one.point)]
    environment = dict(os.environ)
    if parallel > 1:  # each run takes its share of the cores, instead of all of them at once
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // parallel)))
    before = _record(folder.run(one.point))
    start = log.stat().st_size if log.is_file() else 0
    handle = log.open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "preftune", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=handle,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,  # Ctrl-C reaches the sweep alone, which passes it on once
    )
    return _Child(one, process, handle, start, before)


def _record(directory: RunDirectory) -> bytes | None:
    return directory.run_json.read_bytes() if directory.run_json.is_file() else None


def _prepares(child: _Child, folder: SweepFolder) -> bool:
    """Whether it has not come to its first step: the reference is resolved before the run writes its record."""
    return _record(folder.run(child.planned.point)) == child.record_before


def _is_in_use(directory: RunDirectory) -> bool:
    if not directory.lock_file.is_file():
        return False
    try:
        with held(directory.lock_file):
            return False
    except RunFolderError:
        return True


def _told(child: _Child, folder: SweepFolder) -> str:
    """How a run ended, in one line."""
    point, code = child.planned.point, child.process.returncode
    took = duration(time.monotonic() - child.started)
    if code:
        how = f"killed ({signal.Signals(-code).name})" if code < 0 else f"failed with exit code {code}"
        return f"{point.name}: {how} after {took}: {_last_line(folder.log(point), child.log_start)}"
    outcome = read_outcome(folder.run(point).root, point.name)
    said = "" if outcome.accuracy is None else f", held-out accuracy {100 * outcome.accuracy:.1f} %"
    said += "" if outcome.kl_div is None else f", kl_div {outcome.kl_div:.2f}"
    return f"{point.name}: done in {took}{said}"


def _last_line(log: Path, start: int) -> str:
    """The error of a run where it told one, else its last line, of what it printed from byte ``start`` on."""
    lines = [line.strip() for line in _text(log, start).splitlines() if line.strip()]
    said = [*_errors(log, start)[-1:], *lines[-1:], "it printed nothing"]
    return f"{said[0]} (all of it: {log})"


def _errors(log: Path, start: int = 0) -> list[str]:
    lines = _text(log, start).splitlines()
    # Several mistakes stand below the word.
    return [
        f"error: {lines[place + 1]}" if line == "error:" and place + 1 < len(lines) else line
        for place, line in enumerate(lines)
        if line.startswith("error:")
    ]


def _text(log: Path, start: int) -> str:
    return log.read_bytes()[start:].decode("utf-8", "replace") if log.is_file() else ""


@contextmanager
def _stopped_at_the_end(running: Sequence[_Child]) -> Iterator[None]:
    """Runs that are still going on when the block is left are asked to save their state and to end."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise Interrupted(
            "interrupted; runs that were going on have saved their state, and the same command goes on"
        ) from stop
    finally:
        _end(running)


def _end(running: Sequence[_Child]) -> None:
    deadline = time.monotonic() + _SAVE_SECONDS
    try:
        for child in running:
            with suppress(ProcessLookupError):
                child.process.send_signal(signal.SIGINT)
        for child in running:
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline - time.monotonic()))
    finally:  # a second Ctrl-C does not wait
        for child in running:
            if child.process.poll() is None:
                child.process.kill()
            child.log.close()
