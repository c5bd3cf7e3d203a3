"""How much of each source is used: limits per source and entry, and mixtures by weight."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preftune.data import Share, load_pairs
from preftune.data.mixing import mixture, sampled
from preftune.errors import DataError


def file_of(folder: Path, name: str, count: int) -> Path:
    """Pairs whose prompts say which file they are of."""
    path = folder / f"{name}.jsonl"
    rows = ({"prompt": f"{name} {n}", "chosen": f"yes {n}", "rejected": "no"} for n in range(count))
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def counts(loaded, *names: str) -> list[int]:
    return [sum(pair.prompt[0].content.startswith(f"{name} ") for pair in loaded.pairs) for name in names]


@pytest.mark.parametrize(
    ("sizes", "weights", "taken"),
    [
        ([100, 100], [1, 1], [100, 100]),
        ([100, 300], [1, 1], [100, 100]),
        ([100, 300], [0.25, 0.75], [100, 300]),
        ([1000, 10, 50], [8, 1, 1], [80, 10, 10]),
    ],
)
def test_known_mixtures(sizes: list[int], weights: list[float], taken: list[int]) -> None:
    assert mixture(sizes, weights) == taken


def test_weights_decide_the_shares_and_no_pair_comes_twice(tmp_path: Path) -> None:
    a, b = file_of(tmp_path, "a", 60), file_of(tmp_path, "b", 20)
    loaded = load_pairs([Share(a, weight=0.6), Share(b, weight=0.4)], seed=3)
    assert counts(loaded, "a", "b") == [30, 20]
    assert len({pair.id for pair in loaded.pairs}) == 50
    assert [(f.records, f.sampled_out) for f in loaded.report.files] == [(30, 30), (20, 0)]


def test_each_source_has_its_own_limit_before_the_limit_of_all(tmp_path: Path) -> None:
    sources = [Share(file_of(tmp_path, "a", 60), max_samples=10), Share(file_of(tmp_path, "b", 20), max_samples=30)]
    assert counts(load_pairs(sources), "a", "b") == [10, 20]
    assert len(load_pairs(sources, max_samples=7).pairs) == 7


def test_a_sample_depends_on_the_seed_and_keeps_the_order() -> None:
    one, again, other = (sampled(range(100), 10, seed) for seed in (1, 1, 2))
    assert one == again != other
    assert list(one) == sorted(one)


def test_num_samples_of_a_registry_entry_is_honoured(tmp_path: Path) -> None:
    for name, count in (("a", 30), ("b", 8)):
        file_of(tmp_path, name, count)
    entry = {"ranking": True, "columns": {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}}
    table = {
        "few": {"file_name": "a.jsonl", **entry, "num_samples": 5},
        "all": {"file_name": "b.jsonl", **entry},
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(table))
    assert counts(load_pairs(tmp_path), "a", "b") == [5, 8]
    table["few"]["num_samples"] = 31
    (tmp_path / "dataset_info.json").write_text(json.dumps(table))
    with pytest.raises(DataError, match=r"a.jsonl: num_samples 31 is more than the 30 records"):
        load_pairs(tmp_path)
    table["few"]["num_samples"] = "5"
    (tmp_path / "dataset_info.json").write_text(json.dumps(table))
    with pytest.raises(DataError, match="entry 'few': 'num_samples' must be a whole number above 0, not '5'"):
        load_pairs(tmp_path)
