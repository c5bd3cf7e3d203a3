"""Turn what pydantic refuses into problems with a place, the allowed values and a suggestion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ..errors import did_you_mean
from .describe import allowed, choices, section, shown, takes
from .yaml_marks import Mark, Path, Problem, number, printable

At: TypeAlias = Callable[[Path], Mark]
# Words for an unknown key, from its path and the section that refuses it.
Unknown: TypeAlias = Callable[[Path, type[BaseModel]], str]


def dotted(path: Iterable[str | int]) -> str:
    """``model.lora.rank`` for a path of keys, safe to print."""
    return printable(".".join(map(str, path)))


def explain(
    error: ValidationError,
    model: type[BaseModel],
    values: Mapping[str, Any],
    at: At,
    unknown: Unknown,
    prefix: Path = (),
) -> list[Problem]:
    """One problem per key of ``model``, which stands at ``prefix`` in the config.

    The branches of a union that all refuse the same value count once.
    """
    found: dict[Path, Problem] = {}
    for detail in error.errors(include_url=False):
        for path, text in _texts(detail, model, values, unknown, prefix):
            found.setdefault(path, Problem(at(path), text))
    return list(found.values())


def read_numbers(model: type[BaseModel], values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with quoted numbers such as "5e-7" read as numbers, where the key takes numbers and no other text."""
    out = dict(values)
    for name, field in model.model_fields.items():
        value = out.get(name)
        below = section(field)
        if below is not None and isinstance(value, Mapping):
            out[name] = read_numbers(below, value)
        elif isinstance(value, str) and takes(field, int, float) and not takes(field, str):
            read = number(value)
            out[name] = value if read is None else read
    return out


def all_keys(model: type[BaseModel], prefix: Path = ()) -> Iterator[Path]:
    """Every key of ``model`` and of the sections below it, in reading order."""
    for name, field in model.model_fields.items():
        yield (*prefix, name)
        below = section(field)
        if below is not None:
            yield from all_keys(below, (*prefix, name))


def _texts(
    detail: Any, model: type[BaseModel], values: Mapping[str, Any], unknown: Unknown, prefix: Path
) -> Iterator[tuple[Path, str]]:
    owner, inner = _owner(model, detail["loc"])
    path = prefix + inner
    context = detail.get("ctx") or {}
    if detail["type"] == "conflict":
        yield from ((prefix + place, f"'{dotted(prefix + place)}' {why}") for place, why in context["conflicts"])
    elif detail["type"] == "extra_forbidden":
        yield path, unknown(path, owner)
    elif detail["type"] == "missing":
        yield from ((prefix + leaf, f"'{dotted(prefix + leaf)}' is missing") for leaf in _required(owner, inner))
    elif detail["type"] == "value_error":
        yield path, f"'{dotted(path)}' {context['error']}"
    elif not inner:
        yield path, f"'{dotted(path)}': {detail['msg']}"
    else:
        yield path, _wrong_value(path, owner.model_fields[str(inner[-1])], _value_at(values, inner))


def _owner(model: type[BaseModel], loc: tuple[str | int, ...]) -> tuple[type[BaseModel], Path]:
    """The section that holds the key pydantic complains of, and the key's path without pydantic's union labels."""
    path: Path = ()
    for part in loc:
        path = (*path, part)
        field = model.model_fields.get(str(part))
        below = section(field) if field else None
        if below is None or len(path) == len(loc):
            break
        model = below
    return model, path


def _required(owner: type[BaseModel], path: Path) -> list[Path]:
    below = section(owner.model_fields[str(path[-1])])
    if below is None:
        return [path]
    return [(*path, name) for name, field in below.model_fields.items() if field.is_required()]


def _wrong_value(path: Path, field: FieldInfo, value: Any) -> str:
    known = choices(field)
    if known and isinstance(value, str):
        return f"unknown value '{printable(value)}' for '{dotted(path)}'{did_you_mean(value, known)}"
    text = f"'{dotted(path)}' should be {allowed(field)} (got {shown(value)})"
    if isinstance(value, int | float) and takes(field, str):
        text += "; put it in quotes"
    return text


def _value_at(values: Any, path: Path) -> Any:
    for part in path:
        values = values[part]
    return values
