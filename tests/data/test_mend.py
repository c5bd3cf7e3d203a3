"""Mending: what is asked for and nothing else, every entry accounted for, and the same records when read back."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from data_helpers import write_lines
from hypothesis import given
from hypothesis import strategies as st

from preftune.data import BinaryFeedback, PreferencePair, load_feedback, load_pairs
from preftune.data.checks import CheckOptions, check, checks_named
from preftune.data.mend import Asked, Mended, mend, write_mended
from preftune.data.mend.balance import BIN, balanced_by_length, resampled
from preftune.errors import DataError

QUICK = CheckOptions(slow=False, flags=True)


def mended(source: Any, drop: str = "", options: CheckOptions = QUICK, **asked: Any) -> Mended:
    return mend(source, options, check(source, options), Asked(checks_named(drop.split(",")), **asked))


def written(result: Mended, out: Path) -> list[dict[str, Any]]:
    """Write the set; the lines of its account."""
    changes = out.with_name("changes.jsonl")
    write_mended(result, out, changes)
    return [json.loads(line) for line in changes.read_text(encoding="utf-8").splitlines()]


def said(record: PreferencePair | BinaryFeedback) -> tuple[Any, ...]:
    """Everything of a record but where it stands."""
    margin = record.margin if isinstance(record, PreferencePair) else None
    return record.id, record.kind, record.category, record.source, record.weight, margin


def pair(prompt: str, chosen: str = "Yes, it is.", rejected: str = "No, it is not.", **more: Any) -> dict[str, Any]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected, **more}


REAL = [
    ("hh_harmless", "P002"),
    ("llamafactory:dpo_zh_demo", ""),
    ("pandalm", "P001,P002,P009"),
    ("qa_feedback", "P009"),
    ("llmbar", ""),
]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize(("name", "drop"), REAL)
def test_real_sets_come_back_as_they_were(shared_data: Path, tmp_path: Path, name: str, drop: str, ending: str) -> None:
    source, out = f"{shared_data}/{name}", tmp_path / f"out.{ending}"
    result = mended(source, drop)
    changes = written(result, out)
    before = load_pairs(source, max_bad_rows=60, rankings="all")
    assert [said(one) for one in load_pairs(out).pairs] == [said(one) for one in before.pairs]
    assert result.kept == len(before.pairs)
    assert result.read == result.kept + sum(result.dropped.values())
    lost = {bad.origin.row for bad in before.report.bad_rows} | {one.origin.row for one in before.report.without_record}
    if name != "qa_feedback":  # its rows hold six comparisons, of which some are ties
        assert {change["row"] for change in changes if change["action"] == "dropped"} == lost
    assert sum(change["action"] == "dropped" for change in changes) == result.read - result.kept


def test_judged_answers_come_back_as_they_were(shared_data: Path, tmp_path: Path) -> None:
    source = f"{shared_data}/llamafactory:kto_en_demo"
    for ending in ("jsonl", "parquet"):
        out = tmp_path / f"out.{ending}"
        assert written(mended(source), out) == []
        assert [said(r) for r in load_feedback(out).records] == [said(r) for r in load_feedback(source).records]


def test_texts_chats_and_columns_beside_them_survive_in_one_file(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi 😀\u2028there"}]
    rows = [
        pair("The sky is", " blue.", "\tgreen\r\n", category="qa", source="me", weight=0.5, margin=-1.25),
        pair(chat, "Hello!", [{"role": "assistant", "content": "What?"}], score_chosen=3, score_rejected=1),
        {"chosen": "\n\nHuman: Hi\n\nAssistant: A", "rejected": "\n\nHuman: Hi\n\nAssistant: B"},
    ]
    source = write_lines(tmp_path / "in.jsonl", rows)
    for ending in ("jsonl", "parquet"):
        written(mended(source), out := tmp_path / f"out.{ending}")
        assert [said(one) for one in load_pairs(out).pairs] == [said(one) for one in load_pairs(source).pairs]


def test_only_what_is_asked_for_is_dropped(tmp_path: Path) -> None:
    rows = [
        pair("one"),
        pair("one"),
        pair("two", chosen="Caf\ufffd it is."),
        pair("three", chosen="It is.\n\nHuman: And?"),
        pair("four"),
    ]
    source = write_lines(tmp_path / "in.jsonl", rows)
    assert mended(source).dropped == {}
    assert mended(source, "P005").dropped == {"duplicate": 1}
    result = mended(source, "duplicate,P017")
    assert (result.read, result.kept, result.dropped) == (5, 3, {"duplicate": 1, "encoding": 1})
    changes = written(result, tmp_path / "out.jsonl")
    assert [(c["row"], c["action"], c["code"], c["name"]) for c in changes] == [
        (2, "dropped", "P005", "duplicate"),
        (3, "dropped", "P017", "encoding"),
    ]
    assert all(change["file"] == str(source) and change["reason"] for change in changes)


@pytest.mark.parametrize("name", ["hh_harmless", "pandalm", "llamafactory:dpo_en_demo"])
def test_a_mended_set_passes_its_own_check(shared_data: Path, tmp_path: Path, name: str) -> None:
    """Everything that can be dropped is dropped; only findings of the whole set and known notes stay."""
    source, out = f"{shared_data}/{name}", tmp_path / "out.jsonl"
    found = check(source, QUICK)
    codes = [f.code for f in found.findings if (f.rows and f.severity != "info") or f.name == "tie"]
    written(mend(source, QUICK, found, Asked(checks_named(codes), balance_length=True)), out)
    after = check(out, CheckOptions(slow=False))
    assert after.verdict != "unfit"
    assert after.rows_read == after.pairs
    assert not {f.code for f in after.findings if f.severity != "info"} & {*codes, "P013"}


def test_balancing_by_length_cures_what_dropping_extremes_does_not(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "hh_harmless"
    result = mended(source, "P002", balance_length=True)
    written(result, out := tmp_path / "out.jsonl")
    bias = check(out, QUICK).statistics["length_bias"]
    assert bias["p_longer_chosen"] == 0.5
    assert bias["clearly_longer"]["p_longer_chosen"] == pytest.approx(0.5, abs=0.02)  # 1.5 is inside a bin
    assert 0.51 <= result.kept / result.read <= 0.9
    dropped = mended(source, "P002,P012")
    written(dropped, out := tmp_path / "dropped.jsonl")
    assert check(out, QUICK).statistics["length_bias"]["p_longer_chosen"] < 0.46


@given(st.lists(st.one_of(st.just(0.0), st.floats(-6, 6)), max_size=60), st.randoms())
def test_balance_is_exact_in_every_bin_and_drops_no_more_than_it_must(ratios: list[float], rng: Any) -> None:
    kept = balanced_by_length(ratios, [rng.randbytes(4) for _ in ratios])
    before, after = (
        Counter((math.floor(abs(ratio) / BIN), ratio > 0) for ratio in some if ratio)
        for some in (ratios, [ratios[place] for place in kept])
    )
    for bin_, _ in before:
        assert after[bin_, True] == after[bin_, False] == min(before[bin_, True], before[bin_, False])
    assert {place for place, ratio in enumerate(ratios) if ratio == 0} <= kept


def test_categories_are_resampled_to_their_target() -> None:
    names = ["code"] * 100 + ["math"] * 30 + ["chat"] * 500 + [None] * 7
    keys = [bytes([k % 251, k % 7]) for k in range(len(names))]
    kept = resampled(names, {"code": 0.5, "math": 0.25, "chat": 0.25}, keys)
    assert Counter(names[k] for k in kept) == {"code": 60, "math": 30, "chat": 30}
    with pytest.raises(DataError, match="no record is of category 'poems'"):
        resampled(names, {"code": 0.5, "poems": 0.5}, keys)


def test_resampling_uses_the_column_that_the_check_used(tmp_path: Path) -> None:
    rows = [pair(f"q{n}", topic="code" if n % 4 else "math") for n in range(40)]
    options = CheckOptions(slow=False, flags=True, category_field="topic", category_target={"code": 0.5, "math": 0.5})
    result = mended(write_lines(tmp_path / "in.jsonl", rows), options=options, resample_categories=True)
    changes = written(result, out := tmp_path / "out.jsonl")
    assert Counter(p.category for p in load_pairs(out).pairs) == {"code": 10, "math": 10}
    assert (result.dropped, len(changes)) == ({"resample categories": 20}, 20)


def test_rows_that_cannot_be_kept_must_be_named(tmp_path: Path) -> None:
    rows: Sequence[Any] = [
        pair("a"),
        pair("b", chosen=""),
        pair("c", chosen=3),
        {**pair("d"), "rejected": "Yes, it is."},
    ]
    source = write_lines(tmp_path / "in.jsonl", rows)
    with pytest.raises(DataError, match=r"3 rows that cannot be used would be lost unasked.*--drop P001,P002,P003\)"):
        mended(source)
    with pytest.raises(DataError, match=r"1 rows that cannot be used.*--drop P001,P002,P003\)"):
        mended(source, "P001,P003")
    assert mended(source, "P001,P002,P003").dropped == {"empty": 1, "schema": 1, "identical": 1}


def test_ties_must_be_named_and_leave_the_rest_of_their_row(tmp_path: Path) -> None:
    row = {"prompt": "Hi", "responses": ["Hello, you.", "Good day.", "What is it?"], "scores": [3, 1, 1]}
    source = write_lines(tmp_path / "in.jsonl", [row])
    with pytest.raises(DataError, match=r"1 ties would be lost unasked: name their checks too \(--drop P009\)"):
        mended(source)
    result = mended(source, "tie")
    assert (result.read, result.kept) == (3, 2)


@pytest.mark.parametrize(
    ("drop", "asked", "words"),
    [
        ("P013", {}, r"P013 \(length_bias\) is about the whole set: use --balance length"),
        ("P014", {}, "it names no rows that could be dropped"),
        ("P028", {}, r"P028 \(pii\) was not checked: only with --pii"),
        ("", {"balance_length": True, "resample_categories": True}, "undo each other's work"),
        ("P099", {}, "unknown check .P099."),
        ("", {"aggregate": "dawid"}, "unknown method 'dawid'"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path: Path, drop: str, asked: dict[str, Any], words: str) -> None:
    source = write_lines(tmp_path / "in.jsonl", [pair(f"q{n}") for n in range(3)])
    with pytest.raises(DataError, match=words):
        mended(source, drop, **asked)


def test_an_empty_set_is_not_written(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.jsonl", [pair(f"q{n}", chosen="\ufffd\ufffd") for n in range(3)])
    with pytest.raises(DataError, match="nothing would be left of 3 entries"):
        mended(source, "P017")


def test_votes_are_weighed_by_who_gave_them_where_that_is_asked_for(tmp_path: Path) -> None:
    """Ann is always right and votes often; on the last item two who guess outvote her."""
    rows = []
    for n in range(60):
        right = 1 + n % 2
        votes = {"ann": right, "dua": right, "ben": 1 + n // 2 % 2, "cem": 1 + n // 3 % 2}
        rows.append({"prompt": f"q{n}", "response1": "One.", "response2": "Two.", "votes": votes})
    rows.append({"prompt": "last", "response1": "One.", "response2": "Two.", "votes": {"ann": 1, "ben": 2, "cem": 2}})
    source = write_lines(tmp_path / "in.jsonl", rows)
    winners = {}
    for method, drop in (("majority", "P009"), ("dawid_skene", "")):
        changes = written(mended(source, drop, aggregate=method), out := tmp_path / f"{method}.jsonl")
        winners[method] = load_pairs(out).pairs[-1].chosen[0].content
        assert "votes (1 first, 2 second) became a pair of weight" in changes[-1]["reason"]
    assert winners == {"majority": "Two.", "dawid_skene": "One."}


def test_all_rows_of_an_item_are_accounted_for(tmp_path: Path) -> None:
    def vote(prompt: str, who: str, choice: int) -> dict[str, Any]:
        return {"prompt": prompt, "response_a": "A.", "response_b": "B.", "annotator": who, "vote": choice}

    rows = [vote("x", "ann", 1), vote("x", "ben", 1), vote("y", "ann", 1), vote("y", "ben", 2)]
    result = mended(write_lines(tmp_path / "in.jsonl", rows), "tie")
    changes = written(result, tmp_path / "out.jsonl")
    assert (result.read, result.kept) == (2, 1)
    assert [(c["row"], c["action"]) for c in changes] == [
        (1, "changed"),
        (2, "changed"),
        (3, "dropped"),
        (4, "dropped"),
    ]


def test_joined_turns_are_told_of(tmp_path: Path) -> None:
    text = "\n\nHuman: Hi\n\nHuman: you\n\nAssistant: {}"
    source = write_lines(tmp_path / "in.jsonl", [{"chosen": text.format("A"), "rejected": text.format("B")}])
    (change,) = written(mended(source), tmp_path / "out.jsonl")
    assert (change["action"], change["reason"]) == ("changed", "neighbouring turns of one role were joined")


def test_pairs_and_single_answers_do_not_share_a_parquet_file(tmp_path: Path) -> None:
    rows = [pair("a"), {"prompt": "b", "completion": "c", "label": True}]
    result = mended(write_lines(tmp_path / "in.jsonl", rows))
    with pytest.raises(DataError, match=r"use \.jsonl"):
        written(result, tmp_path / "out.parquet")
    written(result, tmp_path / "out.jsonl")
    assert len(load_feedback(tmp_path / "out.jsonl").records) == 3
