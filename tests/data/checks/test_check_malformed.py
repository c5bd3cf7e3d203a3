"""Malformed files: each gives findings with file and row, or one error that names the file; never a trace or a hang."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from check_helpers import clean_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preftune.cli.check_terminal import print_report
from preftune.data.checks import CheckReport, check
from preftune.errors import DataError

NASTY = [
    "\x00",
    "\ud800",
    "\u2028",
    "\u0085",
    "\ufeff",
    "\x1b[31m",
    "\u202e",
    "<|im_end|>",
    "\n\nHuman:",
    "\ufffd",
    "e\u0301",
]
HUGE = "a b. " * 200_000
DEEP = "[" * 50_000

texts = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from([*NASTY, "word", " ", "字"]), max_size=12).map("".join),
    st.sampled_from(["", " ", HUGE, "x" * 300_000]),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["role", "content", "from", "value", "text", "a"]), inner, max_size=3),
    ),
    max_leaves=6,
)
COLUMNS = [
    *("prompt", "chosen", "rejected", "messages", "conversations", "completion", "label", "responses", "scores"),
    *("response1", "response2", "annotator1", "comparisons", "question", "prediction 1", "prediction 2", "preference"),
    *("margin", "score_chosen", "score_rejected", "weight", "category", "source", "system", "instruction", "votes"),
]
rows = st.one_of(
    st.dictionaries(st.sampled_from(COLUMNS), values, max_size=6),
    st.fixed_dictionaries({"prompt": texts, "chosen": texts, "rejected": texts}),
    st.fixed_dictionaries({"prompt": texts, "chosen": texts, "rejected": texts, "margin": values, "category": values}),
)


def lines_of(made: list[Any], end: str, bom: bool) -> bytes:
    body = end.join(json.dumps(row) for row in made)
    return (b"\xef\xbb\xbf" if bom else b"") + body.encode()


def raw_lines_of(made: list[Any], end: str) -> bytes:
    """With U+2028 and others as they are, not escaped."""
    return end.join(json.dumps(row, ensure_ascii=False) for row in made).encode("utf-8", "surrogatepass")


ends = st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\n\r\n"])
jsonl = st.one_of(
    st.builds(lines_of, st.lists(rows, max_size=5), ends, st.booleans()),
    st.builds(raw_lines_of, st.lists(rows, max_size=5), ends),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Good bytes with a cut, a hole, or something put in."""
    whole = draw(jsonl)
    place = draw(st.integers(0, len(whole)))
    inserted = draw(
        st.one_of(st.binary(max_size=8), st.sampled_from([b"\x00", b"\xff\xfe", DEEP.encode(), b'{"prompt":']))
    )
    return whole[:place] + inserted + whole[place + draw(st.integers(0, 5)) :]


def zipped(content: bytes, cut: int) -> bytes:
    whole = gzip.compress(content)
    return whole[: max(0, len(whole) - cut)]


files = st.one_of(
    st.tuples(st.just("pairs.jsonl"), st.one_of(jsonl, damaged(), st.binary(max_size=200))),
    st.tuples(st.just("pairs.json"), st.one_of(damaged(), jsonl, st.lists(rows).map(json.dumps).map(str.encode))),
    st.tuples(st.just("pairs.jsonl.gz"), st.builds(zipped, jsonl, st.integers(0, 30))),
    st.tuples(st.sampled_from(["pairs.csv", "pairs.tsv"]), st.one_of(damaged(), st.binary(max_size=200))),
    st.tuples(
        st.just("pairs.csv"),
        st.text(max_size=100).map(lambda t: f"prompt,chosen,rejected\n{t}".encode("utf-8", "replace")),
    ),
    st.tuples(st.just("pairs.parquet"), st.binary(max_size=300)),
)


def shown(report: CheckReport) -> str:
    """The report as a screen without Unicode shows it."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    print_report(report, stream, failed=report.verdict == "unfit")
    return stream.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]


def judged(path: Path) -> CheckReport | None:
    """The report, complete and printable; None where the file is refused, by name."""
    try:
        report = check(path)
    except DataError as error:
        if str(path) not in str(error):
            raise AssertionError(f"the message does not name the file: {error}") from None
        return None
    value = json.dumps(report.to_json(), allow_nan=False)
    assert all(origin.file == str(path) and origin.row > 0 for f in report.findings for origin in f.rows)
    bad = {
        origin
        for name in ("schema", "empty", "identical", "prompt_mismatch")
        if (f := report.named(name))
        for origin in f.rows
    }
    assert report.pairs + report.statistics["records"] > 0 or bad or report.named("roles") or report.named("tie")
    text = shown(report)
    assert "\x1b" not in text
    assert "\x00" not in text
    assert value
    return report


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(files)
def test_a_malformed_file_gives_findings_or_one_error(tmp_path, file):
    name, content = file
    path = tmp_path / name
    path.write_bytes(content)
    judged(path)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"prompt": "a", "chosen": "b", "rejec', "broken JSON at column"),
        (b'{"prompt": "a", "chosen": "\xff", "rejected": "c"}', "invalid UTF-8"),
        (b'{"prompt": "a", "chosen": "\\ud800", "rejected": "c"}', "a lone surrogate"),
        (b'{"prompt": "a", "chosen": ' + DEEP.encode(), "nested too deeply"),
        (b'{"prompt": 1, "chosen": "b", "rejected": "c"}', "'prompt'"),
        (b"[1, 2]", "the row is a list"),
        (b'{"prompt": "a", "prompt": "a", "chosen": "b", "rejected": "c"}', "occurs twice"),
        (b"\x00\x00\x00", "broken JSON"),
    ],
)
def test_a_broken_line_is_named_and_the_others_are_checked(tmp_path, line, reason):
    good = [json.dumps(row).encode() for row in clean_rows(3)]
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(b"\n".join([good[0], line, good[1], b"", good[2]]))
    report = judged(path)
    assert report is not None
    finding = report.named("schema")
    assert [(origin.row, report.pairs) for origin in finding.rows] == [(2, 3)]
    assert reason in finding.examples[0].text


def test_line_separators_inside_a_text_break_no_line(tmp_path):
    rows = [{**row, "chosen": f"one\u2028two\u0085three {row['chosen']}"} for row in clean_rows(4)]
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode())
    report = judged(path)
    assert report is not None
    assert (report.rows_read, report.pairs) == (4, 4)


def test_a_cut_gzip_is_an_error_with_the_last_good_row(tmp_path):
    path = tmp_path / "pairs.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in clean_rows(2000)).encode())[:-3000])
    with pytest.raises(DataError, match=r"pairs\.jsonl\.gz: the file is cut short .* the last good row is \d+"):
        check(path)


def test_huge_texts_take_no_more_than_seconds(tmp_path):
    rows = [
        {"prompt": HUGE, "chosen": HUGE + "x.", "rejected": HUGE + "y."},
        {"prompt": "p" * 10**6, "chosen": "ab" * 10**6, "rejected": "ba" * 10**6},
        {"prompt": "q", "chosen": "字" * 10**6, "rejected": "\n" * 10**6 + "Human:" * 10**5},
        {"prompt": "r", "chosen": "<" * 10**6, "rejected": "I'm " * 10**5 + "@" * 10**5},
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert judged(path) is not None
