"""A run from its config to its folder: read the story of `train` from top to bottom."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch.optim import Optimizer

from ..config import Config, load_config
from ..errors import ConfigError, Interrupted, PreftuneError, RunFolderError
from ..logprobs.verify import LayoutChoice
from ..models.load import load_tokenizer
from ..objectives import BoundObjective, objective_schemas
from ..runs.directory import RunDirectory
from ..runs.display import QuietReporter, Reporter
from ..runs.metrics_log import MetricsLog
from ..train.loop import Fit
from ..train.optim import OptimizerChoice, Schedule, build_optimizer
from ..train.state import (
    Progress,
    check_checkpoint,
    compare_identity,
    read_checkpoint,
    stored_identity,
    stored_settings,
)
from ..train.step import Method
from .data import RunData, read_data
from .hooks import RunHooks, stop_signals
from .objective import build_objective, fit_to_data
from .outputs import begin_record, end_record, write_results
from .planning import Plan, card_lines, make_plan, sampler
from .policy import Policy, Source, check_layout, load_policy, token_budget
from .reference import Referee, build_reference, fingerprint, no_reference
from .samples import show_before_and_after


@dataclass(frozen=True)
class RunResult:
    """How a run ended: exit code, the summary as in ``summary.json``, and where everything is."""

    exit_code: int
    summary: dict[str, Any]
    output_dir: Path
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Prepared:
    """Everything that exists before the reference is computed and the optimiser is made."""

    config: Config
    data: RunData
    policy: Policy
    objective: BoundObjective
    choice: LayoutChoice
    plan: Plan


def train(
    config: Config, *, reporter: Reporter | None = None, command: Sequence[str] = (), compare: bool = False
) -> RunResult:
    """Run a config from start to end, or go on with the run that its output folder holds.

    Returns exit code 0 when done (also when it was done before). ``compare`` shows one held-out prompt answered by
    the model before and after, where an adapter was trained.

    Raises:
        InputError: the config, data, model or folder cannot be used; nothing was written.
        Interrupted: stopped by Ctrl-C or SIGTERM; the state is saved and the same config goes on.
        RunError: a loss was not finite, or step 0 did not show the reference.
    """
    reporter = reporter or QuietReporter()
    directory = RunDirectory(Path(config.output_dir).expanduser())
    resolved = config.model_dump(mode="json")
    with directory.lock():
        if directory.state(resolved, resume=config.train.resume, complete=with_defaults) == "finished":
            return _already_done(directory, reporter)
        started = time.perf_counter()
        prepared = prepare(config, reporter)
        _show(prepared.plan, reporter)
        result = _run(prepared, directory, reporter, command or sys.argv, started)
        if compare:
            show_before_and_after(prepared.data, prepared.policy, reporter)
        return result


def plan(config: Config, reporter: Reporter) -> int:
    """Show what ``train`` would do, with one rendered pair, and stop before training. Nothing is written."""
    prepared = prepare(config, reporter)
    _show(prepared.plan, reporter)
    for line in card_lines(prepared.data, prepared.policy.tokenizer):
        reporter.note(line)
    return 0


def prepare(config: Config, reporter: Reporter) -> Prepared:
    """Read and check everything, cheapest first: data before the model, the model before the plan."""
    objective = build_objective(config)
    source = Source.of(config.model.path, config.adapters)
    tokenizer = load_tokenizer(
        source.tokenizer_path,
        revision=config.model.revision,
        trust_remote_code=config.model.trust_remote_code,
    )
    data = read_data(config, objective, tokenizer, reporter)
    objective = fit_to_data(objective, data)
    policy = load_policy(config, source, tokenizer)
    policy.scorer.token_statistics = objective.needs_token_statistics
    choice = check_layout(config, policy, [*data.train, *data.held_out])
    return Prepared(config, data, policy, objective, choice, make_plan(config, data, policy, objective, choice))


def with_defaults(stored: Mapping[str, object]) -> Mapping[str, object]:
    """A stored config with the defaults of keys that came after it; as it is where it can no longer be read."""
    try:
        return load_config(stored, objectives=objective_schemas()).model_dump(mode="json")
    except ConfigError:  # a key that is gone: the comparison names it
        return stored


def _show(plan: Plan, reporter: Reporter) -> None:
    for line in plan.lines:
        reporter.note(line)
    for warning in plan.warnings:
        reporter.warn(warning)


def _already_done(directory: RunDirectory, reporter: Reporter) -> RunResult:
    summary = json.loads(directory.summary_json.read_text(encoding="utf-8"))
    reporter.note(f"already done: {summary['verdict']['sentence']}")
    reporter.note(f"results: {directory.metrics_dir}  (another output_dir starts a new run)")
    return RunResult(0, summary, directory.root)


def _run(
    prepared: Prepared, directory: RunDirectory, reporter: Reporter, command: Sequence[str], started: float
) -> RunResult:
    config, data, policy = prepared.config, prepared.data, prepared.policy
    checkpoint = _checkpoint(config, directory, reporter)
    settings = {"token_budget": token_budget(config, policy), **stored_settings(checkpoint)}
    budget = int(settings["token_budget"])
    template = data.template.fingerprint()
    if checkpoint is not None and config.reference.path is None:  # before hours of work on another reference
        now = {**fingerprint(config, policy, template, policy.start), **data.fingerprint()}
        compare_identity(stored_identity(checkpoint), now, checkpoint)
    groups = [*data.train, *data.held_out]
    referee = (
        build_reference(config, policy, groups, prepared.choice, budget, reporter)
        if prepared.objective.needs_reference
        else no_reference(policy)
    )
    reporter.note(f"reference: {referee.description}")
    identity = {
        **fingerprint(config, policy, template, referee.identity),
        **data.fingerprint(),
    }
    optimizer = build_optimizer(policy.parameters, _optimizer_choice(config))
    progress = Progress()
    if checkpoint is not None:
        progress = read_checkpoint(checkpoint, policy.parameters, optimizer, identity)
        reporter.note(f"going on from step {progress.step} ({checkpoint})")
    resumed_from = None if checkpoint is None else progress.step
    # Nothing is written before this line: whatever is refused above leaves the folder as it was.
    directory.claim(config.model_dump(mode="json"), resume=config.train.resume, complete=with_defaults)
    begin_record(directory, config, data, policy, identity, command, resumed_from)
    with MetricsLog(directory.metrics_jsonl, resume_step=resumed_from) as log, stop_signals() as stop:
        hooks = RunHooks(
            directory=directory,
            log=log,
            reporter=reporter,
            stop=stop,
            policy=policy,
            optimizer=optimizer,
            identity=identity,
            settings=settings,
            plan=prepared.plan,
            keep_last=config.train.keep_last,
            held_out=len(data.held_out),
        )
        fit = _fit(prepared, referee, budget, optimizer, hooks)
        try:
            with reporter.training(prepared.plan.steps, progress.step):
                fit.run(progress)
        except PreftuneError as error:
            status = "interrupted" if isinstance(error, Interrupted) else "failed"
            end_record(directory, status, time.perf_counter() - started)
            raise
        history = list(log.rows)
    seconds = time.perf_counter() - started
    summary, judged = write_results(directory, config, data, policy, prepared.plan, history, identity, seconds)
    end_record(directory, "finished", seconds)
    for finding in judged.findings:
        reporter.finding(finding.as_dict())
    _show_results(directory, summary, reporter)
    return RunResult(0, summary, directory.root, history)


def _optimizer_choice(config: Config) -> OptimizerChoice:
    train = config.train
    betas = (train.adam_beta1, train.adam_beta2)
    return OptimizerChoice(train.optimizer, train.weight_decay, betas, train.adam_epsilon)


def _show_results(directory: RunDirectory, summary: dict[str, Any], reporter: Reporter) -> None:
    reporter.note(summary["verdict"]["sentence"])
    held_out = summary["held_out"]
    for name, key in (
        ("accuracy", "rewards/accuracies"),
        ("margin", "rewards/margins"),
        ("chosen reward", "rewards/chosen"),
    ):
        values = held_out.get(f"eval_{key}")
        if values:
            reporter.note(f"held-out {name}: {values['start']:.3f} before, {values['end']:.3f} after")
    reporter.note(f"model: {directory.root}   metrics and curves: {directory.metrics_dir}")


def _checkpoint(config: Config, directory: RunDirectory, reporter: Reporter) -> Path | None:
    """The checkpoint to go on from: the one named, or the newest sound one."""
    wanted = config.train.resume
    if wanted == "never":
        return None
    if wanted != "auto":
        folder = Path(wanted).expanduser()
        fault = check_checkpoint(folder)
        if fault:
            raise RunFolderError(f"train.resume: {wanted} is not a sound checkpoint ({fault})")
        return folder
    for _, folder in reversed(directory.checkpoints()):
        fault = check_checkpoint(folder)
        if fault is None:
            return folder
        reporter.warn(f"the checkpoint {folder} is damaged ({fault}); the one before it is used")
    return None


def _fit(prepared: Prepared, referee: Referee, budget: int, optimizer: Optimizer, hooks: RunHooks) -> Fit:
    config, plan = prepared.config, prepared.plan
    return Fit(
        train=prepared.data.train,
        held_out=prepared.data.held_out,
        method=Method(
            prepared.policy.scorer,
            referee.reference,
            prepared.objective,
            prepared.choice.name,
            budget,
            config.train.max_grad_norm,
        ),
        optimizer=optimizer,
        sampler=sampler(config, prepared.data),
        schedule=Schedule(plan.learning_rate, plan.steps, plan.warmup, config.train.schedule),
        hooks=hooks,
        seed=config.train.seed,
        log_every=plan.rhythm.log,
        save_every=plan.rhythm.save,
        eval_every=plan.rhythm.measure,
        starts_at_reference=referee.is_start_model,
        evaluated=frozenset(int(row["step"]) for row in hooks.log.rows if "eval_loss" in row),
    )
