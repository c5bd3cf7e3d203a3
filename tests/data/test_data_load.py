"""Sources, reports, limits on bad rows, and LLaMA-Factory registries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from data_helpers import GOOD, turns, write_lines

from preftune.data import GivenRows, load_pairs
from preftune.errors import DataError


def rows(count: int, start: int = 0) -> list[dict[str, str]]:
    return [{"prompt": f"p{i}", "chosen": f"good {i}", "rejected": "bad"} for i in range(start, start + count)]


def refusal(source: object, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        load_pairs(source, **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_a_row_without_chosen_names_its_file_and_row(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [GOOD, {"prompt": "p", "rejected": "b"}])
    message = refusal(path)
    assert f"{path}:2: no 'chosen'" in message
    assert "data.max_bad_rows: 1" in message


def test_all_bad_rows_are_counted_and_ten_are_listed(tmp_path: Path) -> None:
    bad = [{**GOOD, "chosen": ""}] * 12 + [{**GOOD, "chosen": None}] * 3
    path = write_lines(tmp_path / "a.jsonl", [GOOD, *bad])
    message = refusal(path, max_bad_rows=14)
    assert "15 rows cannot be used: 12 empty, 3 null; data.max_bad_rows allows 14" in message
    assert message.count("'chosen' is empty") == 10
    assert "... and 5 more" in message
    loaded = load_pairs(path, max_bad_rows=15)
    assert len(loaded.pairs) == 1
    assert [b.origin.row for b in loaded.report.bad_rows] == list(range(2, 17))
    assert loaded.report.to_json()["bad_row_kinds"] == {"empty": 12, "null": 3}


def test_a_file_of_identical_pairs_alone_is_refused_whatever_is_allowed(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{**GOOD, "rejected": GOOD["chosen"]}] * 3)
    assert "no usable preference pairs (3 rows cannot be used: 3 no preference)" in refusal(path, max_bad_rows=99)


def test_a_report_accounts_for_every_row(tmp_path: Path) -> None:
    one = write_lines(tmp_path / "a.jsonl", [*rows(20), {"x": 1}])
    two = write_lines(tmp_path / "b.jsonl", [{**row, "idx": 3} for row in rows(10)])
    report = load_pairs([one, str(two)], max_bad_rows=1, max_samples=7, seed=3).report
    assert (report.rows_read, report.records, len(report.bad_rows)) == (31, 7, 1)
    assert sum(f.sampled_out for f in report.files) == 23
    assert report.files[0].formats == {"trl": 20, "unknown": 1}
    assert report.ignored_columns == {"idx": 10}
    assert [f.path for f in report.files] == [str(one), str(two)]
    assert json.loads(json.dumps(report.to_json()))["rows_read"] == 31


def test_a_sample_keeps_the_order_and_depends_on_the_seed_alone(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", rows(200))
    samples = [[p.origin.row for p in load_pairs(path, max_samples=50, seed=seed).pairs] for seed in (1, 1, 2)]
    assert samples[0] == samples[1] == sorted(samples[0])
    assert samples[0] != samples[2]
    assert len(set(samples[0])) == 50
    assert len(load_pairs(path, max_samples=999).pairs) == 200
    assert "at least 1" in refusal(path, max_samples=0)


def test_formats_may_be_mixed_in_one_file_and_the_mix_is_reported(tmp_path: Path) -> None:
    alpaca = {"instruction": "i", "chosen": "a", "rejected": "b"}
    loaded = load_pairs(write_lines(tmp_path / "a.jsonl", [GOOD, alpaca, GOOD]))
    assert loaded.report.files[0].formats == {"trl": 2, "alpaca": 1}
    assert loaded.report.duplicates == 1
    assert [p.kind for p in loaded.pairs] == ["text", "chat", "text"]


def test_a_named_format_is_used_for_every_row(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"instruction": "i", "chosen": "i a", "rejected": "i b"}])
    assert load_pairs(path).pairs[0].prompt == turns("i")
    assert load_pairs(path, format="trl").report.ignored_columns == {"instruction": 1}
    assert "no 'question' or 'input'" in refusal(path, format="intel")
    assert "did you mean 'trl'?" in refusal(path, format="tlr")


def test_a_folder_a_glob_and_a_list_name_the_same_files(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", rows(3))
    write_lines(tmp_path / "b.jsonl", rows(2, start=3))
    (tmp_path / "README.md").write_text("about")
    for source in (tmp_path, str(tmp_path / "*.jsonl"), [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]):
        assert [p.prompt for p in load_pairs(source).pairs] == [turns(f"p{i}") for i in range(5)]


def test_sources_that_hold_nothing_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    assert "its folders are not searched (deep)" in refusal(tmp_path)
    assert "no file matches" in refusal(str(tmp_path / "*.json"))
    assert "list of sources is empty" in refusal([])
    assert "source is empty text" in refusal(" ")
    assert "its folder holds no data files" in refusal(tmp_path / "deep" / "x.jsonl")
    monkeypatch.chdir(tmp_path)
    assert "download it to a .json, .jsonl or .parquet file first" in refusal("org/name")
    (tmp_path / "deep" / "data.arrow").write_bytes(b"x")
    assert "to_parquet" in refusal(tmp_path / "deep")


ENTRY = {"file_name": "a.json", "ranking": True, "columns": {"prompt": "q", "chosen": "good", "rejected": "bad"}}
TALK = {
    "file_name": "b.json",
    "ranking": True,
    "formatting": "sharegpt",
    "columns": {"messages": "talk", "chosen": "good", "rejected": "bad"},
    "tags": {"role_tag": "who", "content_tag": "says", "user_tag": "me", "assistant_tag": "you"},
}


def registry(folder: Path, **entries: object) -> Path:
    (folder / "dataset_info.json").write_text(json.dumps(entries))
    (folder / "a.json").write_text(json.dumps([{"q": "Hi", "good": "a", "bad": "b", "system": "S", "input": "x"}]))
    row = {
        "talk": [{"who": "me", "says": "Hi"}],
        "good": {"who": "you", "says": "a"},
        "bad": {"who": "you", "says": "b"},
    }
    (folder / "b.json").write_text(json.dumps([row]))
    return folder


def test_a_registry_gives_columns_and_tags_and_names_what_it_leaves_out(tmp_path: Path) -> None:
    remote = {"hf_hub_url": "x/y", "ranking": True}
    folder = registry(tmp_path, one=ENTRY, two=TALK, sft={"file_name": "c.json"}, far=remote)
    loaded = load_pairs(folder)
    assert [p.prompt for p in loaded.pairs] == [turns("Hi")] * 2
    assert [p.id for p in loaded.pairs] == [loaded.pairs[0].id] * 2
    assert loaded.report.ignored_columns == {"input": 1, "system": 1}
    assert [f.entry for f in loaded.report.files] == ["one", "two"]
    reasons = {s.name.rpartition(":")[2]: s.reason for s in loaded.report.skipped}
    assert set(reasons) == {"sft", "far"}
    assert "no preferences" in reasons["sft"]
    assert "hf_hub_url" in reasons["far"]
    assert load_pairs(folder / "dataset_info.json").pairs == loaded.pairs
    assert load_pairs(f"{folder}:two").pairs == loaded.pairs[1:]
    assert load_pairs(f"{folder}/dataset_info.json:one", format="llamafactory").pairs == loaded.pairs[:1]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({**ENTRY, "columns": {"kto_tag": "label"}}, "binary feedback"),
        ({**ENTRY, "ranking": False}, "not a ranking data set"),
        ({"ranking": True, "ms_hub_url": "x"}, "no local file (ms_hub_url)"),
        ({**ENTRY, "file_name": "c.json"}, "no such file or folder"),
        ({**ENTRY, "file_name": 3}, "'file_name' must be text"),
        ({**ENTRY, "num_sample": 3}, "'num_sample' is not supported; did you mean 'num_samples'"),
        ({**ENTRY, "split": "test"}, "'split' 'test' is not supported"),
        ({**ENTRY, "formatting": "xml"}, "unknown formatting 'xml'"),
        ({**ENTRY, "columns": {"promt": "q"}}, "did you mean 'prompt'"),
        ({**ENTRY, "columns": {"images": "q"}}, "columns.images is not supported"),
        ({**TALK, "tags": {"role_tg": "x"}}, "did you mean 'role_tag'"),
        ({**TALK, "tags": {"role_tag": 3}}, "'tags' must be an object of names"),
        ({**TALK, "tags": {"role_tag": "whom"}}, "has no 'whom'"),
        ({**TALK, "tags": {**TALK["tags"], "user_tag": "I"}}, "has the role 'me'"),  # type: ignore[dict-item]
    ],
)
def test_an_entry_that_cannot_be_used_says_why(tmp_path: Path, entry: dict[str, object], words: str) -> None:
    assert words in refusal(f"{registry(tmp_path, one=entry)}:one")


def test_a_registry_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    folder = registry(tmp_path, one=ENTRY)
    assert "did you mean 'one'" in refusal(f"{folder}:ona")
    assert "data.format is 'hh'" in refusal(folder, format="hh")
    message = refusal(registry(tmp_path, sft={"file_name": "c.json"}))
    assert "no entry can be used as preference pairs" in message
    assert "'sft' is not a ranking data set" in message
    (folder / "dataset_info.json").write_text("{")
    assert "cannot be read" in refusal(folder)
    (folder / "dataset_info.json").write_text("[]")
    assert "must be an object of data sets" in refusal(folder)


def test_reading_data_imports_no_heavy_package(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [GOOD])
    code = (
        "import sys; from preftune.data import load_pairs; load_pairs(sys.argv[1]);"
        "print([m for m in ('torch', 'transformers', 'pandas', 'numpy', 'pyarrow', 'zstandard') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_rows_in_memory_are_read_and_reported_like_those_of_a_file(tmp_path: Path) -> None:
    lines = [*rows(3), {"prompt": "p", "rejected": "b"}]
    given, file = GivenRows("train_dataset", lines), write_lines(tmp_path / "a.jsonl", lines)
    ours, theirs = load_pairs(given, max_bad_rows=1), load_pairs(file, max_bad_rows=1)
    assert [p.id for p in ours.pairs] == [p.id for p in theirs.pairs]
    assert str(ours.report.bad_rows[0].origin) == "train_dataset:4"
    assert (ours.report.rows_read, ours.report.files[0].formats) == (4, {"trl": 3, "unknown": 1})
    assert ours.report.files[0].sha256 != load_pairs(GivenRows("train_dataset", rows(3))).report.files[0].sha256
    assert "train_dataset:4: no 'chosen'" in refusal(given)
    assert "train_dataset: holds no rows" in refusal(GivenRows("train_dataset", []))
    assert "the row is text, not an object" in refusal(GivenRows("x", ["text"]))  # type: ignore[list-item]
