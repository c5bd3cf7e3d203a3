"""The packaged preference data are found in a source tree and in an installed package."""

from __future__ import annotations

from pathlib import Path

import pytest

from preftune.data.embedded import embedded_preferences
from preftune.errors import DataError


def put(file: Path) -> Path:
    file.parent.mkdir(parents=True)
    file.write_text("{}\n")
    return file


def test_an_installed_package_carries_them_inside(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "preftune"
    data = put(package / "examples" / "preferences.jsonl")
    assert embedded_preferences(package) == data


def test_a_source_tree_has_them_beside_src(tmp_path: Path) -> None:
    data = put(tmp_path / "examples" / "preferences.jsonl")
    assert embedded_preferences(tmp_path / "src" / "preftune") == data


def test_examples_that_happen_to_lie_beside_an_installation_are_not_taken_for_them(tmp_path: Path) -> None:
    put(tmp_path / "examples" / "preferences.jsonl")
    with pytest.raises(DataError, match="packaged preference data are missing"):
        embedded_preferences(tmp_path / "site-packages" / "preftune")


def test_this_checkout_has_them() -> None:
    assert embedded_preferences().name == "preferences.jsonl"
