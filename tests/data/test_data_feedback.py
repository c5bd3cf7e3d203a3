"""Answers with a label: every way of writing them, labels that are none, pairs taken apart, and real sets."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_helpers import GOOD, HERE, assistant, fault_of, record_of, said, tiny_pair, turns, user, write_lines
from hypothesis import given
from hypothesis import strategies as st

from preftune.data import (
    BinaryFeedback,
    Message,
    feedback_from_pair,
    load_feedback,
    load_pairs,
    overlap,
    split_by_prompt,
)
from preftune.data.formats import FEEDBACK
from preftune.errors import DataError

Row = dict[str, object]
THUMB: Row = {"prompt": "The sky is", "completion": " blue.", "label": True}
CHAT: Row = {"prompt": [user("Hi")], "completion": [assistant("Hello!")], "label": True}


def of(row: Row, name: str = "auto") -> BinaryFeedback:
    return record_of(row, FEEDBACK, name)


def test_one_judgement_written_in_every_way_is_one_record() -> None:
    whole = [user("Hi"), assistant("Hello!")]
    ways: list[Row] = [
        CHAT,
        {**CHAT, "completion": "Hello!"},
        {**CHAT, "completion": assistant("Hello!")},
        {**CHAT, "completion": whole},
        {"prompt": "Hi", "completion": [assistant("Hello!")], "label": True},
        {"prompt": "Hi", "completion": whole, "label": True},
        {"completion": whole, "label": True},
        {"completion": "\n\nHuman: Hi\n\nAssistant: Hello!", "label": True},
        {"prompt": "\n\nHuman: Hi\n\nAssistant:", "completion": " Hello!", "label": True},
        {"messages": whole, "label": True},
        {"instruction": "Hi", "input": "", "output": "Hello!", "kto_tag": True},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}], "kto_tag": True},
        {"messages": whole, "kto_tag": 1},
    ]
    for row in ways:
        record = of(row)
        assert (record.prompt, record.completion, record.desirable) == (turns("Hi"), said("Hello!"), True), row
        assert (record.kind, record.completions, record.opening) == ("chat", (said("Hello!"),), "Hi")
    assert len({of(row).id for row in ways}) == 1


def test_plain_text_is_kept_as_it_is() -> None:
    record = of({"prompt": "The sky is \n", "completion": " blue. ", "label": False})
    assert (record.prompt, record.completion) == (turns("The sky is \n"), said(" blue. "))
    assert (record.kind, record.desirable) == ("text", False)
    assert of({**THUMB, "system": "S"}).prompt == (Message("system", "S"), *turns("The sky is"))
    assert of({**THUMB, "system": "S"}).kind == "chat"


def test_the_last_answer_of_a_conversation_is_the_judged_one() -> None:
    talk = [{"role": "system", "content": "S"}, user("a"), assistant("b"), user("c"), assistant("d"), assistant("e")]
    for row in ({"messages": talk, "label": 0}, {"completion": talk, "label": "false"}):
        record = of(row)
        assert record.prompt == (Message("system", "S"), *turns("a", "b", "c"))
        assert record.completion == said("d\n\ne")
        assert not record.desirable


def test_a_transcript_prompt_may_lack_the_assistant_marker() -> None:
    row: Row = {"prompt": "\n\nHuman: Hi\n\nAssistant: So?\n\nHuman: And?", "completion": " Well.", "label": True}
    assert (of(row).prompt, of(row).completion) == (turns("Hi", "So?", "And?"), said("Well."))


@pytest.mark.parametrize(
    ("label", "desirable"),
    [
        *[(True, True), (False, False), (1, True), (0, False), (1.0, True), (0.0, False)],
        *[("true", True), ("False", False), (" TRUE ", True), ("1", True), ("0", False), ("1.0", True)],
    ],
)
def test_labels_are_true_or_false_as_json_and_tables_write_them(label: object, desirable: bool) -> None:
    assert of({**THUMB, "label": label}).desirable is desirable


def test_the_label_is_part_of_the_identity() -> None:
    good, bad = of(THUMB), of({**THUMB, "label": False})
    assert good.id != bad.id
    assert good.id == of({**THUMB, "category": "x", "weight": 2}).id
    extra = of({**THUMB, "category": "qa", "source": 7, "weight": "0.5", "margin": 3})
    assert (extra.category, extra.source, extra.weight) == ("qa", "7", 0.5)


FAULTS: list[tuple[Row, str, str]] = [
    ({**THUMB, "label": "good"}, "bad label", "'label' is 'good', which is no label: write true"),
    ({**THUMB, "label": -1}, "bad label", "beside -1, a 0 might mean neither"),
    ({**THUMB, "label": "-1"}, "bad label", "beside -1"),
    ({**THUMB, "label": 2}, "bad label", "'label' is 2"),
    ({**THUMB, "label": 0.5}, "bad label", "'label' is 0.5"),
    ({**THUMB, "label": ""}, "bad label", "'label' is ''"),
    ({**THUMB, "label": float("nan")}, "bad label", "'label' is nan"),
    ({**THUMB, "label": [True]}, "bad label", "'label' is [True]"),
    ({**THUMB, "label": None}, "null", "'label' is null"),
    ({"prompt": "a", "completion": "b"}, "missing column", "no 'label'"),
    ({"prompt": "a", "label": True}, "missing column", "no 'completion'"),
    ({"question": "a", "completion": "b", "label": True}, "missing column", "it needs a 'prompt' beside it"),
    ({"completion": 3, "label": True}, "wrong type", "'completion' must be text or a list of messages, not number"),
    ({**THUMB, "completion": ""}, "empty", "the completion is empty"),
    ({**THUMB, "completion": None}, "null", "'completion' is null"),
    ({**THUMB, "completion": 3}, "wrong type", "'completion' must be"),
    ({**THUMB, "prompt": " "}, "empty", "the prompt is empty"),
    ({**THUMB, "prompt": 3}, "wrong type", "'prompt' must be text or a list of messages"),
    ({**THUMB, "weight": 0}, "bad number", "above 0"),
    ({**THUMB, "images": ["a"]}, "not supported", "'images'"),
    ({**CHAT, "completion": [user("a")]}, "roles", "the completion starts with a user turn"),
    ({"messages": [user("a")], "label": True}, "roles", "'messages' must end with the assistant's answer"),
    ({"messages": [assistant("a")], "label": True}, "no prompt", "no user turn"),
    ({"completion": [], "label": True}, "roles", "'completion' must end with the assistant's answer"),
    ({"prompt": "\n\nHuman: a\n\nAssistant: So", "completion": "b", "label": True}, "roles", "prompt ends with"),
    ({"instruction": "a", "kto_tag": True}, "missing column", "no 'output'"),
    ({**THUMB, "chosen": "a", "rejected": "b"}, "unknown format", "could be trl and trl_kto"),
    ({"prompt": "a", "responses": ["b", "c"], "scores": [1, 2]}, "unknown format", "rankings, not binary feedback"),
    (
        {"question": "q", "prediction 1": "a", "preference": []},
        "unknown format",
        "compared answers, not binary feedback",
    ),
    ({"text": "a"}, "unknown format", "name the columns 'prompt', 'completion' and 'label'"),
]


@pytest.mark.parametrize(("row", "kind", "words"), FAULTS, ids=[f"{k}-{i}" for i, (_, k, _) in enumerate(FAULTS)])
def test_a_row_that_cannot_be_used_says_why(row: Row, kind: str, words: str) -> None:
    bad = fault_of(row, view=FEEDBACK)
    assert (bad.kind, bad.origin) == (kind, HERE)
    assert words in bad.reason


def test_a_pair_gives_one_desirable_and_one_undesirable_answer() -> None:
    pair = tiny_pair("Hi", 4)
    good, bad = feedback_from_pair(pair)
    assert (good.completion, good.desirable, bad.completion, bad.desirable) == (pair.chosen, True, pair.rejected, False)
    for half in (good, bad):
        same = (half.prompt, half.origin, half.kind, half.opening, half.weight)
        assert same == (pair.prompt, pair.origin, pair.kind, pair.opening, pair.weight)
    assert len({good.id, bad.id, pair.id}) == 3


def test_pairs_and_labels_may_be_mixed_and_the_report_says_so(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [THUMB, GOOD, {**THUMB, "idx": 1, "margin": 2}, {"x": 1}])
    loaded = load_feedback(path, max_bad_rows=1)
    assert [(r.origin.row, r.desirable) for r in loaded.records] == [(1, True), (2, True), (2, False), (3, True)]
    report = loaded.report
    assert (report.holds, report.rows_read, report.records, report.duplicates) == ("binary feedback", 4, 4, 2)
    assert (report.files[0].rows_used, report.files[0].bad_rows) == (3, 1)
    assert report.files[0].formats == {"trl_kto": 2, "trl": 1, "unknown": 1}
    assert report.counts["pairs_split"] == 1
    assert report.ignored_columns == {"idx": 1, "margin": 1}
    assert json.loads(json.dumps(report.to_json()))["counts"]["pairs_split"] == 1


def test_a_sample_counts_records_and_accounts_for_the_rest(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{i}", "chosen": "a", "rejected": "b"} for i in range(50)]
    loaded = load_feedback(write_lines(tmp_path / "a.jsonl", rows), max_samples=30, seed=1)
    assert len(loaded.records) == 30
    assert (loaded.report.files[0].rows_used, loaded.report.files[0].sampled_out) == (50, 70)
    assert [r.origin.row for r in loaded.records] == sorted(r.origin.row for r in loaded.records)


def test_labels_come_back_from_every_kind_of_file(tmp_path: Path) -> None:
    rows: list[Row] = [{"prompt": f"p{i}", "completion": f"c{i}", "label": bool(i % 3)} for i in range(7)]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    with (tmp_path / "a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    ids = [of(row).id for row in rows]
    for path in sorted(tmp_path.iterdir()):
        assert [r.id for r in load_feedback(path).records] == ids, path


def test_a_format_of_other_records_is_refused_by_name(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [THUMB])
    assert load_feedback(path, format="trl_kto").records
    with pytest.raises(DataError, match=r"data.format: 'trl_kto' holds binary feedback, not preference pairs"):
        load_pairs(path, format="trl_kto")
    with pytest.raises(DataError, match=r"data.format: 'nectar' holds rankings, not binary feedback"):
        load_feedback(path, format="nectar")
    with pytest.raises(DataError, match=r"a.jsonl:1: binary feedback, not preference pairs: .* unpaired objective"):
        load_pairs(path)


ALPACA = {
    "file_name": "a.json",
    "columns": {"prompt": "ask", "response": "say", "kto_tag": "ok", "system": "sys", "history": "old"},
}
TALK = {
    "file_name": "b.json",
    "formatting": "sharegpt",
    "columns": {"messages": "talk", "kto_tag": "ok"},
    "tags": {"role_tag": "who", "content_tag": "says", "user_tag": "me", "assistant_tag": "you"},
}
PAIR = {"file_name": "c.json", "ranking": True}


def registry(folder: Path, **entries: object) -> Path:
    (folder / "dataset_info.json").write_text(json.dumps(entries))
    talk = [{"who": "me", "says": "Hi"}, {"who": "you", "says": "Yo"}]
    (folder / "a.json").write_text(json.dumps([{"ask": "Hi", "say": "Yo", "ok": True, "input": "x", "old": []}]))
    (folder / "b.json").write_text(json.dumps([{"talk": talk, "ok": False, "system": "S"}]))
    (folder / "c.json").write_text(json.dumps([{"instruction": "Hi", "chosen": "a", "rejected": "b"}]))
    return folder


def test_a_registry_gives_labelled_entries_and_pairs(tmp_path: Path) -> None:
    folder = registry(tmp_path, one=ALPACA, two=TALK, three=PAIR, sft={"file_name": "d.json"})
    loaded = load_feedback(folder)
    assert [(r.prompt, r.desirable) for r in loaded.records] == [(turns("Hi"), d) for d in (True, False, True, False)]
    assert [r.completion for r in loaded.records] == [said("Yo"), said("Yo"), said("a"), said("b")]
    assert loaded.report.ignored_columns == {"input": 1, "system": 1}
    assert [f.formats for f in loaded.report.files] == [{"alpaca_kto": 1}, {"sharegpt_kto": 1}, {"alpaca": 1}]
    assert [s.name.rpartition(":")[2] for s in loaded.report.skipped] == ["sft"]
    assert load_feedback(folder, format="llamafactory").records == loaded.records
    assert [s.name.rpartition(":")[2] for s in load_pairs(folder).report.skipped] == ["one", "two", "sft"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            {**ALPACA, "columns": {"kto_tag": "ok", "chosen": "a"}},
            "columns.chosen is not supported for binary feedback",
        ),
        ({**PAIR, "columns": {"kto_tag": ""}}, "columns.kto_tag is not supported for preference pairs"),
        ({"columns": {"kto_tag": "ok"}, "hf_hub_url": "x"}, "no local file (hf_hub_url)"),
        ({**TALK, "columns": {"messages": "talk", "kto_tag": "no"}}, "no 'no'"),
        ({**TALK, "tags": {}}, "has no 'from'"),
    ],
)
def test_a_labelled_entry_that_cannot_be_used_says_why(tmp_path: Path, entry: object, words: str) -> None:
    with pytest.raises(DataError) as caught:
        load_feedback(f"{registry(tmp_path, one=entry)}:one")
    assert words in str(caught.value)


def test_llamafactory_named_for_a_bare_file_finds_the_kind_of_each_row(tmp_path: Path) -> None:
    rows: list[Row] = [
        {"instruction": "a", "output": "b", "kto_tag": False},
        {"conversations": [user("a"), assistant("b")], "kto_tag": False},
        {"instruction": "a", "chosen": "c", "rejected": "b"},
    ]
    records = load_feedback(write_lines(tmp_path / "a.jsonl", rows), format="llamafactory").records
    assert [r.completion for r in records] == [said("b"), said("b"), said("c"), said("b")]
    assert len({r.id for r in records}) == 2


@given(groups=st.lists(st.integers(0, 9), min_size=2, max_size=40), seed=st.integers(0, 3))
def test_a_split_of_feedback_leaks_no_prompt_and_loses_nothing(groups: list[int], seed: int) -> None:
    records = [half for n, g in enumerate(groups) for half in feedback_from_pair(tiny_pair(f"prompt {g}", n))]
    train, held = split_by_prompt(records, eval_fraction=0.3, seed=seed)
    assert overlap(train, held) == ()
    assert len(train) + len(held) == len(records)
    assert {r.origin for r in train}.isdisjoint(r.origin for r in held)


def test_all_rows_of_the_kto_demo_load_through_the_registry_and_alone(shared_data: Path) -> None:
    loaded = load_feedback(f"{shared_data}/llamafactory:kto_en_demo")
    assert [sum(r.desirable is label for r in loaded.records) for label in (True, False)] == [150, 150]
    assert loaded.report.files[0].formats == {"sharegpt_kto": 300}
    bare = load_feedback(shared_data / "llamafactory" / "kto_en_demo.json")
    assert bare.report.files[0].formats == {"swift_kto": 300}
    assert [r.id for r in bare.records] == [r.id for r in loaded.records]
    with (shared_data / "llamafactory" / "kto_en_demo.json").open(encoding="utf-8") as file:
        raw = json.load(file)
    for record, row in zip(loaded.records, raw, strict=True):
        contents = [m.content for m in (*record.prompt, *record.completion)]
        assert contents == [m["content"] for m in row["messages"]]
        assert record.desirable is row["label"]


def test_hh_pairs_give_two_records_each(shared_data: Path) -> None:
    loaded = load_feedback(shared_data / "hh_harmless", max_bad_rows=2)
    pairs = load_pairs(shared_data / "hh_harmless", max_bad_rows=2).pairs
    assert len(loaded.records) == 2 * 1154
    assert loaded.records == tuple(half for pair in pairs for half in feedback_from_pair(pair))
    assert loaded.report.counts["pairs_split"] == 1154
    train, held = split_by_prompt(loaded.records, eval_fraction=0.05, seed=0)
    assert len(held) == 2 * 58
    assert overlap(train, held) == ()
