"""The door types of the checks: verdict, JSON contract, names and codes."""

from __future__ import annotations

import json

import pytest

from preftune.data import Origin
from preftune.data.checks import CHECKS, CheckReport, Example, Finding, check_named, checks_named, verdict_of
from preftune.errors import DataError

NAMES = [
    "schema",
    "empty",
    "identical",
    "near_identical",
    "duplicate",
    "near_duplicate_prompt",
    "contradiction",
    "cycle",
    "tie",
    "score_contradiction",
    "stock_answer",
    "length_ratio",
    "length_bias",
    "style_shortcut",
    "template_leak",
    "truncated",
    "encoding",
    "refusal_balance",
    "language_mismatch",
    "prompt_copied",
    "repetition",
    "roles",
    "prompt_mismatch",
    "split_leakage",
    "benchmark_overlap",
    "category_balance",
    "annotator_agreement",
    "pii",
    "label_balance",
]


def made(name: str = "identical", severity: str = "error", rows: tuple[int, ...] = (17,)) -> Finding:
    places = tuple(Origin("pairs.jsonl", row) for row in rows)
    check = CHECKS[name]
    text = ("1 pair is ...", check.effect, check.advice)
    return Finding(check.code, name, severity, places, len(rows), 0.5, *text, (Example(places[:1], "<script>"),))


def test_every_promised_name_is_a_check_and_identical_is_p003():
    assert set(NAMES) <= set(CHECKS)
    assert CHECKS["identical"].code == "P003"
    assert len({check.code for check in CHECKS.values()}) == len(CHECKS)


@pytest.mark.parametrize(
    ("severities", "verdict"),
    [
        ((), "fit"),
        (("info",), "fit"),
        (("info", "warning"), "warnings"),
        (("warning", "error", "info"), "unfit"),
    ],
)
def test_the_worst_severity_makes_the_verdict(severities, verdict):
    assert verdict_of(tuple(made(severity=s) for s in severities)) == verdict


def test_json_holds_the_contract_and_rows_are_places():
    report = CheckReport("unfit", 20, 18, (made(),), {"unique_prompts": 18})
    value = json.loads(json.dumps(report.to_json()))
    assert {k: value[k] for k in ("verdict", "rows_read", "pairs")} == {
        "verdict": "unfit",
        "rows_read": 20,
        "pairs": 18,
    }
    finding = value["findings"][0]
    assert finding["rows"] == [{"file": "pairs.jsonl", "row": 17}]
    assert {"code", "name", "severity", "count", "share", "rows", "message", "advice"} <= finding.keys()


def test_checks_are_found_by_code_or_name_and_mistakes_get_a_hint():
    assert checks_named(["P003", "identical", " cycle "]) == (CHECKS["identical"], CHECKS["cycle"])
    with pytest.raises(DataError, match="did you mean 'length_bias'"):
        check_named("lenght_bias")
