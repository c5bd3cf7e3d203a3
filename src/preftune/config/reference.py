"""The config as a JSON schema for editors and as a page for people, both made from the schema classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union

from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo

from .describe import allowed, section
from .schema import Config, ObjectiveConfig

_INTRO = """# Config

A run is described by one YAML file: `preftune train run.yaml`. Any key can be set on the command line, such as
`preftune train run.yaml train.seed=1 'model.lora={rank: 8}'`; the value is YAML. Unknown or repeated keys, wrong types
and combinations that cannot work are refused, all at once, each with file, line and column. Paths start from the
folder in which the command runs. `preftune schema` prints the JSON schema for editors.

This page is generated from the schema.
"""


def with_objectives(objectives: Mapping[str, type[BaseModel]]) -> type[BaseModel]:
    """Config with the parameters of every objective in place of the open ``objective`` section."""
    flat = tuple(_flat(name, model) for name, model in objectives.items())
    default = {"name": ObjectiveConfig.model_fields["name"].default}
    description = ObjectiveConfig.__doc__
    one_or_sum = Union[(*flat, list[Union[flat]])]  # type: ignore[valid-type]  # noqa: UP007
    fields: dict[str, Any] = {"objective": (one_or_sum, Field(default, description=description))}
    return create_model("Config", __base__=Config, __doc__=Config.__doc__, **fields)


def json_schema(objectives: Mapping[str, type[BaseModel]]) -> dict[str, Any]:
    """JSON schema (draft 2020-12) of the YAML file."""
    schema = with_objectives(objectives).model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "preftune run config"}


def config_reference(objectives: Mapping[str, type[BaseModel]]) -> str:
    """Markdown page: every key with its values, its default and its meaning."""
    parts = [_INTRO, *_section("Top level", Config, ""), _objectives(objectives)]
    return "\n".join(parts)


def _flat(name: str, model: type[BaseModel]) -> type[BaseModel]:
    default = ObjectiveConfig.model_fields["name"].default
    chosen = Field(default) if name == default else Field()
    weight = ObjectiveConfig.model_fields["weight"]
    fields: dict[str, Any] = {"name": (Literal[name], chosen), "weight": (weight.annotation, weight)}
    return create_model(f"Objective_{name}", __base__=model, __doc__=model.__doc__, **fields)


def _section(title: str, model: type[BaseModel], prefix: str) -> Iterator[str]:
    rows = {name: field for name, field in model.model_fields.items() if section(field) is None}
    if rows:
        yield f"## {title}\n\n{_first_line(model)}\n"
        yield _table({prefix + name: field for name, field in rows.items()})
    for name, field in model.model_fields.items():
        below = section(field)
        if below is not None and below is not ObjectiveConfig:
            yield from _section(prefix + name, below, f"{prefix}{name}.")


def _objectives(objectives: Mapping[str, type[BaseModel]]) -> str:
    parts = [f"## objective\n\n{ObjectiveConfig.__doc__}\n"]
    for name, model in objectives.items():
        parts.append("\n\n".join(filter(None, (f"### {name}", _first_line(model)))) + "\n")
        parts.append(_table({f"objective.{key}": field for key, field in model.model_fields.items()}))
    return "\n".join(parts)


def _table(fields: Mapping[str, FieldInfo]) -> str:
    lines = ["| key | values | default | meaning |", "|---|---|---|---|"]
    for name, field in fields.items():
        cells = (f"`{name}`", allowed(field), _default(field), " ".join((field.description or "").split()))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    text = str(default).lower() if isinstance(default, bool) else str(default)
    return f"`{'null' if default is None else text}`"


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().split("\n")[0]
