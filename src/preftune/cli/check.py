"""``preftune check``: what is wrong with preference data, in a minute, before anything is trained."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError
from ..runs.text import visible
from . import check_fix

if TYPE_CHECKING:
    from ..data.checks import CheckOptions, CheckReport

_STDOUT = Path("-")


def check(
    data: Annotated[
        list[str],
        typer.Argument(metavar="DATA", help="Files, folders, patterns, folder:name of a dataset_info.json, or demo."),
    ],
    format: Annotated[str, typer.Option(metavar="NAME", help="Format of the rows, by name.")] = "auto",  # noqa: A002
    eval_data: Annotated[
        list[str] | None, typer.Option("--eval", metavar="DATA", help="Held-out data; prompts in both are errors.")
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A tokenizer.json or its folder: token lengths, cuts, its special tokens."),
    ] = None,
    max_length: Annotated[int, typer.Option(min=16, metavar="N", help="Longest prompt plus answer, in tokens.")] = 2048,
    category_target: Annotated[
        str, typer.Option(metavar="NAME=SHARE,...", help="Wanted shares, such as coding=.3,math=.3,qa=.4.")
    ] = "",
    category_field: Annotated[str, typer.Option(metavar="COLUMN", help="The column of the category.")] = "category",
    benchmark: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Prompts of a benchmark: a text with one on each line, or rows."),
    ] = None,
    rankings: Annotated[
        str, typer.Option(metavar="NAME", help="Pairs of a ranking: all, adjacent or best_worst.")
    ] = "all",
    sample: Annotated[int | None, typer.Option(min=1, metavar="N", help="Check N rows, drawn evenly.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out near-duplicate prompts, languages and rare mojibake.")
    ] = False,
    pii: Annotated[bool, typer.Option("--pii", help="Also look for personal data and secrets.")] = False,
    json_out: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Write the report with every row; - for the screen.")
    ] = None,
    html_out: Annotated[
        Path | None, typer.Option("--html", metavar="OUT", help="Write the report as a page with charts and texts.")
    ] = None,
    fix: check_fix.FixOut = None,
    drop: check_fix.Drop = "",
    balance: check_fix.Balance = "",
    resample: check_fix.Resample = "",
    aggregate: check_fix.Aggregate = check_fix.MAJORITY,
    overwrite: check_fix.Overwrite = False,
    fail_on: Annotated[
        str, typer.Option(metavar="CODE,...", help="Further checks, by code or name, that make the exit code 1.")
    ] = "",
) -> None:
    """Find faults in preference data: exit code 0 where they are fit, 1 with errors, 2 where they cannot be read.

    With --fix, the exit code is that of the cleaned set.
    """
    from ..data.checks import CheckOptions, checks_named
    from ..data.checks.categories import parse_target
    from ..data.embedded import named_data

    data = [str(named_data(name)) for name in data]
    fatal = frozenset(one.code for one in checks_named(fail_on.split(",")))
    options = CheckOptions(
        format=format,
        eval=eval_data,
        tokenizer=tokenizer,
        max_length=max_length,
        category_target=parse_target(category_target) if category_target else {},
        category_field=category_field,
        benchmarks=benchmark or (),
        rankings=rankings,
        sample=sample,
        slow=not quick,
        pii=pii,
        flags=fix is not None,
    )
    mending = check_fix.fix_asked(fix, drop, balance, resample, aggregate, overwrite, options)
    for path in (json_out, html_out):
        if path is not None and path.is_dir():
            raise ConfigError(f"{path}: is a folder: name a file to write")
    if mending:
        check_fix.refuse_place(mending, data, options)
    report = _checked(data, options)
    failed = _fails(report, fatal)
    _show(report, data, options, json_out, html_out, failed=failed, mending=mending is not None)
    if mending:
        mended = check_fix.write_fix(mending, data, options, report)
        after = _checked([str(mending.out)], check_fix.options_for(options))
        failed = _fails(after, fatal)
        if json_out != _STDOUT:
            typer.echo("\n" + visible("\n".join(check_fix.account(mending, mended, report, after))))
    raise typer.Exit(int(failed))


def _fails(report: CheckReport, fatal: Collection[str]) -> bool:
    return report.verdict == "unfit" or any(finding.code in fatal for finding in report.findings)


def _show(
    report: CheckReport,
    data: Sequence[str],
    options: CheckOptions,
    json_out: Path | None,
    html_out: Path | None,
    *,
    failed: bool,
    mending: bool,
) -> None:
    """Write the files that were asked for, then print the report, unless the JSON is on the screen."""
    if json_out is not None:
        _write_json(json_out, report)
    if html_out is not None:
        from .check_html import write_page

        write_page(html_out, data, options, report)
    if json_out != _STDOUT:
        from .check_terminal import print_report

        named = {"all rows": json_out, "page": html_out}
        written = {what: path for what, path in named.items() if path}
        print_report(report, sys.stdout, failed=failed, written=written, mending=mending)


def _checked(data: Sequence[str], options: CheckOptions) -> CheckReport:
    """The report, with a bar on stderr where that is a terminal."""
    from ..data.checks import check as run_check
    from ..data.checks.estimate import estimated_rows
    from ..runs.display import QuietReporter, choose_reporter

    is_terminal = sys.stderr.isatty()
    reporter = choose_reporter(sys.stderr) if is_terminal else QuietReporter()
    total = estimated_rows(data, options) if is_terminal else None
    with reporter.phase("checking", total, "rows") as phase:
        return run_check(data, options, phase.advance)


def _write_json(path: Path, report: CheckReport) -> None:
    text = json.dumps(report.to_json(), indent=1) + "\n"  # ASCII: any screen and any reader can take it
    if path == _STDOUT:
        sys.stdout.write(text)
        return
    from ..runs.atomic import atomic_write

    atomic_write(path, text)
