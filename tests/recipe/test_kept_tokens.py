"""Tokens that are kept between starts: the same groups with and without them, and never a reason to stop."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made import CHATML, make_tokenizer
from preftune.cli.main import main
from preftune.logprobs.cache_folders import cache_folders
from preftune.recipe import kept_tokens
from preftune.recipe.data import RunData, read_data
from preftune.recipe.kept_tokens import _packed, _unpacked
from preftune.recipe.objective import build_objective
from preftune.runs.display import QuietReporter
from preftune.tokens.chat import ChatTemplate
from preftune.tokens.encode import EncodedGroup
from preftune.tokens.template import Piece
from run_helpers import TWENTY, as_row, checked, settings, write_rows

ROWS: list[dict[str, Any]] = [
    *map(as_row, TWENTY),
    {"prompt": "Say it at length.", "chosen": "Blue. " * 40, "rejected": "No. " * 60},  # both answers are cut
    {"prompt": f"Long ago. {'It rained. ' * 30}What then?", "chosen": "Sun.", "rejected": "Snow."},  # the prompt is
    {
        "prompt": [{"role": "user", "content": "Two?"}],
        "chosen": [
            {"role": "assistant", "content": "2"},
            {"role": "user", "content": "Three?"},
            {"role": "assistant", "content": "3"},
        ],
        "rejected": [{"role": "assistant", "content": "Too many."}],
    },
]


@pytest.fixture(autouse=True)
def _every_run_keeps_tokens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(kept_tokens, "KEPT_FROM", 1)
    monkeypatch.setattr(kept_tokens, "SHARD", 8)
    monkeypatch.setenv("PREFTUNE_CACHE", str(tmp_path / "cache"))


def shards(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "tokens").rglob("*.safetensors"))


def read(tmp_path: Path, rows: list[dict[str, Any]] = ROWS, tokenizer: Any = None, **values: Any) -> RunData:
    """Read as a run does, and tell what it said in ``read.said``."""
    file = write_rows(tmp_path / "pairs.jsonl", rows)
    data = {"max_length": 128, "checks": "off", **values.pop("data", {})}
    config = checked(settings(tmp_path / "model", file, tmp_path / "out", data=data, **values))
    reporter = QuietReporter()
    read_data_of = read_data(config, build_objective(config), tokenizer or make_tokenizer(), reporter)
    said[:] = [*reporter.notes, *reporter.warnings]
    return read_data_of


said: list[str] = []


def content(group: EncodedGroup) -> list[Any]:
    """Every field of a group, arrays as lists with their types."""
    arrays = [group.prompt, *(part for c in group.completions for part in (c.ids, c.scored))]
    others = [getattr(group, f.name) for f in fields(group) if f.name not in ("prompt", "completions")]
    return [*((str(a.dtype), a.tolist()) for a in arrays), *others]


def everything(data: RunData) -> Any:
    return [*map(content, [*data.train, *data.held_out])], data.encoding, data.fingerprint()


RANKED = [
    {"prompt": prompt, "responses": [chosen, rejected, "Hm."], "scores": [3, 2, 1]}
    for prompt, chosen, rejected in TWENTY
]


@pytest.mark.parametrize(
    ("rows", "values"),
    [
        (ROWS, {}),
        (ROWS, {"data": {"template": "plain", "truncation": "answer_end"}}),
        (ROWS, {"data": {"truncation": "drop"}}),
        (ROWS, {"objective": {"name": "kto", "beta": 0.1}}),
        (RANKED, {"objective": {"name": "plackett_luce", "beta": 0.1}}),
        ([*ROWS, {**ROWS[0], "chat_template_kwargs": {"nobody": 1}}], {"data": {"max_bad_rows": 1}}),
    ],
    ids=["pairs", "plain", "dropped", "feedback", "rankings", "bad row"],
)
def test_a_second_start_encodes_nothing_again_and_has_the_same_groups(tmp_path, monkeypatch, rows, values):
    with monkeypatch.context() as without:
        without.setattr(kept_tokens, "KEPT_FROM", 10**9)
        plain = everything(read(tmp_path, rows, **values))
    assert shards(tmp_path) == []
    first = everything(read(tmp_path, rows, **values))
    written = shards(tmp_path)
    second = everything(read(tmp_path, rows, **values))
    assert plain == first == second
    assert len(written) > 1
    assert shards(tmp_path) == written
    assert any("of the records were encoded at an earlier start" in text for text in said)


def test_a_second_start_asks_the_tokenizer_for_no_record(tmp_path, monkeypatch):
    first = everything(read(tmp_path, ROWS[:20]))

    def never(*_: object) -> None:
        raise AssertionError("a record was encoded again")

    monkeypatch.setattr(ChatTemplate, "encode", never)
    assert everything(read(tmp_path, ROWS[:20])) == first


def test_another_window_uses_the_same_tokens(tmp_path):
    short = read(tmp_path)
    written = shards(tmp_path)
    longer = read(tmp_path, data={"max_length": 400})
    assert sum(report.cut.total() for report in short.encoding.values()) > 0
    assert sum(report.cut.total() for report in longer.encoding.values()) == 0
    assert "tokens: 100% of the records were encoded at an earlier start" in said
    assert shards(tmp_path) == written


def test_the_tries_at_a_shorter_prompt_are_not_kept(tmp_path):
    assert sum(report.cut["prompts"] for report in read(tmp_path, ROWS[:22]).encoding.values()) == 1
    rows = sum(folder.rows for folder in cache_folders(tmp_path / "cache" / "tokens"))
    assert rows == 23  # the record whole, and with its shorter prompt


@pytest.mark.parametrize("change", ["template", "end token", "data"])
def test_whatever_changes_the_tokens_is_encoded_anew(tmp_path, change):
    read(tmp_path, ROWS[:20])
    tokenizer, rows = make_tokenizer(), list(ROWS[:20])
    if change == "template":
        tokenizer.chat_template = CHATML.replace("\n{% endfor", "\n\n{% endfor")
    elif change == "end token":
        tokenizer.eos_token = "<|pad|>"
    else:
        rows[3] = {**rows[3], "chosen": "Marlowe wrote it."}
    read(tmp_path, rows, tokenizer)
    assert not any("earlier start" in text for text in said)
    assert len({shard.parent for shard in shards(tmp_path)}) == 2


def test_what_an_interrupted_start_has_written_is_used(tmp_path, monkeypatch):
    with monkeypatch.context() as short:
        encode, calls = ChatTemplate.encode, []

        def stopped(self: ChatTemplate, *arguments: Any) -> Any:
            calls.append(1)
            if len(calls) > 13:
                raise KeyboardInterrupt
            return encode(self, *arguments)

        short.setattr(ChatTemplate, "encode", stopped)
        with pytest.raises(KeyboardInterrupt):
            read(tmp_path, ROWS[:20])
    assert len(shards(tmp_path)) == 1
    read(tmp_path, ROWS[:20])
    assert "tokens: 40% of the records were encoded at an earlier start" in said


def test_a_damaged_file_is_named_put_aside_and_made_again(tmp_path):
    first = everything(read(tmp_path))
    spoiled = shards(tmp_path)[0]
    raw = bytearray(spoiled.read_bytes())
    raw[-1] ^= 1
    spoiled.write_bytes(raw)
    assert everything(read(tmp_path)) == first
    assert any(str(spoiled) in text and "damaged" in text for text in said)
    assert everything(read(tmp_path)) == first
    assert not any("damaged" in text for text in said)


def test_a_cache_that_cannot_be_used_stops_nothing(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file, not a folder")
    read(tmp_path)
    assert any("tokens are not kept" in text and "PREFTUNE_CACHE" in text for text in said)
    monkeypatch.setenv("PREFTUNE_CACHE", str(tmp_path / "other"))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("preftune.logprobs.shards.os.fsync", full)
    (tmp_path / "other" / "tokens").mkdir(parents=True)
    assert len(read(tmp_path).train) > 0
    assert len([text for text in said if "tokens are not kept" in text]) == 1


def test_few_records_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(kept_tokens, "KEPT_FROM", len(ROWS) + 1)
    read(tmp_path)
    assert not (tmp_path / "cache").exists()


def test_the_cache_command_lists_and_deletes_tokens(tmp_path, capsys):
    read(tmp_path, ROWS[:20])
    assert main(["cache", "info"]) == 0
    shown = capsys.readouterr().out
    assert "20 records" in shown
    assert "pairs.jsonl" in shown
    assert "1 token set, 20 records" in shown
    assert main(["cache", "clear", "--yes"]) == 0
    assert shards(tmp_path) == []


ids = st.lists(st.integers(0, 2**31 - 1), max_size=5).map(tuple)
answers = st.lists(st.lists(st.builds(Piece, ids, st.booleans()), min_size=1, max_size=3).map(tuple), max_size=4)


@given(ids, answers)
def test_what_is_packed_comes_back(prompt, pieces):
    row = _packed(prompt, pieces)
    assert row.dtype == np.int32
    back, parts = _unpacked(row)
    assert tuple(back.tolist()) == prompt
    assert [tuple(Piece(tuple(np.asarray(p.ids).tolist()), p.scored) for p in a) for a in parts] == pieces
