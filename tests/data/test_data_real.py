"""Real preference sets: counts that are known, and two routes to the same text."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preftune.data import LoadedPairs, PreferencePair, Turns, load_pairs, overlap, split_by_prompt
from preftune.errors import DataError


@pytest.fixture(scope="module")
def hh(shared_data: Path) -> LoadedPairs:
    return load_pairs(shared_data / "hh_harmless", max_bad_rows=2)


def test_all_hh_rows_but_two_empty_answers_are_usable(hh: LoadedPairs) -> None:
    assert len(hh.pairs) == 1154
    assert [(bad.origin.row, bad.kind) for bad in hh.report.bad_rows] == [(44, "empty"), (259, "empty")]
    assert hh.report.files[0].formats == {"hh": 1156}
    assert (hh.report.duplicates, hh.report.several_turns) == (0, 0)


def test_hh_is_cut_at_the_turn_marker(hh: LoadedPairs, shared_data: Path) -> None:
    """The other route: cut the raw text at its last ``Assistant:`` marker."""
    with gzip.open(shared_data / "hh_harmless" / "pairs.jsonl.gz", "rt", encoding="utf-8") as file:
        raw = [json.loads(line) for line in file]
    joined = []
    for pair in hh.pairs:
        row = raw[pair.origin.row - 1]
        (head, chosen), (other, rejected) = (row[s].rsplit("\n\nAssistant:", 1) for s in ("chosen", "rejected"))
        if head != other:
            joined.append(pair.origin.row)
            continue
        assert pair.chosen[0].content == chosen.strip()
        assert pair.rejected[0].content == rejected.strip()
        text = "".join(f"\n\n{'Human' if m.role == 'user' else 'Assistant'}: {m.content}" for m in pair.prompt)
        assert "".join(text.split()) == "".join(head.split())
    assert joined == [628, 845, 976, 977, 1019]


def test_hh_roles_alternate(hh: LoadedPairs) -> None:
    for pair in hh.pairs:
        for answer in (pair.chosen, pair.rejected):
            roles = [m.role for m in (*pair.prompt, *answer)]
            assert roles == ["user", "assistant"] * (len(roles) // 2)


def test_a_split_of_hh_leaks_no_opening(hh: LoadedPairs) -> None:
    train, held = split_by_prompt(hh.pairs, eval_fraction=0.05, seed=0)
    assert len(held) == 58
    assert overlap(train, held) == ()


def test_llamafactory_gives_both_languages_and_names_the_rest(shared_data: Path) -> None:
    loaded = load_pairs(shared_data / "llamafactory")
    assert [(f.entry, f.rows_read, f.records) for f in loaded.report.files] == [
        ("dpo_en_demo", 300, 300),
        ("dpo_zh_demo", 300, 300),
    ]
    assert loaded.report.duplicates == 5 + 11
    assert [s.name.rpartition(":")[2] for s in loaded.report.skipped] == ["kto_en_demo"]
    assert sum(p.prompt[0].role == "system" for p in loaded.pairs) == 80 + 64
    assert load_pairs(f"{shared_data}/llamafactory:dpo_zh_demo").pairs == loaded.pairs[300:]


def test_a_set_without_pairs_says_what_it_is(shared_data: Path) -> None:
    with pytest.raises(DataError, match="binary feedback"):
        load_pairs(f"{shared_data}/llamafactory:kto_en_demo")


def test_pandalm_votes_become_pairs_by_majority(shared_data: Path) -> None:
    """999 rows: 54 with an empty answer, 6 with a boolean one, 103 of the others tied."""
    with pytest.raises(DataError, match="60 rows cannot be used: 54 empty, 6 wrong type"):
        load_pairs(shared_data / "pandalm")
    loaded = load_pairs(shared_data / "pandalm", max_bad_rows=60)
    assert len(loaded.pairs) == len(_pandalm_by_hand(shared_data)) == 836
    assert len(loaded.report.without_record) == 103
    assert [(p.origin.row, p.chosen[0].content, round(p.weight, 9)) for p in loaded.pairs] == _pandalm_by_hand(
        shared_data
    )


def _pandalm_by_hand(shared_data: Path) -> list[tuple[int, str, float]]:
    """The other route: sorted votes of three, whose middle one is the majority unless all three differ."""
    rows = json.loads((shared_data / "pandalm" / "testset-v1.json").read_text(encoding="utf-8"))
    pairs = []
    for number, row in enumerate(rows, 1):
        votes = sorted(row[f"annotator{i}"] for i in (1, 2, 3))
        answers = {1: row["response1"], 2: row["response2"]}
        if len(set(votes)) == 3 or votes[1] == 0 or not all(isinstance(a, str) and a for a in answers.values()):
            continue
        pairs.append((number, answers[votes[1]], round(votes.count(votes[1]) / 3, 9)))
    return pairs


def test_llmbar_gives_a_pair_for_every_row(shared_data: Path) -> None:
    loaded = load_pairs(shared_data / "llmbar")
    assert [f.records for f in loaded.report.files] == [134, 100]
    assert {pair.weight for pair in loaded.pairs} == {1.0}


def _rows(pairs: tuple[PreferencePair, ...]) -> list[dict[str, object]]:
    def written(turns: Turns) -> list[dict[str, str]]:
        return [{"role": turn.role, "content": turn.content} for turn in turns]

    return [{side: written(getattr(p, side)) for side in ("prompt", "chosen", "rejected")} for p in pairs]


def test_the_same_pairs_come_back_from_every_kind_of_file(shared_data: Path, tmp_path: Path) -> None:
    pairs = load_pairs(shared_data / "llamafactory").pairs
    rows = _rows(pairs)
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({key: json.dumps(value) for key, value in row.items()} for row in rows)
    for path in sorted(tmp_path.iterdir()):
        assert [p.id for p in load_pairs(path).pairs] == [p.id for p in pairs], path
