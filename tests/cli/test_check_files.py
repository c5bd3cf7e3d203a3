"""Files that ``preftune check`` writes: the page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from preftune.cli.main import main

HOSTILE = "</script><script>alert(1)</script>"


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def pairs(count: int) -> list[dict[str, Any]]:
    return [
        {
            "prompt": f"How far is city {n} from here?",
            "chosen": f"It is {n} miles away by road.",
            "rejected": "Far." * (n % 7),
        }
        for n in range(1, count + 1)
        if n % 7
    ]


def records_of(page: str) -> list[list[Any]]:
    (held,) = re.findall(r'<script type="application/json" id="pairs-table-data">(.*?)</script>', page)
    rows = json.loads(held)["rows"]
    assert isinstance(rows, list)
    return rows


def test_the_page_holds_the_report_and_the_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [*pairs(40), {"prompt": HOSTILE, "chosen": f"Yes. {HOSTILE}", "rejected": "\ufffd No."}]
    data, page = write_jsonl(tmp_path / "<data>.jsonl", rows), tmp_path / "page.html"
    assert main(["check", str(data), "--quick", "--html", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert f"page: {page}" in capsys.readouterr().out.replace("\n", "")
    assert "P017 encoding" in text
    assert "&lt;data&gt;.jsonl" in text
    assert "<script>alert" not in text
    held = records_of(text)
    assert len(held) == len(rows)
    assert held[-1][:2] == [f"<data>.jsonl:{len(rows)}", ["P017"]]
    assert held[-1][-3:] == [HOSTILE, f"Yes. {HOSTILE}", "\ufffd No."]


def test_a_page_of_many_records_shows_some_of_every_finding(tmp_path: Path) -> None:
    rows = pairs(3000)
    rows[1234]["chosen"] = "It is \ufffd miles away by road."
    rows[2000]["rejected"] = "x" * 5000
    data, page = write_jsonl(tmp_path / "data.jsonl", rows), tmp_path / "page.html"
    assert main(["check", str(data), "--quick", "--html", str(page)]) == 1
    held = records_of(page.read_text(encoding="utf-8"))
    assert 500 <= len(held) <= 1000
    by_place = {row[0]: row for row in held}
    assert "P017" in by_place["data.jsonl:1235"][1]
    assert by_place["data.jsonl:2001"][-1] == "x" * 2000 + " … (3,000 more characters)"


def test_a_page_of_judged_answers_names_their_sides(tmp_path: Path) -> None:
    rows = [{"prompt": f"Question {n}?", "completion": f"Answer {n}.", "label": bool(n % 2)} for n in range(20)]
    data, page = write_jsonl(tmp_path / "data.jsonl", rows), tmp_path / "page.html"
    assert main(["check", str(data), "--quick", "--html", str(page)]) == 0
    held = records_of(page.read_text(encoding="utf-8"))
    assert [row[-2:] for row in held[:2]] == [["Answer 0.", None], [None, "Answer 1."]]


def test_a_folder_is_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_jsonl(tmp_path / "data.jsonl", pairs(3))
    assert main(["check", str(data), "--html", str(tmp_path)]) == 2
    assert "is a folder: name a file to write" in capsys.readouterr().err
