"""Runs side by side as lines, as a table and as a page."""

from __future__ import annotations

import csv
import re
from html import unescape
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from made_outcomes import made_outcome
from made_report import HOSTILE
from opened_page import opened

from preftune.runs.comparison import lines_of, write_table
from preftune.runs.outcomes import RunOutcome
from preftune.runs.recommend import recommend
from preftune.runs.report.comparison_charts import Mark, frontier_of
from preftune.runs.report.comparison_page import comparison_page
from preftune.runs.report.frame import LEFT, RIGHT, TOP
from preftune.runs.report.names import Box, box_of, place_names


def made_runs() -> list[RunOutcome]:
    """Three that finished, one that failed, one that drifted."""
    unknown: dict[str, Any] = {"history": (), "seconds": None, "is_healthy": None, "verdict": "", "pairs": 0}
    return [
        made_outcome(0.05, 0.82, -6.0),
        made_outcome(0.1, 0.80, 2.5),
        made_outcome(0.3, 0.71, 0.4),
        made_outcome(0.5, None, None, status="failed", rejected_gained=None, **unknown),
        made_outcome(0.01, 0.9, 40.0),
    ]


def page() -> str:
    runs = made_runs()
    return comparison_page("sweep", runs, recommend(runs))


def test_the_frontier_holds_what_no_other_run_beats() -> None:
    marks = [Mark("a", 1, 0.6), Mark("b", 2, 0.8), Mark("c", 3, 0.7), Mark("d", 4, 0.9), Mark("e", 2, 0.5)]
    assert [mark.name for mark in frontier_of(marks)] == ["a", "b", "d"]


def test_the_lines_fit_a_terminal_and_say_what_to_take() -> None:
    runs = made_runs()
    lines = lines_of(runs, recommend(runs))
    assert lines[0].split() == ["run", "accuracy", "95", "%", "margin", "kl_div", "time"]
    assert lines[2].split() == ["beta=0.1", "80.0", "%", "74-85", "11.5", "2.50", "1m01s", "healthy"]
    assert lines[4].split() == ["beta=0.5", "failed"]
    assert max(map(len, lines[:6])) <= 80
    assert lines[7] == "Take objective.beta: 0.1."


def test_the_table_has_every_run_and_every_number(tmp_path: Path) -> None:
    write_table(tmp_path / "sweep.csv", made_runs())
    with (tmp_path / "sweep.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["objective.beta"] for row in rows] == ["0.05", "0.1", "0.3", "0.5", "0.01"]
    assert (rows[1]["accuracy"], rows[1]["margin_gained_nats"], rows[1]["kl_div"]) == ("0.8", "11.5", "2.5")
    assert [rows[3][name] for name in ("status", "accuracy", "kl_div", "seconds")] == ["failed", "", "", ""]


def test_a_name_is_no_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    write_table(tmp_path / "sweep.csv", [made_outcome(0.1, 0.8, 1.0, name="=1+1"), made_outcome(0.2, 0.8, 1.0)])
    assert (tmp_path / "sweep.csv").read_text(encoding="utf-8").splitlines()[1].startswith("'=1+1,")


def test_an_empty_text_is_an_empty_cell(tmp_path: Path) -> None:
    write_table(tmp_path / "sweep.csv", [made_outcome(0.1, 0.8, 1.0, verdict=""), made_outcome(0.2, 0.8, 1.0)])
    with (tmp_path / "sweep.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["verdict"] == ""


def test_the_page_recommends_first_and_shows_what_that_rests_on() -> None:
    found = page()
    assert re.findall(r'<section id="([^"]*)"', found) == ["frontier", "runs", "rewards", "curves"]
    header = unescape(found[found.index("<header>") : found.index("</header>")])
    assert header.index("Take objective.beta: 0.1.") < header.index("95 % interval of its accuracy")
    assert (found.count('class="dots taken chosen"'), found.count('class="at"')) == (2, 6)


def shared(one: Box, other: Box) -> bool:
    return all(min(one[k + 2], other[k + 2]) > max(one[k], other[k]) for k in (0, 1))


def test_names_at_points_that_lie_together_do_not_cover_each_other() -> None:
    together = [(100.0 + 0.3 * k, 90.0) for k in range(6)]
    in_the_corner = [(RIGHT - 1.0, TOP + 1.0), (RIGHT - 1.0, TOP + 1.0)]
    names = [*("0.03", "0.05", "0.1", "0.3", "0.5", "1"), "0.01", "0.02"]
    places = place_names([*together, *in_the_corner], names)
    boxes = [box_of(place, name) for place, name in zip(places, names, strict=True)]
    assert not any(shared(one, other) for one, other in combinations(boxes, 2))
    assert all(left >= LEFT and right <= RIGHT + 6 for left, _, right, _ in boxes)
    assert [place.is_away for place in places[:4]] == [False] * 4
    (alone,) = place_names([(100.0, 90.0)], ["0.1"])
    assert (alone.anchor, alone.x > 100, alone.y < 90) == ("start", True, True)  # above right, where there is room


def test_where_there_is_no_room_every_point_still_has_its_name() -> None:
    assert len(place_names([(200.0, 100.0)] * 80, ["a long name of a run"] * 80)) == 80


def test_long_names_and_many_runs_have_numbers_at_their_points_and_in_the_table() -> None:
    settings = [{"objective.beta": b, "train.learning_rate": lr} for b in (0.1, 0.3) for lr in (1e-6, 5e-5)]
    runs = [made_outcome(0.1, 0.7 + k / 50, k + 1.0, name=f"run {k}", settings=s) for k, s in enumerate(settings)]
    found = comparison_page("sweep", runs, recommend(runs))
    assert re.findall(r'class="at[^"]*"[^>]*>([^<]*)<', found)[:4] == ["4", "2", "1", "3"]  # the recommended one last
    assert "1. run 0" in found
    assert "The numbers at the points are those of the table below." in found


def test_runs_that_have_not_finished_are_hollow_named_and_off_the_frontier() -> None:
    unknown: dict[str, Any] = {"is_healthy": None, "verdict": ""}
    runs = [
        *made_runs()[:3],
        made_outcome(0.2, 0.95, 0.1, status="interrupted", **unknown),
        made_outcome(0.4, 0.94, 0.2, status="running", **unknown),
    ]
    chosen = recommend(runs)
    found = comparison_page("sweep", runs, chosen)
    assert (found.count('class="hollow first"'), found.count('class="at unfinished"')) == (4, 4)
    assert "not finished</span>" in found
    assert "interrupted, measured at step 60" in found
    assert "0.2 (interrupted)" in found
    assert "0.4 (unfinished)" in found
    assert chosen.run is runs[1]
    assert "Left out, because they have not finished: beta=0.2, beta=0.4." in chosen.reason
    marks = [Mark("a", 1, 0.6), Mark("b", 0.5, 0.9, is_finished=False)]
    assert [mark.name for mark in frontier_of(marks)] == ["a"]


def test_runs_of_which_nothing_is_known_have_a_page() -> None:
    runs = [RunOutcome(HOSTILE, Path("x"), "not started", {}), RunOutcome("b", Path("y"), "running", {})]
    found = comparison_page(HOSTILE, runs, recommend(runs))
    assert HOSTILE not in found
    assert HOSTILE in unescape(found)
    assert re.findall(r'<section id="([^"]*)"', found) == ["runs"]


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_the_window_and_asks_for_nothing(browser: Any, tmp_path: Path, width: int) -> None:
    found = opened(browser, tmp_path, page(), width, "dark")
    assert found.page.evaluate("document.documentElement.scrollWidth") == width
    found.assert_quiet()
    found.page.context.close()
