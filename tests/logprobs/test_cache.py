"""The table on disk: complete or absent, found by content, never trusted when damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from preftune.errors import RunFolderError
from preftune.logprobs.cache import LogprobTable
from preftune.logprobs.cache_folders import cache_folders
from preftune.logprobs.shards import cache_folder

IDS = [bytes([i]) * 16 for i in range(3)]
VALUES = [torch.tensor([-1.5, -0.25]), torch.tensor([-3.0]), torch.tensor([-0.125, -2.0, -7.5])]


def test_rows_come_back_exactly_from_a_new_table(tmp_path):
    LogprobTable(tmp_path, {"weights": "a"}).add(IDS, VALUES)
    again = LogprobTable(tmp_path, {"weights": "a"})
    assert again.missing(IDS) == set()
    for a, b in zip(again.lookup(IDS[::-1]), VALUES[::-1], strict=True):
        assert torch.equal(a, b)


def test_missing_rows_are_named_and_later_shards_add_to_earlier_ones(tmp_path):
    LogprobTable(tmp_path).add(IDS[:1], VALUES[:1])
    table = LogprobTable(tmp_path)
    assert table.missing(IDS) == set(IDS[1:])
    table.add(IDS[1:], VALUES[1:])
    assert LogprobTable(tmp_path).missing(IDS) == set()


def test_double_precision_is_kept(tmp_path):
    value = torch.tensor([-1 / 3], dtype=torch.float64)
    LogprobTable(tmp_path).add(IDS[:1], [value])
    assert torch.equal(LogprobTable(tmp_path).lookup(IDS[:1])[0], value)


def spoiled(file: Path, damage: str) -> bytes:
    """Damage a file in its last bytes."""
    raw = bytearray(file.read_bytes())
    raw[-2] ^= 1
    file.write_bytes(raw if damage == "flip" else raw[:-8])
    return file.read_bytes()


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_shard_is_named_and_put_aside_and_its_rows_can_be_added_again(tmp_path, damage):
    LogprobTable(tmp_path).add(IDS[:2], VALUES[:2])
    (shard,) = tmp_path.glob("*.safetensors")
    LogprobTable(tmp_path).add(IDS[2:], VALUES[2:])
    left = spoiled(shard, damage)
    table = LogprobTable(tmp_path)
    assert list(table.damaged) == [shard]
    assert table.missing(IDS) == set(IDS[:2])
    assert shard.with_suffix(".damaged").read_bytes() == left
    assert not shard.exists()
    table.add(IDS[:2], VALUES[:2])
    again = LogprobTable(tmp_path)
    assert again.damaged == {}
    assert all(torch.equal(a, b) for a, b in zip(again.lookup(IDS), VALUES, strict=True))


def test_a_process_that_does_not_write_names_a_damaged_shard_and_leaves_it_where_it_is(tmp_path):
    LogprobTable(tmp_path).add(IDS, VALUES)
    (shard,) = tmp_path.glob("*.safetensors")
    spoiled(shard, "flip")
    reader = LogprobTable(tmp_path, writes=False)
    assert (list(reader.damaged), reader.missing(IDS), shard.exists()) == ([shard], set(IDS), True)


@pytest.mark.parametrize("said", [b"", b"\xff\xfe", b'{\n "weights": "abd"\n}'], ids=["empty", "bytes", "another key"])
def test_where_the_key_was_damaged_no_row_is_trusted(tmp_path, said):
    key = {"weights": "abc"}
    folder = cache_folder(tmp_path, key)
    LogprobTable(folder, key).add(IDS, VALUES)
    (shard,) = folder.glob("*.safetensors")
    whole = (folder / "key.json").read_bytes()
    (folder / "key.json").write_bytes(said)
    reader = LogprobTable(folder, key, writes=False)
    assert (reader.missing(IDS), shard.exists()) == (set(IDS), True)
    table = LogprobTable(folder, key)
    assert table.damaged.keys() == reader.damaged.keys() == {shard}
    assert table.missing(IDS) == set(IDS)
    assert (folder / "key.json").read_bytes() == whole
    assert cache_folders(tmp_path)[0].damaged == (f"{shard.stem}.damaged",)


def test_a_failed_write_leaves_no_file(tmp_path, monkeypatch):
    table = LogprobTable(tmp_path)

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("preftune.logprobs.shards.os.fsync", full)
    with pytest.raises(RunFolderError, match=r"No space left.*reference\.cache_dir"):
        table.add(IDS, VALUES)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["about.json", "key.json"]
    assert table.missing(IDS) == set(IDS)


def test_folders_differ_with_the_fingerprint(tmp_path):
    a, b = (cache_folder(tmp_path, {"weights": w, "dtype": "float32"}) for w in "ab")
    assert a != b
    assert a == cache_folder(tmp_path, {"dtype": "float32", "weights": "a"})
