"""A file of JSON lines that only grows: each line is on the disk when ``append`` returns, complete or absent."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from .atomic import as_run_folder_error, atomic_write


class JsonLines:
    """Starts with the lines ``kept`` of what may have been there; lines end with a line feed."""

    def __init__(self, path: Path, kept: Iterable[str]) -> None:
        self.path = path
        atomic_write(path, "".join(kept))
        with as_run_folder_error(path):
            self._handle = os.open(path, os.O_WRONLY | os.O_APPEND)

    def append(self, lines: str) -> None:
        """Write and flush; where the disk is full nothing is left of them."""
        blob = lines.encode("utf-8")
        start = os.fstat(self._handle).st_size
        with as_run_folder_error(self.path):
            try:
                written = os.write(self._handle, blob)
                if written < len(blob):
                    raise OSError(28, "No space left on device")
                os.fsync(self._handle)
            except OSError:
                os.ftruncate(self._handle, start)
                raise

    def close(self) -> None:
        """Close the file; appending is over."""
        os.close(self._handle)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def complete_lines(path: Path) -> list[bytes]:
    """Lines of a file without their ends; a last one that was being written when its writer was killed is left out."""
    with as_run_folder_error(path):
        return path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
