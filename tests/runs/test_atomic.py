"""Files and folders are complete or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from preftune.errors import RunFolderError
from preftune.runs import atomic
from preftune.runs.atomic import atomic_files, atomic_folder, atomic_write, remove_folder, sweep, to_json


@pytest.fixture
def full_disk(monkeypatch):
    """A disk on which nothing more can be flushed."""

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", refuse)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fail_within(writing: AbstractContextManager[Path], error: BaseException) -> None:
    with writing as folder:
        (folder / "model").write_text("half")
        raise error


def test_a_file_is_written_and_replaced_and_nothing_else_stays(tmp_path):
    atomic_write(tmp_path / "new" / "a.txt", "one")
    atomic_write(tmp_path / "new" / "a.txt", b"two")
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"two"
    assert names(tmp_path / "new") == ["a.txt"]


def test_a_full_disk_leaves_the_old_file_and_says_what_to_do(tmp_path, full_disk):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(RunFolderError, match=r"a\.txt.*disk is full.*same command again"):
        atomic_write(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_is_an_error_with_exit_code_two(tmp_path, monkeypatch, code):
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(atomic.os, "replace", refuse)
    with pytest.raises(RunFolderError, match="no permission to write there") as caught:
        atomic_write(tmp_path / "a.txt", "new")
    assert caught.value.exit_code == 2
    assert names(tmp_path) == []


def test_a_file_where_a_folder_belongs_is_named(tmp_path):
    (tmp_path / "output").write_text("I am a file")
    with pytest.raises(RunFolderError, match="Choose another output_dir"):
        atomic_write(tmp_path / "output" / "a.txt", "new")


@pytest.mark.parametrize("exchange", [True, False])
def test_a_folder_takes_the_place_of_the_one_before_it(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(atomic, "_exchange", lambda *_: False)
    for content in ("one", "two"):
        with atomic_folder(tmp_path / "step-1") as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / "w").write_text(content)
            (folder / content).touch()
    assert (tmp_path / "step-1" / "deep" / "w").read_text() == "two"
    assert names(tmp_path / "step-1") == ["deep", "two"]
    assert names(tmp_path) == ["step-1"]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_a_failed_folder_leaves_the_one_before_it(tmp_path, error):
    with atomic_folder(tmp_path / "step-1") as folder:
        (folder / "w").write_text("one")
    with pytest.raises(type(error)):
        fail_within(atomic_folder(tmp_path / "step-1"), error)
    assert (tmp_path / "step-1" / "w").read_text() == "one"
    assert names(tmp_path) == ["step-1"]


def test_a_full_disk_reported_in_the_words_of_a_library_is_recognised(tmp_path):
    with pytest.raises(RunFolderError, match="disk is full"), atomic_folder(tmp_path / "step-1"):
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    assert names(tmp_path) == []


def test_a_failure_of_a_library_on_a_nearly_full_disk_is_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "_NEARLY_NO_SPACE_BYTES", 1 << 62)
    with pytest.raises(RunFolderError, match="disk is full"), atomic_folder(tmp_path / "step-1"):
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")


def test_files_are_moved_beside_others_only_when_all_are_there(tmp_path):
    (tmp_path / "notes.log").write_text("mine")
    (tmp_path / "model").write_text("old")
    with pytest.raises(ValueError, match="bad"):
        fail_within(atomic_files(tmp_path), ValueError("bad"))
    assert (tmp_path / "model").read_text() == "old"
    with atomic_files(tmp_path) as folder:
        (folder / "model").write_text("new")
        (folder / "sub").mkdir()
        (folder / "sub" / "x").touch()
    assert (tmp_path / "model").read_text() == "new"
    assert names(tmp_path) == ["model", "notes.log", "sub"]


def test_kill_nine_between_writing_and_renaming_leaves_the_old_file_and_is_swept(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    code = (
        "import os, signal, sys; from pathlib import Path; from preftune.runs import atomic\n"
        "atomic.os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "atomic.atomic_write(Path(sys.argv[1]), 'new')\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert target.read_text() == "old"
    assert len(names(tmp_path)) == 2
    assert len(sweep(tmp_path)) == 1
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_moved_aside_by_a_killed_writer_comes_back(tmp_path):
    aside = tmp_path / ".step-1.123-0123abcd.old"
    aside.mkdir()
    (aside / "w").write_text("one")
    (tmp_path / ".step-1.123-0123abce.tmp").mkdir()
    (tmp_path / ".keep.tmp").touch()
    sweep(tmp_path)
    assert names(tmp_path) == [".keep.tmp", "step-1"]
    assert (tmp_path / "step-1" / "w").read_text() == "one"


def test_a_folder_is_removed_from_under_its_name_first(tmp_path, monkeypatch):
    (tmp_path / "step-1").mkdir()
    seen: list[list[str]] = []
    monkeypatch.setattr(atomic.shutil, "rmtree", lambda _: seen.append(names(tmp_path)))
    remove_folder(tmp_path / "step-1")
    assert "step-1" not in seen[0]


def test_json_refuses_nan_and_holds_any_file_name():
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"loss": float("nan")})
    assert to_json({"文件": "a\udc80"}, indent=None).isascii()
    assert "文件" in to_json({"文件": 1})
