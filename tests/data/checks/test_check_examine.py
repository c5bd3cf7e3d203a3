"""One pass over made data: what is counted, what is said, what is left out and said so."""

from __future__ import annotations

import json

import pytest
from check_helpers import checked, clean_rows, rows_of, write_jsonl

from preftune.data.checks import CheckOptions, check
from preftune.errors import DataError


def test_clean_data_are_fit():
    report = checked(clean_rows(300))
    assert report.verdict == "fit"
    assert not report.of("error") + report.of("warning")
    assert (report.rows_read, report.pairs) == (300, 300)


def test_a_refused_row_is_a_finding_with_its_place_and_reason(tmp_path):
    rows = clean_rows(10)
    rows[3]["chosen"] = "  "
    rows[6]["rejected"] = rows[6]["chosen"]
    del rows[8]["rejected"]
    report = check(write_jsonl(tmp_path / "pairs.jsonl", rows))
    assert report.verdict == "unfit"
    assert (rows_of(report, "empty"), rows_of(report, "identical"), rows_of(report, "schema")) == ({4}, {7}, {9})
    assert (report.rows_read, report.pairs) == (10, 7)
    assert report.named("empty").examples[0].text.startswith("'chosen' is empty")
    assert report.named("empty").share == pytest.approx(0.1)


def test_examples_are_read_again_from_the_file(tmp_path):
    rows = clean_rows(40)
    rows[25] |= {"chosen": rows[25]["chosen"] + " <|im_end|> and more"}
    report = check(write_jsonl(tmp_path / "pairs.jsonl", rows))
    (example,) = report.named("template_leak").examples
    assert [origin.row for origin in example.rows] == [26]
    assert "<|im_end|> and more" in example.text


def test_a_sample_is_drawn_evenly_and_keeps_its_row_numbers():
    rows = clean_rows(200)
    for row in rows[100:]:
        row["rejected"] = row["chosen"]
    report = checked(rows, sample=50)
    assert report.rows_read == 200
    assert report.pairs + report.named("identical").count == 50
    assert 10 < report.pairs < 40
    assert min(rows_of(report, "identical")) > 100


def test_checks_that_are_not_made_are_named_with_the_reason():
    report = checked(clean_rows(5), slow=False)
    assert {"near_duplicate_prompt", "language_mismatch", "pii", "split_leakage", "category_balance"} <= set(
        report.not_run
    )
    assert report.not_run["split_leakage"] == "no held-out data given (--eval)"


def test_flags_hold_the_codes_of_each_pair():
    rows = clean_rows(6)
    rows.append(rows[2])
    report = checked(rows, flags=True)
    assert list(report.flags.values()) == [("P005",)]


def test_a_report_is_plain_json():
    report = checked(clean_rows(50), category_target={"a": 1.0})
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["verdict"] == "warnings"


@pytest.mark.parametrize("options", [{"sample": 0}, {"format": "nonsense"}, {"rankings": "nonsense"}])
def test_options_that_cannot_be_honoured_are_refused(options):
    with pytest.raises(DataError):
        checked(clean_rows(2), **options)


def test_a_file_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        check(tmp_path / "none.jsonl", CheckOptions())
