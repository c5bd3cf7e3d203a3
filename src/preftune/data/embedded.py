"""The packaged preference data, which ``data.train: demo`` names."""

from __future__ import annotations

from pathlib import Path

from ..errors import DataError

PACKAGE = Path(__file__).resolve().parents[1]


def named_data(name: str) -> str | Path:
    """What a user's ``name`` means: ``demo`` the packaged data, unless there is a file of that name."""
    return embedded_preferences() if name == "demo" and not Path(name).exists() else name


def embedded_preferences(package: Path = PACKAGE) -> Path:
    """``examples/preferences.jsonl``: inside an installed ``package``, or beside ``src`` where it is a source tree.

    Raises DataError where neither is there.
    """
    inside = package / "examples" / "preferences.jsonl"
    source_tree = package.parents[1] / "examples" / "preferences.jsonl"
    if inside.is_file():
        return inside
    if package.parent.name == "src" and source_tree.is_file():
        return source_tree
    raise DataError(
        f"{inside}: the packaged preference data are missing. Install preftune again, or name your own in data.train."
    )
