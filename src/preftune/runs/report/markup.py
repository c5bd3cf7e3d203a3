"""HTML by construction: whatever text goes into an element is escaped, and only elements are not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from markupsafe import Markup, escape

from ..text import visible

Child = str | int | float | None | Iterable["Child"]
"""What an element may hold: text (escaped), elements (as they are), nothing, or several of these."""

_VOID = frozenset({"br", "hr", "meta", "link", "img", "input"})
_CONTROL = re.compile("[^\t]+")


def el(tag: str, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """An element.

    In names of attributes a last underscore is dropped and others become hyphens: ``class_``, ``data_key``.
    An attribute that is None or False is left out; True gives the attribute without a value.
    """
    pieces = [f"<{tag}"]
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        written = name.rstrip("_").replace("_", "-")
        pieces.append(f" {written}" if value is True else f' {written}="{escape(clean(str(value)))}"')
    opening = "".join(pieces) + ">"
    if tag in _VOID:
        return Markup(opening)  # noqa: S704 - its attributes are escaped above
    return Markup(f"{opening}{join(children)}</{tag}>")  # noqa: S704 - join escapes the children


def join(children: Child) -> Markup:
    """Children one after the other, text escaped."""
    if children is None:
        return Markup("")
    if isinstance(children, Markup):
        return children
    if isinstance(children, str | int | float):
        return escape(clean(str(children)))
    return Markup("").join(join(child) for child in children)


def clean(text: str) -> str:
    """Text that a page can hold: control and direction characters, but tabs and line ends, are spelled out."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub(lambda found: visible(found[0]), text.replace("\r\n", "\n"))


def data_block(name: str, value: object) -> Markup:
    """JSON for the page's own scripts, as an element that no browser runs. Text in it is cleaned by who made it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Inside <script> only "<" could end the element or open a comment.
    safe = text.replace("<", "\\u003c").encode("utf-8", "replace").decode("utf-8")
    return Markup(f'<script type="application/json" id="{escape(name)}">{safe}</script>')  # noqa: S704
