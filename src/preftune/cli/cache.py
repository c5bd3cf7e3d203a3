"""``preftune cache``: which log-probs and tokens are kept for later runs, and deleting them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError

if TYPE_CHECKING:
    from ..logprobs.cache_folders import CacheFolder

cache = typer.Typer(
    help="Show or delete what is kept for later runs: log-probs of references, tokens of large sets.",
    no_args_is_help=True,
)

REFERENCES, TOKENS = "reference", "token set"

Folder = Annotated[
    Path | None, typer.Option("--cache-dir", metavar="DIR", help="Another cache, as reference.cache_dir names it.")
]
Names = Annotated[
    list[str] | None, typer.Argument(metavar="NAME", help="Folders by the start of their name; none means all.")
]


@cache.command()
def info(names: Names = None, cache_dir: Folder = None) -> None:
    """List what is kept: for which model and data, how many answers or records, how large."""
    from ..runs.text import visible

    folders = _folders(cache_dir, names or ())
    for kind, root in _roots(cache_dir).items():
        print(f"{kind}s in {visible(str(root))}:")
        for folder in folders[kind]:
            print("\n".join(visible(line) for line in _lines(kind, folder)))
    print(_total(folders))


@cache.command()
def clear(
    names: Names = None,
    cache_dir: Folder = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete log-probabilities and tokens. A run that needs them computes them again."""
    from ..logprobs import cache_folders
    from ..runs.text import visible

    roots, folders = _roots(cache_dir), _folders(cache_dir, names or ())
    if not any(folders.values()):
        print(f"nothing is cached in {visible(' or '.join(map(str, roots.values())))}")
        return
    where = " and ".join(str(root) for kind, root in roots.items() if folders[kind])
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError("cache clear asks before it deletes; where nobody can answer, give --yes")
        if not typer.confirm(f"delete {_total(folders)} in {visible(where)}?"):
            print("nothing was deleted")
            return
    for folder in (folder for found in folders.values() for folder in found):
        cache_folders.clear(folder)
    print(f"deleted {_total(folders)}")


def _roots(cache_dir: Path | None) -> dict[str, Path]:
    """Where each kind is kept."""
    from ..models.cache_dir import reference_cache, token_cache

    root = reference_cache() if cache_dir is None else cache_dir.expanduser()
    if cache_dir is not None and not root.is_dir():
        raise ConfigError(f"--cache-dir: {root} is not a folder")
    return {REFERENCES: root} if cache_dir else {REFERENCES: root, TOKENS: token_cache()}


def _folders(cache_dir: Path | None, names: Sequence[str]) -> dict[str, list[CacheFolder]]:
    """The folders of each kind, or those that are named."""
    from ..logprobs.cache_folders import cache_folders

    found = {kind: cache_folders(root) for kind, root in _roots(cache_dir).items()}
    every = [folder.path.name for folders in found.values() for folder in folders]
    unknown = [name for name in names if not any(known.startswith(name) for known in every)]
    if unknown:
        raise ConfigError(f"no folder of the cache starts with '{unknown[0]}'; preftune cache info lists them")
    wanted = tuple(names) or ("",)
    return {kind: [f for f in folders if f.path.name.startswith(wanted)] for kind, folders in found.items()}


def _lines(kind: str, folder: CacheFolder) -> Iterator[str]:
    written = datetime.fromtimestamp(folder.written).astimezone().strftime("%Y-%m-%d %H:%M")
    rows = f"{folder.rows:,} {_ROWS[kind]}"
    yield f"{folder.path.name[:8]}  {rows}  {_size(folder.size)}  written {written}"
    yield f"  model   {folder.about.get('model', 'not written down')}"
    if adapters := folder.about.get("adapters"):
        yield f"  adapter {', '.join(map(str, adapters))}"
    for source in folder.about.get("data", ()):
        yield f"  data    {source}"
    if kind == REFERENCES:
        settings = ", ".join(str(folder.key.get(name, "?")) for name in ("dtype", "device", "layout"))
        yield f"  as      {settings}, torch {folder.key.get('torch', '?')}"
    for name in folder.damaged:
        yield f"  damaged {name}: delete it"


_ROWS = {REFERENCES: "answers", TOKENS: "records"}


def _total(folders: Mapping[str, Sequence[CacheFolder]]) -> str:
    """Counts of each kind that there is, and the size of all."""
    counts = [
        f"{len(found)} {kind}{'' if len(found) == 1 else 's'}, {sum(f.rows for f in found):,} {_ROWS[kind]}"
        for kind, found in folders.items()
        if found or kind == REFERENCES
    ]
    return f"{', '.join(counts)}, {_size(sum(f.size for found in folders.values() for f in found))}"


def _size(count: int) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.1f} kB"
