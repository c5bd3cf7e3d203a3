"""``preftune eval``: how often a judge prefers a model's answers to those of its reference."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import ConfigError, JudgeError
from ..runs.text import visible
from .eval_options import (
    Against,
    Aggregate,
    Answers,
    BatchSize,
    Export,
    JudgeKeyEnv,
    JudgeModel,
    JudgeName,
    JudgeOption,
    JudgeTemplate,
    JudgeUrl,
    MaxPrompts,
    Model,
    Out,
    Parallel,
    PriceIn,
    PriceOut,
    Prompts,
    Tie,
    Timeout,
    Votes,
)
from .generate import MaxTokens, Seed, Temperature, TopP, Trust
from .train import Plain, reporter_for

if TYPE_CHECKING:
    from ..assess.judges.base import Judge
    from ..recipe.judges import JudgeRequest
    from ..recipe.win_rate import Contest
    from ..runs.display import Reporter

_ANSWERING = frozenset({"model", "prompts", "against", "max_prompts", "max_new_tokens", "temperature", "top_p"})
_LOADING = frozenset({"batch_size", "trust_remote_code"})
_OF_JUDGES: Mapping[str, frozenset[str]] = {
    "reward": frozenset({"judge_model", "tie"}),
    "endpoint": frozenset(
        {"judge_model", "judge_url", "judge_key_env", "judge_template", "judge_option", "timeout", "parallel"}
        | {"price_in", "price_out"}
    ),
    "people": frozenset({"export", "votes", "aggregate"}),
}
"""Options that only this judge has a use for."""


def evaluate(
    context: typer.Context,
    judge: JudgeName,
    model: Model = None,
    prompts: Prompts = None,
    against: Against = None,
    answers: Answers = None,
    out: Out = None,
    max_prompts: MaxPrompts = None,
    max_new_tokens: MaxTokens = 256,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    batch_size: BatchSize = 8,
    judge_model: JudgeModel = None,
    tie: Tie = 0.0,
    judge_url: JudgeUrl = None,
    judge_key_env: JudgeKeyEnv = None,
    judge_template: JudgeTemplate = None,
    judge_option: JudgeOption = None,
    timeout: Timeout = 60.0,
    parallel: Parallel = 4,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    export: Export = None,
    votes: Votes = None,
    aggregate: Aggregate = "majority",
    trust_remote_code: Trust = False,
    plain: Plain = False,
) -> None:
    """Compare a model's answers with its reference's: win rate by a reward model, an endpoint, or people."""
    from ..recipe.judges import JudgeRequest

    request = JudgeRequest(
        judge=judge,
        model=judge_model,
        url=judge_url,
        key_env=judge_key_env,
        template=judge_template,
        parameters=judge_option or (),
        timeout=timeout,
        parallel=parallel,
        price_in=price_in,
        price_out=price_out,
        tie=tie,
        batch_size=batch_size,
        votes=votes or (),
        aggregate=aggregate,
        trust_remote_code=trust_remote_code,
    )
    asking = _Asking(model, against, prompts, max_prompts, max_new_tokens, temperature, top_p, seed)
    _evaluate(context, request, asking, answers, out, export, reporter_for(plain))


def _evaluate(
    context: typer.Context,
    request: JudgeRequest,
    asking: _Asking,
    answers: Path | None,
    out: Path | None,
    export: Path | None,
    reporter: Reporter,
) -> None:
    if (asking.model is None) == (answers is None):
        raise ConfigError("give the MODEL that is to answer, or --answers FILE with answers that are there already")
    _refuse_useless(context, request.kind, answering=answers is None, writing=export is not None)
    if request.kind == "people":
        _check_people(export, request.votes, answers)
    from ..recipe.judges import build_judge
    from ..recipe.win_rate import read_answers

    folder = _folder(asking.model, answers, out)
    by = None if export is not None else build_judge(request, reporter)
    if answers is None:
        contest = asking.answered(folder / "answers.jsonl", request.batch_size, request.trust_remote_code, reporter)
    else:
        contest = read_answers(answers)
    if export is not None:
        _export(contest, export, asking.seed)
    elif by is not None:
        _judge(contest, by, folder, reporter, again=answers is None)


@dataclass(frozen=True)
class _Asking:
    """Which model answers what, and how."""

    model: str | None
    against: str | None
    prompts: Path | None
    max_prompts: int | None
    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int

    def answered(self, keep: Path, batch_size: int, trust_remote_code: bool, reporter: Reporter) -> Contest:
        """Both models' answers, kept as a file before anything is judged."""
        from ..assess.answering import Sampling
        from ..recipe.prompts import different, held_out_prompts, read_prompts
        from ..recipe.win_rate import answer_prompts, write_answers

        assert self.model is not None
        found = held_out_prompts(self.model, reporter) if self.prompts is None else read_prompts(self.prompts)
        asked = different(found, self.max_prompts, self.seed)
        if not asked:
            raise ConfigError(f"{self.prompts} holds no prompt")
        where = f"held out by {self.model}" if self.prompts is None else str(self.prompts)
        reporter.note(f"{len(asked)} different prompts of {len(found)} ({where})")
        contest = answer_prompts(
            self.model,
            self.against,
            asked,
            Sampling(self.max_new_tokens, self.temperature, self.top_p, self.seed),
            source=where,
            batch_size=batch_size,
            trust_remote_code=trust_remote_code,
            reporter=reporter,
        )
        write_answers(contest, keep)
        reporter.note(f"answers: {keep}")
        return contest


def _refuse_useless(context: typer.Context, kind: str, *, answering: bool, writing: bool) -> None:
    """An option that was given and that nothing would look at is a mistake."""
    others = frozenset().union(*(names for judge, names in _OF_JUDGES.items() if judge != kind)) - _OF_JUDGES[kind]
    useless = dict.fromkeys(others, f"with this judge ({kind})")
    if not answering:
        useless |= dict.fromkeys(_ANSWERING, "with --answers")
        useless |= {} if writing else {"seed": "with --answers"}
        useless |= {} if kind == "reward" else dict.fromkeys(_LOADING, f"with --answers and this judge ({kind})")
    if writing:
        useless |= {"aggregate": "with --export"} | ({} if answering else {"out": "with --answers and --export"})
    for name, when in useless.items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise ConfigError(f"{_spelled(name)} has no use {when}: leave it out")


def _spelled(name: str) -> str:
    return name.upper() if name in ("model", "prompts") else f"--{name.replace('_', '-')}"


def _check_people(export: Path | None, votes: Sequence[Path], answers: Path | None) -> None:
    if (export is None) == (not votes):
        raise ConfigError(
            "--judge people needs --export FILE, to write pairs for people, or --votes FILE, to read votes"
        )
    if votes and answers is None:
        raise ConfigError("--votes needs the key that --export wrote: name that .key.jsonl file with --answers")


def _folder(model: str | None, answers: Path | None, out: Path | None) -> Path:
    """Where results go: as asked for, in the run's folder, or beside the answers."""
    from ..runs.directory import RunDirectory

    if out is not None:
        return out.expanduser()
    if answers is not None:
        return answers.expanduser().parent
    assert model is not None
    directory = RunDirectory(Path(model).expanduser())
    return directory.win_rate_dir if directory.resolved_yaml.is_file() else Path("win_rate")


def _add_to_page(folder: Path) -> None:
    """Where the result lies in the folder of a run that has ended, its page tells it too."""
    from ..runs.directory import RunDirectory
    from ..runs.run_report import read_summary, write_report

    run = RunDirectory(folder.parent)
    summary = read_summary(run) if folder == run.win_rate_dir and run.report_html.is_file() else None
    if summary is not None:
        write_report(run, summary)
        sys.stdout.write(f"report:   {visible(str(run.report_html))}\n")


def _export(contest: Contest, target: Path, seed: int) -> None:
    from ..assess.judges.people import export

    files = export(contest.matches, target.expanduser(), seed, contest.names)
    for text in (
        f"pairs: {files.blind_jsonl}",
        f"       {files.blind_csv} (write A, B or tie into the last column; one column for each person)",
        f"key:   {files.key} (do not show it to those who vote)",
        f"then:  preftune eval --judge people --answers {files.key} --votes {files.blind_csv}",
    ):
        sys.stdout.write(f"{visible(text)}\n")


def _judge(contest: Contest, by: Judge, folder: Path, reporter: Reporter, *, again: bool) -> None:
    from ..recipe.win_rate import judge, write_judged
    from .eval_terminal import show

    try:
        judged = judge(contest, by, reporter)
    except JudgeError as error:
        kept = folder / "answers.jsonl"
        advice = f"\nThe answers are kept: --answers {kept} judges them without answering again" if again else ""
        raise JudgeError(visible(f"{error}{advice}")) from None
    result, verdicts = write_judged(judged, folder)
    show(judged, sys.stdout)
    sys.stdout.write(f"result:   {visible(str(result))}\nverdicts: {visible(str(verdicts))}\n")
    _add_to_page(folder)
    if not judged.report["judged"]:
        raise typer.Exit(1)
