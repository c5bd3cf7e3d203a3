"""What a reference cache holds is told without reading values, and only its own files are deleted."""

from __future__ import annotations

import pytest
import torch

from preftune.logprobs.cache import LogprobTable
from preftune.logprobs.cache_folders import cache_folders, clear
from preftune.logprobs.shards import cache_folder

ABOUT = {"model": "models/small", "data": ["pairs.jsonl"]}


def fill(root, weights, answers):
    key = {"weights": weights, "dtype": "float32"}
    table = LogprobTable(cache_folder(root, key), key, about=ABOUT)
    for i in range(answers):  # one shard each
        table.add([bytes([i]) * 16], [torch.full((i + 1,), -0.5)])
    return cache_folder(root, key)


def test_folders_tell_their_answers_size_and_what_they_are_for(tmp_path):
    fill(tmp_path, "a", 3)
    made = fill(tmp_path, "b", 1)
    found = {f.path: f for f in cache_folders(tmp_path)}
    assert len(found) == 2
    assert found[made].rows == 1
    assert sum(f.rows for f in found.values()) == 4
    assert found[made].size == sum(p.stat().st_size for p in made.iterdir())
    assert found[made].key == {"weights": "b", "dtype": "float32"}
    assert found[made].about == ABOUT
    assert found[made].damaged == ()


def test_no_cache_is_an_empty_one(tmp_path):
    assert cache_folders(tmp_path / "none") == []


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, (99).to_bytes(8, "little") + b"{}"])
def test_a_file_without_a_header_is_named_as_damaged(tmp_path, content):
    folder = fill(tmp_path, "a", 2)
    (folder / "odd.safetensors").write_bytes(content)
    (found,) = cache_folders(tmp_path)
    assert (found.rows, found.damaged) == (2, ("odd.safetensors",))


def test_clearing_deletes_the_folder_with_what_a_killed_process_left(tmp_path):
    folder = fill(tmp_path, "a", 2)
    (folder / ".0123.tmp").write_bytes(b"half")
    (found,) = cache_folders(tmp_path)
    clear(found)
    assert not folder.exists()


def test_clearing_touches_nothing_that_is_not_the_caches_own(tmp_path):
    folder = fill(tmp_path, "a", 1)
    (folder / "notes.txt").write_text("mine")
    other = tmp_path / "not a cache"
    other.mkdir()
    (other / "model.safetensors").write_bytes(b"precious")
    (found,) = cache_folders(tmp_path)
    clear(found)
    assert [p.name for p in folder.iterdir()] == ["notes.txt"]
    assert (other / "model.safetensors").read_bytes() == b"precious"


def test_shards_that_were_put_aside_are_named_and_deleted_with_the_folder(tmp_path):
    folder = fill(tmp_path, "a", 2)
    aside = min(folder.glob("*.safetensors"))
    aside.rename(aside.with_suffix(".damaged"))
    (found,) = cache_folders(tmp_path)
    assert (found.rows, found.damaged) == (1, (f"{aside.stem}.damaged",))
    assert found.size == sum(p.stat().st_size for p in folder.iterdir())
    clear(found)
    assert not folder.exists()
