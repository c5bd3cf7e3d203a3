"""``preftune cache``: lists what is cached, deletes it when told to, and asks first."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from preftune.cli import cache as command
from preftune.cli.main import main
from preftune.logprobs.cache import LogprobTable
from preftune.logprobs.shards import cache_folder


@pytest.fixture
def cached(tmp_path: Path) -> Path:
    """A cache with two references."""
    for weights in "ab":
        key = {"weights": weights, "dtype": "float32", "device": "cpu", "layout": "packed", "torch": "2"}
        about = {"model": f"models/{weights}\x1b[2J", "data": ["pairs.jsonl"]}
        LogprobTable(cache_folder(tmp_path, key), key, about=about).add([b"0" * 16], [torch.zeros(3)])
    return tmp_path


def names(root: Path) -> list[str]:
    return sorted(p.name for p in root.iterdir())


def test_info_names_model_data_and_size_and_no_control_character(cached, capsys):
    assert main(["cache", "info", "--cache-dir", str(cached)]) == 0
    shown = capsys.readouterr().out
    assert "models/a\\x1b[2J" in shown
    assert "\x1b" not in shown
    assert "pairs.jsonl" in shown
    assert "1 answers" in shown
    assert "2 references, 2 answers" in shown


def test_the_users_own_cache_is_the_default(cached, capsys, monkeypatch):
    monkeypatch.setenv("PREFTUNE_CACHE", str(cached.parent))
    cached.rename(cached.parent / "reference")
    assert main(["cache", "info"]) == 0
    assert "2 references" in capsys.readouterr().out


def test_clear_with_yes_deletes_what_is_named_or_all(cached, capsys):
    first = names(cached)[0]
    assert main(["cache", "clear", first[:6], "--cache-dir", str(cached), "--yes"]) == 0
    assert names(cached) == names(cached)[-1:]
    assert main(["cache", "clear", "--cache-dir", str(cached), "--yes"]) == 0
    assert names(cached) == []
    assert main(["cache", "clear", "--cache-dir", str(cached)]) == 0
    assert "nothing is cached" in capsys.readouterr().out


def test_clear_does_nothing_where_nobody_can_answer(cached, capsys, monkeypatch):
    before = names(cached)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert main(["cache", "clear", "--cache-dir", str(cached)]) == 2
    assert "--yes" in capsys.readouterr().err
    assert names(cached) == before


@pytest.mark.parametrize(("answer", "left"), [(True, 0), (False, 2)])
def test_clear_asks_and_does_as_it_is_told(cached, monkeypatch, answer, left):
    questions = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(command.typer, "confirm", lambda text: questions.append(text) or answer)
    assert main(["cache", "clear", "--cache-dir", str(cached)]) == 0
    assert "2 references, 2 answers" in questions[0]
    assert len(names(cached)) == left


@pytest.mark.parametrize("words", [["info", "zz"], ["clear", "zz", "--yes"]])
def test_an_unknown_name_is_refused(cached, capsys, words):
    assert main(["cache", *words, "--cache-dir", str(cached)]) == 2
    assert "'zz'" in capsys.readouterr().err


def test_a_cache_dir_that_is_none_is_refused(tmp_path, capsys):
    assert main(["cache", "info", "--cache-dir", str(tmp_path / "no")]) == 2
    assert "is not a folder" in capsys.readouterr().err
