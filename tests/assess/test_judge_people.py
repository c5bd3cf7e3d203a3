"""Blind pairs go out, votes come back: nobody sees whose answer is whose, and nothing is lost on the way."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from preftune.assess.judges.base import Match
from preftune.assess.judges.people import PeopleJudge, export
from preftune.errors import DataError, JudgeError
from preftune.recipe.win_rate import Contest, read_answers
from preftune.runs.display import QuietReporter
from run_helpers import write_rows

NAMES = {"model": "mine", "reference": "theirs"}


def many(count: int = 40) -> list[Match]:
    """The model's answer says so, to see through the blinding; one in four is =formula."""
    return [
        Match([{"role": "user", "content": f"Question {n}?"}], f"{'=' * (n % 4 == 0)}mine {n}", f"theirs {n}")
        for n in range(count)
    ]


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def vote(row: dict[str, str], *, for_mine: bool) -> str:
    return "A" if ("mine" in row["response_a"]) == for_mine else "B"


def test_votes_come_back_to_the_answers_that_they_were_for(tmp_path: Path) -> None:
    files = export(many(), tmp_path / "blind.jsonl", 0, NAMES)
    rows = read_csv(files.blind_csv)
    for place, row in enumerate(rows):
        row["annotator1"] = vote(row, for_mine=place < 30)
        row["annotator2"] = "tie" if place >= 35 else row["annotator1"]
    votes = write_csv(tmp_path / "votes.csv", rows)
    contest = read_answers(files.key)
    judge = PeopleJudge([votes])
    rulings = judge.rule(contest.matches, QuietReporter())
    wins = {row["id"] for row in rows[:30]}
    losses = {row["id"] for row in rows[30:35]}
    for match, ruling in zip(contest.matches, rulings, strict=True):
        assert ruling.verdict == ("win" if match.id in wins else "loss" if match.id in losses else "tie")
    facts = judge.facts()
    assert (facts["annotators"], facts["votes"], facts["agreement"]) == (2, 80, pytest.approx(35 / 40))
    assert (contest.model, contest.reference) == ("mine", "theirs")


def test_the_pairs_are_blind_balanced_and_the_same_for_a_seed(tmp_path: Path) -> None:
    files = export(many(), tmp_path / "blind", 0, NAMES)
    rows = [json.loads(line) for line in files.blind_jsonl.read_text(encoding="utf-8").splitlines()]
    assert {tuple(row) for row in rows} == {("id", "prompt", "response_a", "response_b")}
    assert 10 <= sum("mine" in row["response_a"] for row in rows) <= 30
    assert [row["prompt"] for row in rows] != [match.prompt for match in many()]
    again = export(many(), tmp_path / "again.csv", 0, NAMES)
    assert again.blind_jsonl.read_bytes() == files.blind_jsonl.read_bytes()
    other = export(many(), tmp_path / "other", 1, NAMES)
    assert other.blind_jsonl.read_bytes() != files.blind_jsonl.read_bytes()


def test_no_cell_of_the_spreadsheet_is_a_formula(tmp_path: Path) -> None:
    files = export(many(), tmp_path / "blind", 0, NAMES)
    cells = [cell for row in read_csv(files.blind_csv) for cell in row.values()]
    assert any(cell.startswith("'=mine") for cell in cells)
    assert not any(cell.startswith("=") for cell in cells)


def test_any_text_survives_the_spreadsheet(tmp_path: Path) -> None:
    texts = ("a\rb", 'say "no",\nthen go', "\u2028;\t")
    told = [Match([{"role": "user", "content": f"Why {text}?"}], f"mine {text}", f"theirs {text}") for text in texts]
    files = export(told, tmp_path / "blind", 0, NAMES)
    rows = {row["prompt"]: {row["response_a"], row["response_b"]} for row in read_csv(files.blind_csv)}
    assert rows == {match.prompt: {match.answer, match.reference_answer} for match in told}


def test_one_vote_a_row_from_several_files_is_read_too(tmp_path: Path) -> None:
    files = export(many(3), tmp_path / "blind", 0, NAMES)
    rows = [json.loads(line) for line in files.blind_jsonl.read_text(encoding="utf-8").splitlines()]
    paths = [
        write_rows(
            tmp_path / f"{name}.jsonl",
            [{"id": row["id"], "annotator": name, "vote": vote(row, for_mine=name != "cy")} for row in rows],
        )
        for name in ("ann", "ben", "cy")
    ]
    rulings = PeopleJudge(paths).rule(read_answers(files.key).matches, QuietReporter())
    assert [ruling.verdict for ruling in rulings] == ["win"] * 3
    assert rulings[0].detail["certainty"] == pytest.approx(2 / 3)
    assert {one["annotator"]: one["vote"] for one in rulings[0].detail["votes"]} == {
        "ann": "win",
        "ben": "win",
        "cy": "loss",
    }


def test_a_tool_that_turns_the_answers_round_is_understood(tmp_path: Path) -> None:
    files = export(many(6), tmp_path / "blind", 0, NAMES)
    rows = [json.loads(line) for line in files.blind_jsonl.read_text(encoding="utf-8").splitlines()]
    turned = [row | {"response_a": row["response_b"], "response_b": row["response_a"]} for row in rows]
    voted = [row | {"annotator1": vote(row, for_mine=True)} for row in turned]
    rulings = PeopleJudge([write_rows(tmp_path / "v.jsonl", voted)]).rule(
        read_answers(files.key).matches, QuietReporter()
    )
    assert [ruling.verdict for ruling in rulings] == ["win"] * 6


def test_a_pair_without_votes_has_no_verdict_and_is_told(tmp_path: Path) -> None:
    files = export(many(4), tmp_path / "blind", 0, NAMES)
    rows = read_csv(files.blind_csv)
    rows[0]["annotator1"] = "tie"
    reporter = QuietReporter()
    contest = read_answers(files.key)
    rulings = PeopleJudge([write_csv(tmp_path / "v.csv", rows)]).rule(contest.matches, reporter)
    assert sorted(str(ruling.verdict) for ruling in rulings) == ["None", "None", "None", "tie"]
    assert reporter.notes == ["3 of 4 pairs have no vote yet"]


def test_equal_answers_are_in_the_key_only(tmp_path: Path) -> None:
    same = Match([{"role": "user", "content": "Hi"}], "Hello", "Hello")
    files = export([*many(2), same, same], tmp_path / "blind", 0, NAMES)
    assert len(files.blind_jsonl.read_text(encoding="utf-8").splitlines()) == 2
    assert len(read_answers(files.key).matches) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "feedbeeffeedbeef"}, r"v\.csv:1: its id 'feedbeeffeedbeef' is not in the key"),
        ({"id": ""}, r"v\.csv:1: it has no 'id'"),
        ({"annotator1": "maybe"}, r"v\.csv:1: the vote of 'annotator1' is 'maybe', which is no vote"),
        ({}, "nobody has voted: write A, B or tie into annotator1"),
    ],
)
def test_votes_that_cannot_be_used_are_named(change: dict[str, str], message: str, tmp_path: Path) -> None:
    files = export(many(2), tmp_path / "blind", 0, NAMES)
    rows = read_csv(files.blind_csv)
    rows[0].update({"annotator1": "A"} | change if change else {})
    with pytest.raises(JudgeError, match=message):
        PeopleJudge([write_csv(tmp_path / "v.csv", rows)]).rule(read_answers(files.key).matches, QuietReporter())


def test_votes_need_the_key_and_a_file_that_is_there(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match=r"needs the key that --export wrote"):
        PeopleJudge([tmp_path / "v.csv"]).rule(Contest(many(1), "a", "b").matches, QuietReporter())
    files = export(many(1), tmp_path / "blind", 0, NAMES)
    with pytest.raises(DataError, match="no such file"):
        PeopleJudge([tmp_path / "v.csv"]).rule(read_answers(files.key).matches, QuietReporter())
