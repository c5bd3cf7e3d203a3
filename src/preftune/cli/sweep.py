"""``preftune sweep``: a config with several values of some keys; ``preftune compare``: any runs side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError, RunFolderError

if TYPE_CHECKING:
    from ..recipe.sweep import Planned, SweepFolder
    from ..runs.outcomes import RunOutcome

Grid = Annotated[
    list[str], typer.Argument(metavar="KEY=V1,V2...", help="Keys with their values, such as objective.beta=0.05,0.1.")
]


def sweep(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="The YAML file that all runs start from.")],
    grid: Grid,
    parallel: Annotated[int, typer.Option("--parallel", min=1, metavar="N", help="Runs at the same time.")] = 1,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Folder of the sweep (default: OUTPUT_DIR-sweep).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs and stop.")] = False,
) -> None:
    """Train CONFIG once for every combination of values, compare the runs, and say which to take and why."""
    from ..recipe.grid import grid as points_of
    from ..recipe.sweep import SweepFolder, check_points, plan_sweep
    from ..recipe.sweep import sweep as make
    from ..runs.display_plain import PlainReporter

    reporter = PlainReporter(sys.stdout)
    points = points_of(grid)
    checked = check_points(config, points)
    folder = SweepFolder((output or _default_folder(checked[0].output_dir)).expanduser())
    planned = plan_sweep(config, points, folder)
    left = [one for one in planned if not one.is_finished]
    reporter.note(f"{len(planned)} runs, {len(left)} to make, in {folder.root}")
    if dry_run:
        for one in planned:
            reporter.note(f"{one.point.name}: {'finished before' if one.is_finished else 'to make'}")
        return
    found = make(config, planned, folder, reporter, parallel=parallel, ended=lambda: _write(planned, folder))
    _write(planned, folder)
    print()
    _show(found)
    print(f"\nreport: {folder.page}\ntable:  {folder.table}")
    failed = [run.name for run in found if run.status != "finished"]
    if failed:
        print(f"not finished: {', '.join(failed)}. The same command tries them again; {folder.root / 'logs'} says why")
        raise typer.Exit(1)


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="The output_dir of each run.")],
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page as well.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the table as well.")] = None,
) -> None:
    """Put runs side by side on their held-out pairs, and say which to take and why."""
    from ..runs.comparison import write_page, write_table
    from ..runs.outcomes import read_outcome
    from ..runs.recommend import recommend

    folders = list(dict.fromkeys(run.expanduser().absolute() for run in runs))
    if len(folders) < 2:
        raise ConfigError("compare needs at least two runs: name the output_dir of each")
    found = [read_outcome(folder, name) for folder, name in zip(folders, _names(folders), strict=True)]
    missing = [str(run.root) for run in found if not run.history]
    if missing:
        raise RunFolderError(f"no step of a run was logged in {', '.join(missing)}: name the output_dir of each run")
    _show(found)
    if html is not None:
        write_page(html.expanduser(), f"{len(found)} runs", found, recommend(found))
    if csv is not None:
        write_table(csv.expanduser(), found)


def _default_folder(output_dir: str) -> Path:
    """Beside the folder that a single run of the config would write to."""
    single = Path(output_dir)
    return single.with_name(f"{single.name}-sweep")


def _names(folders: list[Path]) -> list[str]:
    """The last parts of the paths, as many as tell them apart."""
    for size in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-size:]) for folder in folders]
        if len(set(names)) == len(names):
            break
    return names


def _write(planned: list[Planned], folder: SweepFolder) -> None:
    from ..recipe.sweep import outcomes
    from ..runs.comparison import write_page, write_table
    from ..runs.recommend import recommend

    found = outcomes(planned, folder)
    write_table(folder.table, found)
    write_page(folder.page, folder.root.absolute().name, found, recommend(found))


def _show(found: list[RunOutcome]) -> None:
    from ..runs.comparison import lines_of
    from ..runs.recommend import recommend

    print("\n".join(lines_of(found, recommend(found))))
