"""What lies in a cache of log-probs or tokens, and how it is deleted: only names and headers are read; no torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import RunFolderError

KEY, ABOUT = "key.json", "about.json"
SHARDS = "*.safetensors"
DAMAGED = ".damaged"
"""Ending of files that were found damaged and put aside."""
_OWN_NAME = re.compile(r"[0-9a-f]{32}")
_OWN_FILES = (KEY, ABOUT, SHARDS, f"*{DAMAGED}", ".*.tmp")
"""Everything that a cache folder may hold; ``.tmp`` is what a killed process has left."""
_LONGEST_HEADER = 1 << 20


@dataclass(frozen=True, slots=True)
class CacheFolder:
    """Log-probs of one reference (a model in one dtype and layout), or tokens of one set (files and a tokenizer)."""

    path: Path
    rows: int
    """Answers with log-probs, or records with tokens."""
    size: int
    """Bytes on disk."""
    written: float
    """When the newest file was written, in seconds since 1970."""
    key: Mapping[str, Any]
    about: Mapping[str, Any]
    """Which model and data it was made for; empty where that was not written down."""
    damaged: tuple[str, ...]
    """Files whose header cannot be read, and those that a run has found damaged and put aside."""


def cache_folders(root: Path) -> list[CacheFolder]:
    """Every folder of a cache, the newest first; none where there is no cache.

    Raises:
        RunFolderError: the root cannot be read.
    """
    try:
        folders = [f for f in root.iterdir() if _OWN_NAME.fullmatch(f.name) and (f / KEY).is_file()]
        return sorted(map(_read, folders), key=lambda folder: -folder.written)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunFolderError(f"the cache {root} cannot be read: {error.strerror}") from None


def clear(folder: CacheFolder) -> None:
    """Delete a folder of a cache: the files that are the cache's own, and the folder where nothing else is left.

    Raises:
        RunFolderError: a file cannot be deleted.
    """
    try:
        # The key goes last: as long as it is there, a half-deleted folder is found and deleted again.
        for file in sorted(_own_files(folder.path), key=lambda path: path.name == KEY):
            file.unlink(missing_ok=True)
        if not any(folder.path.iterdir()):
            folder.path.rmdir()
    except OSError as error:
        raise RunFolderError(f"the cache {folder.path} cannot be deleted: {error.strerror}") from None


def _own_files(folder: Path) -> list[Path]:
    return [path for pattern in _OWN_FILES for path in folder.glob(pattern)]


def _read(folder: Path) -> CacheFolder:
    rows, damaged = 0, [path.name for path in folder.glob(f"*{DAMAGED}")]
    for shard in folder.glob(SHARDS):
        try:
            rows += _rows(shard)
        except (ValueError, KeyError, TypeError, IndexError):
            damaged.append(shard.name)
    files = [path.stat() for path in _own_files(folder)]
    return CacheFolder(
        path=folder,
        rows=rows,
        size=sum(f.st_size for f in files),
        written=max(f.st_mtime for f in files),
        key=_json(folder / KEY),
        about=_json(folder / ABOUT),
        damaged=tuple(sorted(damaged)),
    )


def _rows(shard: Path) -> int:
    """Rows of a shard, from its header: 8 bytes with the length of a JSON text, then the text."""
    with shard.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _LONGEST_HEADER:
            raise ValueError("no safetensors header")
        return int(json.loads(file.read(length))["lengths"]["shape"][0])


def _json(path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, Mapping) else {}
