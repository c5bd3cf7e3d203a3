"""``preftune.train``: a whole run in one call, for notebooks and scripts."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from .config import Config, load_config
from .objectives import objective_schemas
from .recipe import RunResult
from .recipe import train as run
from .runs.display import Reporter, choose_reporter


def train(
    config: str | os.PathLike[str] | Mapping[str, Any] | Config,
    overrides: Sequence[str] = (),
    *,
    reporter: Reporter | None = None,
) -> RunResult:
    """Run a config: a YAML file, a nested mapping with the same keys, or a ``Config``.

    ``overrides`` are texts such as ``"train.seed=1"``. Progress goes to standard output unless a ``reporter`` is
    given (``preftune.runs.display.QuietReporter()`` shows nothing).

    Raises:
        PreftuneError: what is wrong, where, and what to do; see ``preftune.errors`` for the kinds.
    """
    checked = config if isinstance(config, Config) else load_config(config, overrides, objectives=objective_schemas())
    return run(checked, reporter=reporter or choose_reporter(sys.stdout))
