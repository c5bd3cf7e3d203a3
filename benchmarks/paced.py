"""Train with one tool in a process of its own, a step each time the parent asks, and say what each step cost.

``step.py`` and ``memory.py`` start this with a ``Contest`` as JSON; one line of JSON goes out for every step, and one
line has to come in before the next.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Side = Literal["preftune", "TRL default", "TRL best"]
TRL_OPTIONS: dict[str, dict[str, Any]] = {
    "TRL default": {},
    "TRL best": {"gradient_checkpointing": False, "precompute_ref_log_probs": True},
}


@dataclass(frozen=True)
class Contest:
    """What one process trains, and how."""

    side: Side
    settings: dict[str, Any]
    mode: Literal["full", "lora"]
    folder: str
    threads: int
    head_kept_bytes: int | None = None
    """Other than preftune's own, to see what keeping the softmax of the head is worth."""


@dataclass(frozen=True)
class Step:
    """What the work since the last line cost; ``reference_cpu`` is what came before training for the reference."""

    cpu: float
    wall: float
    peak_bytes: int
    loss: float | None = None
    reference_cpu: float | None = None


def cpu_seconds() -> float:
    """CPU time of this process so far, over all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@dataclass
class Pace:
    """Reports the cost of the work since the last report, then waits for the parent."""

    channel: Any
    reference_cpu: float | None = None
    _cpu: float = field(default_factory=cpu_seconds)
    _wall: float = field(default_factory=time.perf_counter)

    def report(self, loss: float | None = None) -> None:
        """One line out, one line in."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        done = Step(cpu_seconds() - self._cpu, time.perf_counter() - self._wall, peak, loss, self.reference_cpu)
        print(json.dumps(asdict(done)), file=self.channel, flush=True)
        if not sys.stdin.readline():
            os._exit(0)  # the parent has seen enough
        self._cpu, self._wall = cpu_seconds(), time.perf_counter()

    @contextmanager
    def reference(self) -> Iterator[None]:
        """The work inside is the pass that computes the reference's log-probs."""
        before = cpu_seconds()
        yield
        self.reference_cpu = cpu_seconds() - before


def main() -> None:
    """Train as the JSON on the command line says; what libraries print goes to stderr."""
    contest = Contest(**json.loads(sys.argv[1]))
    pace = Pace(os.fdopen(os.dup(1), "w"))
    os.dup2(2, 1)
    import torch

    torch.set_num_threads(contest.threads)
    _preftune(contest, pace) if contest.side == "preftune" else _trl(contest, pace)


def _settings(contest: Contest) -> Any:
    from sides import Settings

    paths = {name: Path(contest.settings[name]) for name in ("model", "pairs")}
    return Settings(**{**contest.settings, **paths, "ours": tuple(contest.settings["ours"])})


def _preftune(contest: Contest, pace: Pace) -> None:
    from sides import preftune_config

    from preftune.logprobs import head
    from preftune.recipe import train
    from preftune.runs.display import Phase, QuietReporter

    class Paced(QuietReporter):
        """Reports after every step."""

        @contextmanager
        def phase(self, title: str, total: int | None = None, unit: str = "") -> Iterator[Phase]:
            with pace.reference(), super().phase(title, total, unit) as phase:
                yield phase

        def step(self, step: int, seconds: float) -> None:  # noqa: ARG002
            pace.report(self.rows[-1]["loss"])

    if contest.head_kept_bytes is not None:
        head.KEPT_BYTES = contest.head_kept_bytes
    config = preftune_config(_settings(contest), "sigmoid", contest.mode, None, Path(contest.folder))
    train(config, reporter=Paced())


def _trl(contest: Contest, pace: Pace) -> None:
    from sides import make_adapter, trl_trainer
    from transformers import TrainerCallback

    class Paced(TrainerCallback):
        """Reports after every step; the row of a step is logged after this, and so counted with the next."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:  # noqa: ARG002
            pace.report()

    settings, folder = _settings(contest), Path(contest.folder)
    adapter = None if contest.mode == "full" else make_adapter(settings, folder / "adapter", zero=True)
    trainer = trl_trainer(settings, "sigmoid", adapter, folder / "trl", TRL_OPTIONS[contest.side])
    trainer.add_callback(Paced())
    trainer.train()


if __name__ == "__main__":
    main()
