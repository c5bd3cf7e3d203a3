"""The JSON schema and the reference page say what the loader does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from preftune.config import Config, config_reference, json_schema, load_config
from preftune.config.explain import all_keys

REPO = Path(__file__).resolve().parents[2]
CONFIGS = sorted([*(REPO / "configs").glob("*.yaml"), REPO / "src/preftune/cli/demo.yaml"])


def test_the_config_room_loads_neither_torch_nor_transformers() -> None:
    code = "import preftune.config, sys; print({'torch', 'transformers', 'pandas', 'numpy'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(REPO / "src")}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert out.stdout.strip() == "set()"


def test_every_key_is_documented() -> None:
    for path in all_keys(Config):
        model: type[BaseModel] = Config
        for part in path[:-1]:
            model = next(iter(_sections(model, str(part))))
        assert model.model_fields[str(path[-1])].description, path


def test_the_json_schema_knows_each_objectives_own_parameters(objectives) -> None:
    schema = json_schema(objectives)
    names = {d["properties"]["name"]["const"]: d for d in schema["$defs"].values() if "name" in d.get("properties", {})}
    assert set(names) == {"sigmoid", "ipo"}
    assert set(names["ipo"]["properties"]) == {"name", "weight", "beta", "average"}
    assert names["ipo"]["additionalProperties"] is False
    assert names["ipo"]["required"] == ["name"]
    assert "required" not in names["sigmoid"]  # the default objective needs no name
    assert names["sigmoid"]["properties"]["beta"]["exclusiveMinimum"] == 0
    assert set(schema["properties"]) == set(Config.model_fields)


def test_the_page_lists_every_key_with_values_default_and_meaning(objectives) -> None:
    page = config_reference(objectives)
    assert "| `objective.beta` | a number > 0 | `0.1` | Strength of the pull. |" in page
    assert "| `model.lora.target` | all-linear or a list of text | `all-linear` |" in page
    assert "| `data.train` | text or a list of text or a mapping of keys | required |" in page
    assert "| `train.schedule` | cosine \\| linear \\| constant | `cosine` |" in page
    assert "| `train.shuffle` | true or false | `true` |" in page
    assert "| `eval.every` | epoch or a whole number >= 1 or a number > 0 and < 1 or null | `null` |" in page
    for path in all_keys(Config):
        name = ".".join(map(str, path))
        assert f"`{name}`" in page or f"## {name}" in page or path[0] == "objective"


def test_the_page_in_docs_is_current() -> None:
    from preftune.objectives import objective_schemas

    assert (REPO / "docs" / "config.md").read_text(encoding="utf-8") == config_reference(objective_schemas())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_that_is_shipped_loads(path: Path) -> None:
    from preftune.objectives import objective_schemas

    config = load_config(path, objectives=objective_schemas())
    assert config.model.path == "demo"
    if isinstance(config.data.train, str) and config.data.train != "demo":
        assert (REPO / config.data.train).is_file()


def _sections(model: type[BaseModel], name: str) -> list[type[BaseModel]]:
    from preftune.config.describe import section

    found = section(model.model_fields[name])
    return [found] if found else []


def test_the_json_schema_knows_sums_of_losses(objectives: Objectives) -> None:
    text = json.dumps(json_schema(objectives)["properties"]["objective"])
    assert '"type": "array"' in text
