"""Data files as bytes: known endings, decompression that notices a cut, hashes, and messages for what is missing."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ..errors import DataError, did_you_mean

KINDS = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
_COMPRESSED = (".gz", ".zst")
KNOWN_ENDINGS = ".json, .jsonl, .ndjson, .csv or .tsv (also with .gz or .zst), or .parquet"
_CHUNK = 1 << 18  # bytes


def file_kind(path: Path) -> str | None:
    """``json``, ``jsonl``, ``csv``, ``tsv`` or ``parquet`` by the ending; None where it is no data file."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        kind = KINDS.get(suffixes[-2]) if len(suffixes) > 1 else None
        return None if kind == "parquet" else kind
    return KINDS.get(suffixes[-1]) if suffixes else None


def require_file(path: Path) -> str:
    """The kind of an existing, non-empty data file. Raises DataError that says what is wrong with it."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder, not a file: name a data file in it")
    if not path.is_file():
        raise DataError(missing(path))
    kind = file_kind(path)
    if kind is None:
        raise DataError(f"{path}: unknown kind of file: it must end in {KNOWN_ENDINGS}{_arrow_advice(path)}")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty: write it again")
    return kind


def _arrow_advice(path: Path) -> str:
    return "; write an arrow data set with its to_parquet first" if path.suffix == ".arrow" else ""


def missing(path: Path) -> str:
    """What to say of a path that does not exist, with the nearest name in its folder."""
    folder = path.parent
    if not folder.is_dir():
        advice = f"the folder {folder} does not exist either"
        if len(path.parts) == 2 and file_kind(path) is None and not path.is_absolute():
            advice += "; to use a data set of a hub, download it to a .json, .jsonl or .parquet file first"
        return f"{path}: no such file or folder; {advice}"
    near = did_you_mean(path.name, [p.name for p in folder.iterdir() if p.is_dir() or file_kind(p)])
    return f"{path}: no such file or folder{near or '; its folder holds no data files'}"


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of the file as it is on disk."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, decompressed. Reading raises EOFError or OSError where the stream is cut or damaged."""
    ending = path.suffix.lower()
    try:
        file: Any = gzip.open(path, "rb") if ending == ".gz" else path.open("rb")  # noqa: SIM115
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}): check its permissions") from None
    with file:
        yield io.BufferedReader(_ZstdStream(file, path), _CHUNK) if ending == ".zst" else file


DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, OSError)
"""What reading a cut or damaged file raises; zstandard's own error is turned into OSError."""


def damaged(path: Path, last_row: int, error: BaseException) -> DataError:
    """The error of a file that stops making sense after ``last_row``."""
    good = f"the last good row is {last_row}" if last_row else "no row could be read"
    return DataError(f"{path}: the file is cut short or damaged ({error}); {good}: copy or download it again")


class _ZstdStream(io.RawIOBase):
    """Zstandard frames one after the other; a frame without its end is an EOFError, as gzip makes it."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        try:
            import zstandard
        except ImportError:
            raise DataError(f"{path}: reading .zst needs one more package: pip install 'preftune[zstd]'") from None
        self._file, self._zstd = file, zstandard
        self._frame: Any = None
        self._input, self._output = b"", b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._output:
            self._input = self._input or self._file.read(_CHUNK)
            if not self._input:
                if self._frame is not None:
                    raise EOFError("compressed file ended before its end marker")
                return 0
            self._decompress()
        size = min(len(buffer), len(self._output))
        buffer[:size], self._output = self._output[:size], self._output[size:]
        return size

    def _decompress(self) -> None:
        self._frame = self._frame or self._zstd.ZstdDecompressor().decompressobj()
        try:
            self._output = self._frame.decompress(self._input)
        except self._zstd.ZstdError as error:
            raise OSError(f"not a zstandard stream: {error}") from None
        self._input = self._frame.unused_data
        if self._frame.eof:
            self._frame = None
