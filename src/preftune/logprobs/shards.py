"""Ragged rows of numbers on disk: append-only safetensors shards, each row found by the hash of what it belongs to.

A folder belongs to one fingerprint. A shard is written aside, fsynced and renamed: it is complete or absent. One that
was damaged since is put aside: its rows are missing then, and can be made again.
"""

from __future__ import annotations

import json
import os
import uuid
from abc import ABC
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b, sha256
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import RunFolderError
from .cache_folders import ABOUT, DAMAGED, KEY, SHARDS

ID_BYTES = 16


class RaggedTable(ABC):
    """Rows of different lengths by their ids, in memory and, with a folder, on disk.

    Of several processes on a machine one ``writes``; the others read what is there and keep the rest in memory.
    """

    what: ClassVar[str]
    """The folder's name in messages."""
    column: ClassVar[str]
    """The values' name in a shard."""
    remedy: ClassVar[str]
    """What helps where the folder cannot be used."""

    def __init__(
        self,
        folder: Path | None = None,
        fingerprint: Mapping[str, object] | None = None,
        *,
        about: Mapping[str, object] | None = None,
        writes: bool = True,
    ) -> None:
        """``about``: for people, which model and data it is for; the fingerprint only holds hashes."""
        self._rows: dict[bytes, int] = {}
        self._blocks: list[NDArray[Any]] = []
        """The values of one shard each: an array for every row would take ten times their memory."""
        self._block_of, self._starts, self._lengths = array("I"), array("q"), array("q")
        """Of each row: the place of its values."""
        self._folder = folder if writes else None
        self.damaged: dict[Path, str] = {}
        """Shards whose rows are not used, each with what is wrong. Where this table writes, they end in ``.damaged``
        now."""
        if folder is not None:
            self._open(folder, fingerprint or {}, about or {})

    def _open(self, folder: Path, fingerprint: Mapping[str, object], about: Mapping[str, object]) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            key = _json(fingerprint)
            _write_if_new(folder / KEY, key)
            _write_if_new(folder / ABOUT, _json(about))
            shards = sorted(folder.glob(SHARDS))
            if (folder / KEY).read_bytes() != key.encode():
                for shard in shards:
                    self._put_aside(shard, f"{KEY} beside it does not fit")
                if self._folder is not None:  # after them: as long as the wrong key is there, no shard is trusted
                    _write_text(folder / KEY, key)
                return
            for shard in shards:
                self._read(shard)
        except OSError as error:
            raise RunFolderError(f"the {self.what} {folder} cannot be used: {error.strerror}; {self.remedy}") from None

    def _put_aside(self, file: Path, fault: str) -> None:
        self.damaged[file] = fault
        if self._folder is not None:
            with suppress(FileNotFoundError):  # another process has done it
                os.replace(file, file.with_suffix(DAMAGED))

    def _read(self, shard: Path) -> None:
        try:
            with safe_open(shard, "pt") as tensors:
                ids, lengths, values = (tensors.get_tensor(n) for n in ("ids", "lengths", self.column))
                stored = (tensors.metadata() or {}).get("checksum")
        except FileNotFoundError:  # another process has put it aside meanwhile
            return
        except SafetensorError as error:
            self._put_aside(shard, str(error))
            return
        if stored != _checksum(ids, lengths, values):
            self._put_aside(shard, "its checksum differs")
            return
        raw = ids.numpy().tobytes()
        self._keep([raw[i : i + ID_BYTES] for i in range(0, len(raw), ID_BYTES)], lengths.tolist(), values)

    def _keep(self, ids: Sequence[bytes], lengths: Sequence[int], values: Tensor) -> None:
        self._rows.update(zip(ids, range(len(self._starts), len(self._starts) + len(ids)), strict=True))
        self._block_of.extend([len(self._blocks)] * len(ids))
        self._starts.extend(accumulate(lengths[:-1], initial=0))
        self._lengths.extend(lengths)
        self._blocks.append(values.numpy())

    def missing(self, ids: Iterable[bytes]) -> set[bytes]:
        """The ids that the table does not hold."""
        return {i for i in ids if i not in self._rows}

    def _row(self, key: bytes) -> NDArray[Any]:
        """The values of an id, as a view of their shard's. Raises KeyError."""
        row = self._rows[key]
        start = self._starts[row]
        return self._blocks[self._block_of[row]][start : start + self._lengths[row]]

    def _write_shard(self, ids: Sequence[bytes], values: Sequence[Tensor]) -> None:
        tensors = {
            "ids": torch.frombuffer(bytearray(b"".join(ids)), dtype=torch.uint8).view(-1, ID_BYTES),
            "lengths": torch.tensor([len(v) for v in values]),
            self.column: torch.cat(list(values)),
        }
        checksum = _checksum(*tensors.values())
        folder = self._folder or Path()
        target = folder / f"{uuid.uuid4().hex}.safetensors"
        try:
            _write_whole(target, lambda path: save_file(tensors, path, metadata={"checksum": checksum}))
        except (OSError, SafetensorError) as error:
            raise RunFolderError(
                f"the {self.what} {folder} cannot be written ({error}); free some space or {self.remedy}"
            ) from None


def cache_folder(root: Path, fingerprint: Mapping[str, object]) -> Path:
    """The folder of one fingerprint below a cache root."""
    return root / sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:32]


def _json(values: Mapping[str, object]) -> str:
    return json.dumps(values, sort_keys=True, indent=1, ensure_ascii=False)


def _write_if_new(path: Path, text: str) -> None:
    if not path.exists():
        _write_text(path, text)


def _write_text(path: Path, text: str) -> None:
    _write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _checksum(*tensors: Tensor) -> str:
    digest = blake2b(digest_size=16)
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _write_whole(target: Path, write: Callable[[Path], object]) -> None:
    temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        write(temporary)
        for path in (temporary, target.parent):
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
