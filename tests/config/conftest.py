"""Objectives as the registry hands them over, and a way to see what a config's errors say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field

from preftune.config import load_config
from preftune.errors import ConfigError


class Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Sigmoid(Parameters):
    """Logistic loss."""

    beta: Annotated[float, Field(gt=0, description="Strength of the pull.")] = 0.1
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0


class Ipo(Parameters):
    """Squared loss."""

    beta: Annotated[float, Field(gt=0)] = 0.1
    average: bool = True


@pytest.fixture(scope="session")
def objectives() -> dict[str, type[BaseModel]]:
    return {"sigmoid": Sigmoid, "ipo": Ipo}


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def wrong(in_folder: Path, objectives: dict[str, type[BaseModel]]) -> Callable[..., list[str]]:
    """The lines of the ConfigError that a YAML text (as ``e.yaml``) and overrides give."""

    def lines(text: str | bytes, *overrides: str) -> list[str]:
        Path("e.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
        with pytest.raises(ConfigError) as caught:
            load_config("e.yaml", overrides, objectives=objectives)
        return str(caught.value).split("\n")

    return lines
