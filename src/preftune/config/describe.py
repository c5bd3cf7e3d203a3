"""Say in words which values a key takes; messages and the reference page use the same words."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from .yaml_marks import printable

_WORDS: Mapping[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_SIGNS = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))


def allowed(field: FieldInfo) -> str:
    """What ``field`` takes, such as ``auto or a number > 0``."""
    return _words(field.annotation, field.metadata)


def choices(field: FieldInfo) -> list[str]:
    """The words that ``field`` chooses from when it takes nothing else, or an empty list."""
    if typing.get_origin(field.annotation) is not Literal:
        return []
    return [word for word in typing.get_args(field.annotation) if isinstance(word, str)]


def takes(field: FieldInfo, *kinds: type) -> bool:
    """Whether values of one of these plain types (``float``, ``str`` ...) are allowed, choices apart."""
    return any(part in kinds for part in _parts(field.annotation))


def section(field: FieldInfo) -> type[BaseModel] | None:
    """The section under ``field``, where it is one (or a section or null)."""
    for part in _parts(field.annotation):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def shown(value: Any) -> str:
    """A value as the user would write it, shortened to fit in a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value) if isinstance(value, str | int | float | Mapping | Sequence) else type(value).__name__
    text = printable(text)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _parts(annotation: Any) -> Iterator[Any]:
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        yield from _parts(typing.get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _parts(part)
    else:
        yield annotation


def _words(annotation: Any, limits: Sequence[Any] = ()) -> str:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _words(args[0], [*_flat(args[1:]), *limits])
    if origin in (Union, types.UnionType):
        return " or ".join(_words(part) for part in args)
    if origin is Literal:
        return (" | " if len(args) > 1 else "").join(map(str, args))
    if origin in (tuple, list):
        return f"a list of {_words(args[0])}"
    if origin is dict:
        return f"a mapping of names to {_words(args[1])}"
    if annotation is type(None):
        return "null"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a mapping of keys"
    return _WORDS.get(annotation, str(annotation)) + _range(limits)


def _flat(metadata: Sequence[Any]) -> Iterator[Any]:
    for item in metadata:
        yield from item.metadata if isinstance(item, FieldInfo) else (item,)


def _range(limits: Sequence[Any]) -> str:
    bounds = [
        f"{sign} {bound:g}" if bound < 1e6 else f"{sign} {bound}"
        for name, sign in _SIGNS
        for limit in limits
        if (bound := getattr(limit, name, None)) is not None
    ]
    return " " + " and ".join(bounds) if bounds else ""
