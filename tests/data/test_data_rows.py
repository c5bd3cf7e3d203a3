"""Reading rows of every file kind, whole and broken."""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from data_helpers import GOOD, write_lines

from preftune.data import BadRow, RawRow, read_rows
from preftune.errors import DataError

LINE = json.dumps(GOOD)


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def one_bad(path: Path) -> BadRow:
    bad = [row for row in read_rows(path) if isinstance(row, BadRow)]
    assert len(bad) == 1, bad
    return bad[0]


TEXT_FILES = {
    "a.jsonl": f"{LINE}\n{LINE}\n",
    "b.ndjson": f"{LINE}\n{LINE}",
    "c.json": f" [{LINE} ,\n{LINE}] ",
    "d.json": f'{{"data": [{LINE}, {LINE}]}}',
    "lines-named.json": f"{LINE}\n{LINE}\n",
    "e.csv": "prompt,chosen,rejected\nThe sky is, blue., green.\nThe sky is, blue., green.\n",
    "f.tsv": "prompt\tchosen\trejected\nThe sky is\t blue.\t green.\nThe sky is\t blue.\t green.\n",
}
PACKERS = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("name", TEXT_FILES)
def test_every_text_kind_gives_the_same_rows(tmp_path: Path, name: str, mark: bytes, ending: str) -> None:
    path = write(tmp_path / (name + ending), PACKERS[ending](mark + TEXT_FILES[name].encode()))
    rows = list(read_rows(path))
    assert [row.values for row in rows if isinstance(row, RawRow)] == [GOOD, GOOD]
    assert [row.origin.row for row in rows] == [1, 2]
    assert rows[0].origin.file == str(path)


def test_parquet_gives_the_same_rows_across_batches(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([GOOD] * 2500), tmp_path / "a.parquet")
    rows = list(read_rows(tmp_path / "a.parquet"))
    assert [row.origin.row for row in rows] == list(range(1, 2501))
    assert all(isinstance(row, RawRow) and row.values == GOOD for row in rows)


def test_blank_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    rows = list(read_rows(write(tmp_path / "a.jsonl", f"\n{LINE}\r\n  \n{LINE}\n\n")))
    assert [row.origin.row for row in rows] == [2, 4]


def test_line_ends_of_all_systems_may_be_mixed(tmp_path: Path) -> None:
    rows = list(read_rows(write(tmp_path / "a.jsonl", f"{LINE}\r{LINE}\r\n{LINE}\n{LINE}")))
    assert [row.origin.row for row in rows] == [1, 2, 3, 4]
    assert all(isinstance(row, RawRow) for row in rows)


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085", "\x0b"])
def test_a_unicode_line_separator_inside_a_string_does_not_split_the_line(tmp_path: Path, mark: str) -> None:
    row = {**GOOD, "chosen": f"a{mark}b"}
    blob = json.dumps(row, ensure_ascii=False).encode()
    for name, content in (
        ("a.jsonl", blob + b"\n" + blob),
        ("b.json", blob + b"\n" + blob),
        ("c.json", b"[" + blob + b"]"),
    ):
        assert all(r.values == row for r in read_rows(write(tmp_path / name, content)) if isinstance(r, RawRow))
        assert not [r for r in read_rows(tmp_path / name) if isinstance(r, BadRow)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"prompt": }', "broken JSON at column 12"),
        ('{"prompt": "x"', "broken JSON at column"),
        (LINE + LINE, "Extra data"),
        ("[1, 2]", "the row is a list"),
        ("null", "the row is null"),
        ('"text"', "the row is text"),
        ("3", "the row is a bare value"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' occurs twice"),
        ('{"m": [{"role": "user", "role": "x"}]}', "the key 'role' occurs twice"),
        ('{"a": ' + "[" * 200_000, "nested too deeply"),
        ('{"a": ' + "1" * 5000 + "}", "broken JSON"),
        (b'{"a": "\xff\xfe"}', "invalid UTF-8 at byte 8"),
    ],
)
def test_a_broken_line_names_its_row_and_hides_no_other(tmp_path: Path, line: str | bytes, words: str) -> None:
    blob = line if isinstance(line, bytes) else line.encode()
    path = write(tmp_path / "a.jsonl", b"\n".join([LINE.encode(), blob, LINE.encode()]))
    rows = list(read_rows(path))
    assert [type(row) for row in rows] == [RawRow, BadRow, RawRow]
    assert str(rows[1]).startswith(f"{path}:2: ")
    assert words in str(rows[1])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"[{LINE}, {{bad}}]", "a.json:1:72: broken JSON in row 2"),
        (f"[\n{LINE}\n{LINE}]", "a.json:3:1: broken JSON in row 1: Expecting ','"),
        (f"[{LINE},]", "broken JSON in row 2"),
        (f"[{LINE}", "broken JSON in row 1"),
        (f"[{LINE}] x", "Extra data after the list"),
        (f"[{LINE}, {'[' * 200_000}", "broken JSON in row 2"),
        ('{"data": 3}', 'must hold a list of rows, or {"data": [...]}'),
        ('{"data": [}', "a.json:1:11: broken JSON"),
        ('{"data": [], "data": []}', "occurs twice"),
        (LINE, "one object per line is .jsonl"),
        ("[]", "holds no rows"),
        ("  \n", "holds no rows"),
        ('{"data": []}', "holds no rows"),
        ("", "the file is empty"),
        (b'[\n"\xff"]', "a.json:2: invalid UTF-8"),
        (LINE.encode("utf-16"), "UTF-16"),
    ],
)
def test_a_json_document_that_is_broken_as_a_whole_is_refused(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(DataError) as caught:
        list(read_rows(write(tmp_path / "a.json", text)))
    assert words in str(caught.value)


def test_a_fault_in_one_element_of_a_json_list_hides_no_other(tmp_path: Path) -> None:
    rows = list(read_rows(write(tmp_path / "a.json", f'[{LINE}, 3, {{"a": 1, "a": {{"b": [2]}}}}, {LINE}]')))
    assert [type(row) for row in rows] == [RawRow, BadRow, BadRow, RawRow]
    assert "'a' occurs twice" in str(rows[2])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prompt,chosen\nHi,a,b\n", "3 cells where the header has 2"),
        ("prompt,chosen\nHi\n", "1 cells where the header has 2"),
        ('prompt,chosen\nHi,"a"b\n', "broken table row"),
        (b"prompt,chosen\nHi,\xff\n", "invalid UTF-8"),
        ("prompt,chosen\n\"[{'role': 'user', 'content': 'Hi'}]\",a\n", "as Python text, not JSON"),
        ('prompt,chosen\n"[{""role"": ""user"", ]",a\n', "broken JSON"),
    ],
)
def test_a_broken_table_row_is_a_bad_row(tmp_path: Path, text: str | bytes, words: str) -> None:
    bad = one_bad(write(tmp_path / "a.csv", text))
    assert bad.origin.row == 1
    assert words in bad.reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('prompt,chosen\nHi,"a\nHi,b\n', "a quote opened in data row 1 is never closed"),
        ("prompt,prompt\nHi,a\n", "names 'prompt' twice"),
        ('"prompt"x,b\nHi,a\n', "broken header"),
        ("prompt,chosen\n", "holds no rows"),
        ("prompt,chosen\nx,y\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_a_table_that_is_broken_as_a_whole_is_refused(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(DataError) as caught:
        list(read_rows(write(tmp_path / "a.csv", text)))
    assert words in str(caught.value)


def test_cells_of_any_length_and_with_line_breaks_are_read(tmp_path: Path) -> None:
    text = "word\n" * 100_000
    rows = list(read_rows(write(tmp_path / "a.csv", f'prompt,chosen\nHi,"{text}"\n')))
    assert [row.values for row in rows if isinstance(row, RawRow)] == [{"prompt": "Hi", "chosen": text}]


def test_messages_stored_as_json_text_in_a_table_are_parsed_and_other_json_is_not(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    row = {"prompt": json.dumps(messages), "chosen": '{"name": 1}', "rejected": "[1, 2]", "x": '{"content": "a"}'}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    (read,) = read_rows(tmp_path / "a.parquet")
    assert isinstance(read, RawRow)
    assert read.values == {**row, "prompt": messages}


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_compressed_file_that_is_cut_short_names_the_last_good_row(tmp_path: Path, ending: str) -> None:
    lines = "".join(json.dumps({**GOOD, "prompt": os.urandom(32).hex()}) + "\n" for _ in range(20_000))
    whole = PACKERS[ending](lines.encode())
    path = write(tmp_path / f"a.jsonl{ending}", whole[: len(whole) // 2])
    rows = []
    with pytest.raises(DataError, match="cut short or damaged") as caught:
        rows.extend(read_rows(path))
    assert "the last good row is " in str(caught.value)
    assert int(str(caught.value).split("the last good row is ")[1].split(":")[0]) > 1000


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.csv.gz", "a.json.zst", "a.parquet"])
def test_a_file_that_is_not_what_its_ending_says_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"damaged|cannot be read as parquet"):
        list(read_rows(write(tmp_path / name, b"nonsense" * 10)))


def test_zstandard_frames_one_after_the_other_are_one_file(tmp_path: Path) -> None:
    frame = zstandard.compress(f"{LINE}\n".encode())
    assert len(list(read_rows(write(tmp_path / "a.jsonl.zst", frame * 3)))) == 3


def test_zst_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    path = write(tmp_path / "a.jsonl.zst", zstandard.compress(LINE.encode()))
    with pytest.raises(DataError, match=r"preftune\[zstd\]"):
        list(read_rows(path))


def test_a_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    write_lines(tmp_path / "pairs.jsonl", [GOOD])
    with pytest.raises(DataError, match=r"no such file or folder; did you mean 'pairs.jsonl'\?"):
        list(read_rows(tmp_path / "pair.jsonl"))


def test_a_folder_or_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        list(read_rows(tmp_path))
    for name in ("a.txt", "a", "a.parquet.gz", "a.gz"):
        with pytest.raises(DataError, match="must end in"):
            list(read_rows(write(tmp_path / name, "x")))
