"""The run folder: every file name in it, who may write there, and whether it belongs to this run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import RunFolderError
from .atomic import as_run_folder_error, atomic_write, remove_folder, sweep, to_json
from .lock import held
from .metrics_log import read_history

RunState = Literal["new", "unfinished", "finished"]

MAY_DIFFER = frozenset({"output_dir", "train.resume", "train.parallel", "report_to"})
"""Config keys that do not change what a run computes, so a run may go on under other values of them."""

Complete = Callable[[Mapping[str, object]], Mapping[str, object]]


def _as_it_is(config: Mapping[str, object]) -> Mapping[str, object]:
    return config


_MODEL_FILES = ("adapter_config.json", "adapter_model.safetensors", "config.json", "model*.safetensors", "model*.json")
_CHECKPOINT = re.compile(r"^step-(\d+)$")
_SHOWN_DIFFERENCES = 12


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """``output_dir`` of one run. Properties are paths; nothing is created by naming it."""

    root: Path

    @property
    def model_card(self) -> Path:
        return self.root / "README.md"

    @property
    def metrics_dir(self) -> Path:
        return self.root / "dpo_metrics"

    @property
    def metrics_csv(self) -> Path:
        return self.metrics_dir / "training_metrics.csv"

    @property
    def eval_csv(self) -> Path:
        return self.metrics_dir / "eval_metrics.csv"

    @property
    def curves_png(self) -> Path:
        return self.metrics_dir / "training_curves.png"

    @property
    def report_html(self) -> Path:
        return self.metrics_dir / "report.html"

    @property
    def samples_jsonl(self) -> Path:
        return self.metrics_dir / "samples.jsonl"

    @property
    def samples_before_jsonl(self) -> Path:
        return self.run_dir / "samples_before.jsonl"

    @property
    def summary_json(self) -> Path:
        return self.metrics_dir / "summary.json"

    @property
    def log_history_json(self) -> Path:
        return self.metrics_dir / "log_history.json"

    @property
    def run_dir(self) -> Path:
        return self.root / "run"

    @property
    def metrics_jsonl(self) -> Path:
        return self.run_dir / "metrics.jsonl"

    @property
    def pairs_jsonl(self) -> Path:
        return self.run_dir / "pairs.jsonl"

    @property
    def pair_texts_jsonl(self) -> Path:
        return self.run_dir / "pair_texts.jsonl"

    @property
    def pairs_parquet(self) -> Path:
        return self.metrics_dir / "pairs.parquet"

    @property
    def pairs_csv(self) -> Path:
        return self.metrics_dir / "pairs.csv"

    @property
    def config_yaml(self) -> Path:
        """The config of the latest start, defaults included."""
        return self.run_dir / "config.yaml"

    @property
    def resolved_yaml(self) -> Path:
        """The config of the first start, defaults included; what ``claim`` compares."""
        return self.run_dir / "resolved.yaml"

    @property
    def run_json(self) -> Path:
        return self.run_dir / "run.json"

    @property
    def data_report_json(self) -> Path:
        return self.run_dir / "data_report.json"

    @property
    def dropped_rows_jsonl(self) -> Path:
        return self.run_dir / "dropped_rows.jsonl"

    @property
    def lock_file(self) -> Path:
        return self.run_dir / ".lock"

    @property
    def card_json(self) -> Path:
        """What the model card tells, for the card of an exported model."""
        return self.run_dir / "card.json"

    @property
    def win_rate_dir(self) -> Path:
        """What ``preftune eval`` writes about this run's model."""
        return self.root / "win_rate"

    @property
    def win_rate_json(self) -> Path:
        return self.win_rate_dir / "win_rate.json"

    @property
    def checkpoints_dir(self) -> Path:
        return self.root / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        """Folder of the checkpoint after ``step`` updates."""
        return self.checkpoints_dir / f"step-{step:06d}"

    def checkpoints(self) -> list[tuple[int, Path]]:
        """Complete checkpoints as (step, folder), oldest first."""
        found = self.checkpoints_dir.iterdir() if self.checkpoints_dir.is_dir() else ()
        named = ((_CHECKPOINT.match(folder.name), folder) for folder in found if folder.is_dir())
        return sorted((int(match[1]), folder) for match, folder in named if match)

    def prune_checkpoints(self, keep_last: int, *, newest: int, best: int | None = None) -> None:
        """Of the checkpoints up to step ``newest``, the one just written, remove all but ``keep_last`` (at least one)
        and that of step ``best``.

        Later ones were passed over on resume (damaged, or an earlier one was named): they count for nothing, and are
        replaced when the run comes by again.
        """
        if keep_last < 1:
            raise ValueError(f"keep_last is {keep_last}: at least one checkpoint must stay")
        own = [folder for step, folder in self.checkpoints() if step <= newest]
        for folder in own[:-keep_last]:
            if best is None or folder != self.checkpoint(best):
                remove_folder(folder)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Own this folder during the block; what killed runs left unfinished is swept first.

        A folder that holds nothing but the lock at the end (the input was refused before ``claim``) is removed
        together with the parents made for it. Raises RunFolderError where another process owns it.
        """
        with as_run_folder_error(self.root):
            made = _missing(self.run_dir)
            self.run_dir.mkdir(parents=True, exist_ok=True)
        try:
            with held(self.lock_file):
                self._sweep()
                yield
        finally:
            _remove_if_empty(made)

    def state(
        self,
        resolved: Mapping[str, object],
        *,
        resume: str = "auto",
        may_differ: Collection[str] = MAY_DIFFER,
        complete: Complete = _as_it_is,
    ) -> RunState:
        """What this folder is to a run with the config ``resolved`` (nested mappings); changes nothing.

        ``complete`` fills the defaults of keys that the config stored here, of an earlier version, does not know.

        ``"new"``: empty, or its run never took a step. ``"unfinished"``: the same run, to be gone on with.
        ``"finished"``: the same run, done. Raises RunFolderError where it holds another run (the keys that differ are
        named), where ``resume`` is ``"never"`` and it holds a run, or where it holds files that are no run. Under
        ``"overwrite"`` a run counts as nothing.
        """
        if self.root.exists() and not self.root.is_dir():
            raise RunFolderError(f"{self.root}: is a file, not a folder. Choose another output_dir.")
        if not self.resolved_yaml.is_file():
            self._refuse_foreign_files()
            return "new"
        if resume == "overwrite" or not self._has_progress():
            return "new"
        if resume == "never":
            raise RunFolderError(
                f"{self.root}: holds a run already, and train.resume: never does not go on with it. "
                "Give this run another output_dir, or delete the folder yourself."
            )
        self._refuse_other_config(resolved, may_differ, complete)
        return "finished" if self._status() == "finished" else "unfinished"

    def claim(
        self,
        resolved: Mapping[str, object],
        *,
        resume: str = "auto",
        may_differ: Collection[str] = MAY_DIFFER,
        complete: Complete = _as_it_is,
    ) -> RunState:
        """``state``; a new run also writes ``run/resolved.yaml``, which makes the folder its own.

        Under ``resume: overwrite`` the run that is there is deleted first.
        """
        found = self.state(resolved, resume=resume, may_differ=may_differ, complete=complete)
        if found == "new":
            import yaml

            if resume == "overwrite":
                self._delete_run()
            atomic_write(self.resolved_yaml, yaml.safe_dump(_plain(resolved), sort_keys=False, allow_unicode=True))
        return found

    def _delete_run(self) -> None:
        """What a run writes, its model too; ``run/resolved.yaml`` marks the folder as a run until it is replaced."""
        for folder in (self.metrics_dir, self.win_rate_dir, self.checkpoints_dir):
            if folder.is_dir():
                remove_folder(folder)
        kept = (self.lock_file, self.resolved_yaml)
        files = [path for path in self.run_dir.iterdir() if path.is_file() and path not in kept]
        with as_run_folder_error(self.root):
            for path in (*files, *(path for pattern in _MODEL_FILES for path in self.root.glob(pattern))):
                path.unlink()

    def _sweep(self) -> None:
        for folder in (self.root, self.run_dir, self.metrics_dir, self.checkpoints_dir):
            sweep(folder)

    def _refuse_foreign_files(self) -> None:
        entries = list(self.root.iterdir()) if self.root.is_dir() else []
        if self.run_dir in entries and all(p.name.startswith(".") for p in self.run_dir.iterdir()):
            entries.remove(self.run_dir)
        # Hidden files and logs (``preftune train ... | tee output/train.log``) are in nobody's way.
        foreign = sorted(p.name for p in entries if not p.name.startswith(".") and p.suffix != ".log")
        if foreign:
            more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
            raise RunFolderError(
                f"{self.root}: holds files that are not a run ({', '.join(foreign[:3])}{more}), and a run could "
                "overwrite them. Choose an empty or a new folder as output_dir."
            )

    def _has_progress(self) -> bool:
        if self.checkpoints() or self._status() == "finished":
            return True
        return any(row["step"] > 0 for row in read_history(self.metrics_jsonl))

    def _refuse_other_config(
        self, resolved: Mapping[str, object], may_differ: Collection[str], complete: Complete
    ) -> None:
        import yaml

        try:
            before = yaml.safe_load(self.resolved_yaml.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise RunFolderError(
                f"{self.resolved_yaml}: cannot be read ({error}), so the run in this folder is unknown. "
                "Choose another output_dir."
            ) from error
        if isinstance(before, dict):
            before = complete(before)
        differing = [line for key, line in differences(before, resolved) if key not in may_differ]
        if differing:
            shown = "\n  ".join(differing[:_SHOWN_DIFFERENCES])
            more = f"\n  and {len(differing) - _SHOWN_DIFFERENCES} more" if len(differing) > _SHOWN_DIFFERENCES else ""
            raise RunFolderError(
                f"{self.root}: holds a run with another config:\n  {shown}{more}\n"
                "Give this run another output_dir, or set these keys back to go on with the run that is there."
            )

    def _status(self) -> str | None:
        if not self.summary_json.is_file():
            return None
        try:
            status = json.loads(self.summary_json.read_text(encoding="utf-8"))["status"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                f"{self.summary_json}: not a summary that preftune wrote ({error}). Delete it to go on with this run."
            ) from error
        return str(status)


def differences(before: object, now: object) -> list[tuple[str, str]]:
    """Dotted keys whose values differ, each with a line ``key: old -> new``."""
    old, new = flat(_plain(before)), flat(_plain(now))
    keys = [*old, *(key for key in new if key not in old)]
    return [(key, f"{key}: {_shown(old, key)} -> {_shown(new, key)}") for key in keys if _differ(old, new, key)]


def _differ(old: Mapping[str, object], new: Mapping[str, object], key: str) -> bool:
    return key not in old or key not in new or old[key] != new[key]


def _shown(values: Mapping[str, object], key: str) -> str:
    return json.dumps(values[key], ensure_ascii=False) if key in values else "(not there)"


def _plain(value: object) -> object:
    """Only what YAML and JSON can both say: paths as text, tuples as lists."""
    return json.loads(json.dumps(value, default=str))


def flat(value: object, prefix: str = "") -> dict[str, object]:
    """Values of nested mappings by their dotted keys."""
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    found: dict[str, object] = {}
    for key, inner in value.items():
        found |= flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return found


def _missing(folder: Path) -> list[Path]:
    """``folder`` and those of its parents that do not exist, innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]


def _remove_if_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # not empty: it holds a run by now
            folder.rmdir()


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as readable JSON in one step. Raises ValueError on NaN or infinity."""
    atomic_write(path, to_json(value) + "\n")
