"""What is printed of objectives, and the page that is generated from them."""

from __future__ import annotations

from pathlib import Path

from preftune.cli.main import main
from preftune.objectives import OBJECTIVES
from preftune.objectives.describe import described, listed, markdown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "objectives.md"


def test_the_page_in_docs_is_current():
    assert PAGE.read_text(encoding="utf-8") == markdown() + "\n"


def test_every_objective_is_listed_on_a_line_of_its_own():
    lines = listed().splitlines()
    assert [line.split()[0] for line in lines] == [n for n in OBJECTIVES if ":" not in n]


def test_one_objective_tells_formula_parameters_needs_and_source():
    text = described("ipo")
    for part in (
        "25 with the defaults",
        "arXiv:2310.12036",
        "beta: the paper's tau",
        "> 0",
        "reference: yes",
        "default 0.1",
    ):
        assert part in text


def test_the_command_prints_one_and_suggests_near_names(capsys):
    assert main(["objectives", "simpo"]) == 0
    assert "gamma_beta_ratio" in capsys.readouterr().out
    assert main(["objectives", "simp"]) == 2
    assert "did you mean 'simpo'?" in capsys.readouterr().err
