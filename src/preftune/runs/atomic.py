"""Files and folders that are complete or absent: written aside, flushed to disk, then renamed into place."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import PreftuneError, RunFolderError

_TEMP = re.compile(r"^\.(?P<name>.+)\.[0-9]+-[0-9a-f]{8}\.(?P<kind>tmp|old)$")
_OS_ERROR = re.compile(r"\bos error (\d+)\b")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NOT_A_FOLDER = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR)
_NEARLY_NO_SPACE_BYTES = 1 << 20


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write ``path`` in one step: readers see the old content or all of the new one. Text becomes UTF-8.

    Raises RunFolderError where it cannot be written (disk full, read-only, no permission); ``path`` is unchanged then.
    """
    blob = content.encode("utf-8") if isinstance(content, str) else content
    with as_run_folder_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temp = _aside(path, "tmp")
        try:
            _write_flushed(temp, blob)
            os.replace(temp, path)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise
        flush_folder(path.parent)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target``; when the block ends, it takes the place of ``target`` in one step.

    Where the block fails, the folder is removed and ``target`` is as it was. A full disk, which libraries report in
    their own ways, becomes RunFolderError like the other failures to write.
    """
    with as_run_folder_error(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temp = _aside(target, "tmp")
        temp.mkdir()
    try:
        with as_run_folder_error(target):
            yield temp
            _flush_tree(temp)
            _put_in_place(temp, target)
            flush_folder(target.parent)
    finally:
        # Also what an exchange left here: the folder that was replaced.
        shutil.rmtree(temp, ignore_errors=True)


@contextmanager
def atomic_files(folder: Path, last: str | None = None) -> Iterator[Path]:
    """Yield an empty folder; when the block ends, its files move into ``folder``, each in one step, replacing others.

    For files that must lie beside others (a model in the run folder). Where the block fails, nothing is moved. The
    file named ``last`` moves after the others: where it is new, they are too.
    """
    with as_run_folder_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
        temp = _aside(folder / "files", "tmp")
        temp.mkdir()
    try:
        with as_run_folder_error(folder):
            yield temp
            _flush_tree(temp)
            for file in sorted((p for p in temp.rglob("*") if p.is_file()), key=lambda p: (p.name == last, p)):
                place = folder / file.relative_to(temp)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, place)
                flush_folder(place.parent)
    finally:
        shutil.rmtree(temp, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder so that a kill half-way leaves no incomplete one under its name."""
    with as_run_folder_error(folder):
        aside = _aside(folder, "tmp")
        os.rename(folder, aside)
        shutil.rmtree(aside)


def sweep(folder: Path) -> list[Path]:
    """Remove what killed writers left in ``folder`` (not in those below it); return it.

    A folder that was moved aside when its writer died comes back under its name.
    """
    swept: list[Path] = []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        mark = _TEMP.match(entry.name)
        if mark is None:
            continue
        with as_run_folder_error(entry):
            named = folder / mark["name"]
            if mark["kind"] == "old" and not named.exists():
                os.rename(entry, named)
            elif entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        swept.append(entry)
    return swept


@contextmanager
def as_run_folder_error(path: Path) -> Iterator[None]:
    """Turn a failure to write into RunFolderError that names ``path`` and says what to do."""
    try:
        yield
    except PreftuneError:
        raise
    except OSError as error:
        raise RunFolderError(_explain(path, error)) from error
    except Exception as error:
        # torch and safetensors raise types of their own when the system refuses to write.
        number = _error_number(error)
        if number is None and _nearly_full(path.parent):
            number = errno.ENOSPC
        if number is None:
            raise
        raise RunFolderError(_explain(path, OSError(number, os.strerror(number)))) from error


def to_json(value: object, *, indent: int | None = 2) -> str:
    """JSON text that UTF-8 can hold. Raises ValueError on NaN or infinity, TypeError on other types."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a file name whose bytes are not text
        return json.dumps(value, ensure_ascii=True, allow_nan=False, indent=indent)
    return text


def flush_folder(folder: Path) -> None:
    """Make renames in ``folder`` survive a power cut."""
    if os.name == "nt":  # folders cannot be opened there; NTFS journals renames
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _aside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.{kind}")


def _write_flushed(path: Path, blob: bytes) -> None:
    with open(path, "xb") as file:
        file.write(blob)
        file.flush()
        os.fsync(file.fileno())


def _flush_tree(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            with open(Path(parent) / name, "rb+") as file:
                if (
                    os.name == "posix"
                ):  # libraries that write through a temporary file leave it readable by one user only
                    os.fchmod(file.fileno(), 0o666 & ~_umask())
                os.fsync(file.fileno())
        flush_folder(Path(parent))


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _put_in_place(temp: Path, target: Path) -> None:
    if not target.exists():
        os.rename(temp, target)
    elif not _exchange(temp, target):
        # For a moment only ``old`` holds the earlier folder; where this process dies then, sweep() brings it back.
        old = _aside(target, "old")
        os.rename(target, old)
        os.rename(temp, target)
        shutil.rmtree(old)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step (Linux); False where the system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    with suppress(AttributeError):  # a C library without renameat2
        call = ctypes.CDLL(None, use_errno=True).renameat2
        return bool(call(here, os.fsencode(one), here, os.fsencode(other), swap) == 0)
    return False


def _error_number(error: Exception) -> int | None:
    """The system's error number in a library's message: ``... (os error 28)``, or a full disk in words."""
    if found := _OS_ERROR.search(str(error)):
        return int(found[1])
    return errno.ENOSPC if "No space left on device" in str(error) else None


def _nearly_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < _NEARLY_NO_SPACE_BYTES
    except OSError:  # the folder itself is gone: not a full disk
        return False


def _explain(path: Path, error: OSError) -> str:
    if error.errno in _FULL:
        advice = "the disk is full. Free some space and run the same command again: it goes on from the last checkpoint"
    elif error.errno in _DENIED:
        advice = "no permission to write there. Choose another output_dir or make this one writable"
    elif error.errno in _NOT_A_FOLDER:
        advice = "something else lies where a file or folder of the run belongs. Choose another output_dir"
    else:
        advice = "the system refused. Check the disk, or choose another output_dir"
    return f"{path}: cannot be written ({error.strerror or error}): {advice}."
