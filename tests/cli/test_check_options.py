"""``preftune check`` from outside: options, exit codes, and what a screen of 80 columns shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from made import make_tokenizer
from preftune.cli.main import main

REPO = Path(__file__).resolve().parents[2]
OUT_OF_PLACE = "Café \x1b[31mred\x1b[0m \u202e\x07 [bold]text[/bold]"


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def good(count: int, **more: Any) -> list[dict[str, Any]]:
    """Pairs of which the longer answer wins every second time."""
    words = ["a river", "an old stone bridge", "the harbour", "a village of ten houses", "two roads"]
    rows = []
    for n in range(count):
        near, far = f"Place {n} lies near {words[n % 5]}.", f"Nobody knows where {n} is, or why it is {n % 7}."
        rows.append({"prompt": f"Where is place {n}?", "chosen": (near, far)[n % 2], "rejected": (far, near)[n % 2]})
    return [{**row, **more} for row in rows]


def report_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, Any]:
    code = main(["check", *map(str, arguments), "--quick", "--json", "-"])
    return code, json.loads(capsys.readouterr().out)


def test_the_packaged_data_are_checked_by_their_name(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = report_of(capsys, "demo")
    assert (code, report["pairs"], report["verdict"]) == (0, 240, "warnings")


def codes(report: Any) -> set[str]:
    return {finding["code"] for finding in report["findings"]}


def test_the_exit_code_is_zero_one_or_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit = write_jsonl(tmp_path / "fit.jsonl", good(50))
    warned = write_jsonl(tmp_path / "warned.jsonl", [*good(50), good(50)[3]])
    unfit = write_jsonl(tmp_path / "unfit.jsonl", [*good(50), {"prompt": "Who?", "chosen": "I.", "rejected": "I."}])
    for path, verdict, code in ((fit, "fit", 0), (warned, "warnings", 0), (unfit, "unfit", 1)):
        got, report = report_of(capsys, path)
        assert (got, report["verdict"]) == (code, verdict)
    (tmp_path / "words.txt").write_text("no data")
    for unreadable in (tmp_path / "none.jsonl", tmp_path / "words.txt"):
        assert main(["check", str(unreadable)]) == 2
        assert str(unreadable) in capsys.readouterr().err


@pytest.mark.parametrize("named", ["P005", "duplicate", "P001,duplicate"])
def test_fail_on_makes_a_warning_fatal(tmp_path: Path, capsys: pytest.CaptureFixture[str], named: str) -> None:
    data = write_jsonl(tmp_path / "data.jsonl", [*good(50), good(50)[3]])
    assert main(["check", str(data), "--quick", "--fail-on", named]) == 1
    assert "--fail-on" in capsys.readouterr().out
    assert main(["check", str(data), "--quick", "--fail-on", "P012"]) == 0


def test_an_unknown_code_is_refused_before_anything_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "none.jsonl"), "--fail-on", "P999"]) == 2
    assert "unknown check 'P999'" in capsys.readouterr().err


def test_the_json_holds_the_contract(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "data.jsonl", [*good(20), {"prompt": "Who?", "chosen": "I.", "rejected": "I."}])
    out = tmp_path / "report.json"
    assert main(["check", str(data), "--quick", "--json", str(out)]) == 1
    report = json.loads(out.read_text(encoding="utf-8"))
    assert (report["verdict"], report["rows_read"], report["pairs"]) == ("unfit", 21, 20)
    (finding,) = [one for one in report["findings"] if one["severity"] == "error"]
    assert {k: finding[k] for k in ("code", "name", "count", "rows")} == {
        "code": "P003",
        "name": "identical",
        "count": 1,
        "rows": [{"file": str(data), "row": 21}],
    }
    assert finding["share"] == pytest.approx(1 / 21)
    assert finding["message"]
    assert finding["advice"]


def test_a_sample_checks_so_many_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_jsonl(tmp_path / "data.jsonl", good(80))
    _, report = report_of(capsys, data, "--sample", 30)
    assert (report["rows_read"], report["pairs"]) == (80, 30)


def test_held_out_data_and_benchmarks_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_jsonl(tmp_path / "data.jsonl", good(30))
    held = write_jsonl(tmp_path / "held.jsonl", good(2))
    (tmp_path / "bench.txt").write_text("WHERE is place 25?\nAnother question of a benchmark?\n")
    code, report = report_of(capsys, data, "--eval", held, "--benchmark", tmp_path / "bench.txt")
    rows = {one["code"]: [place["row"] for place in one["rows"]] for one in report["findings"]}
    assert code == 1
    assert rows["P024"] == [1, 2]
    assert "P025" not in rows, "prompts below 20 characters are in every list"
    (tmp_path / "bench.txt").write_text("Where is place 25? Please tell me.\n")
    with_long = write_jsonl(
        tmp_path / "long.jsonl", [{**good(26)[25], "prompt": "where is PLACE 25 ... please tell me"}]
    )
    assert "P025" in codes(report_of(capsys, with_long, "--benchmark", tmp_path / "bench.txt")[1])


def test_a_tokenizer_counts_tokens_and_knows_its_special_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_tokenizer().save_pretrained(tmp_path / "tokenizer")
    rows = good(30)
    rows[4]["chosen"] += "<|im_end|>"
    rows[7]["chosen"] = "A word. " * 60
    data = write_jsonl(tmp_path / "data.jsonl", rows)
    _, plain = report_of(capsys, data)
    assert {one["code"]: one["severity"] for one in plain["findings"]}["P015"] == "warning"
    _, report = report_of(capsys, data, "--tokenizer", tmp_path / "tokenizer", "--max-length", 100)
    found = {one["code"]: one for one in report["findings"]}
    assert (found["P015"]["severity"], found["P015"]["rows"][0]["row"]) == ("error", 5)
    assert (found["P016"]["severity"], found["P016"]["rows"][0]["row"]) == ("error", 8)
    assert report["statistics"]["tokens"]["max_length"] == 100
    assert main(["check", str(data), "--tokenizer", str(tmp_path)]) == 2
    assert "--tokenizer takes a tokenizer.json" in capsys.readouterr().err


def test_categories_are_compared_with_their_targets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{**row, "topic": "math" if n % 4 else "code"} for n, row in enumerate(good(40))]
    data = write_jsonl(tmp_path / "data.jsonl", rows)
    target = ("--category-field", "topic", "--category-target")
    _, report = report_of(capsys, data, *target, "code=.25,math=.75")
    assert "P026" not in codes(report)
    _, report = report_of(capsys, data, *target, "code=.5,math=.5")
    assert "P026" in codes(report)
    assert report["statistics"]["categories"]["total_variation"] == pytest.approx(0.25)
    for wrong in ("code=.5", "code", "code=2,math=-1"):
        assert main(["check", str(data), *target, wrong]) == 2
        assert "--category-target: " in capsys.readouterr().err


def test_resampling_reaches_the_targets_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{**row, "category": "math" if n % 4 else "code"} for n, row in enumerate(good(40))]
    data, out = write_jsonl(tmp_path / "data.jsonl", rows), tmp_path / "out.jsonl"
    asked = ("--category-target", "code=.5,math=.5", "--fix", str(out), "--resample", "categories")
    assert main(["check", str(data), "--quick", *asked]) == 0
    assert "mended: 40 read = 20 kept + 20 dropped" in capsys.readouterr().out
    kept = [json.loads(line)["category"] for line in out.read_text(encoding="utf-8").splitlines()]
    assert sorted(kept) == ["code"] * 10 + ["math"] * 10


def test_balancing_by_length_leaves_no_bias(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = good(200)
    for row in rows[:150]:
        row["chosen"], row["rejected"] = sorted((row["chosen"], row["rejected"]), key=len, reverse=True)
    data, out = write_jsonl(tmp_path / "data.jsonl", rows), tmp_path / "out.parquet"
    assert "P013" in codes(report_of(capsys, data)[1])
    assert main(["check", str(data), "--quick", "--fix", str(out), "--balance", "length"]) == 0
    capsys.readouterr()
    _, report = report_of(capsys, out)
    assert "P013" not in codes(report)
    assert report["statistics"]["length_bias"]["p_longer_chosen"] == pytest.approx(0.5, abs=0.01)
    changes = (tmp_path / "out.parquet.changes.jsonl").read_text(encoding="utf-8").splitlines()
    assert report["pairs"] + len(changes) == 200


def test_a_screen_of_80_columns_shows_the_place_in_question_and_sends_no_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    rows = good(40)
    rows[5]["chosen"] = f"{'All is well. ' * 30}Here \ufffd it is. {OUT_OF_PLACE}"
    rows[9] |= {"prompt": OUT_OF_PLACE, "chosen": f"{OUT_OF_PLACE} Human:", "rejected": f"{OUT_OF_PLACE} Human!"}
    data = write_jsonl(tmp_path / "data.jsonl", rows)
    assert main(["check", str(data), "--quick"]) == 1
    shown = capsys.readouterr().out
    assert not set(map(chr, range(32))) - {"\n"} & set(shown)
    assert "\u202e" not in shown
    assert "well. Here \ufffd it is." in shown
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line != line.rstrip()] == []
    assert "a set without these rows: add --fix clean.jsonl --drop P017" in shown


def test_a_terminal_sees_how_long_it_will_take(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    data = write_jsonl(tmp_path / "data.jsonl", good(20_000))
    leader, follower = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(REPO / "src"), "TERM": "xterm", "COLUMNS": "80"}
    command = [sys.executable, "-m", "preftune", "check", str(data), "--quick"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=follower, env=environment) as process:
        os.close(follower)
        told = b""
        try:
            while chunk := os.read(leader, 4096):
                told += chunk
        except OSError:  # Linux: the other side has closed
            pass
    os.close(leader)
    assert process.returncode == 0
    assert b"checking" in told
    assert b"rows" in told
    assert b" left" in told
