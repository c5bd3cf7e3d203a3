"""A self-contained document: styles and scripts inside, nothing from the network, light and dark, for phones too.

The content security policy allows this module's own scripts and styles, by their hash, and nothing else: text of the
data could not run even where it were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from markupsafe import Markup

from .markup import Child, el, join

STYLES = ("page.css", "chart.css", "table.css")
SCRIPTS = ("page.js", "chart.js", "table.js")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a page with a heading; ``anchor`` is what links name."""

    anchor: str
    title: str
    body: Child
    note: Child = None
    """One or two sentences below the heading."""


def document(title: str, head: Child, sections: Sequence[Section], foot: Child = None) -> str:
    """The whole page. ``head`` stands above all sections: the verdict first."""
    style, script = _asset(STYLES), _asset(SCRIPTS)
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    page = el(
        "html",
        el(
            "head",
            el("meta", charset="utf-8"),
            el("meta", http_equiv="Content-Security-Policy", content=policy),
            el("meta", name="viewport", content="width=device-width, initial-scale=1"),
            el("meta", name="color-scheme", content="light dark"),
            el("link", rel="icon", href="data:,"),
            el("title", title),
            _raw("style", style),
        ),
        el(
            "body",
            el("header", el("h1", title), head),
            el("nav", [el("a", s.title, href=f"#{s.anchor}") for s in sections], aria_label="Sections"),
            el("main", [_section(section) for section in sections]),
            el("footer", foot),
            _raw("script", script),
        ),
        lang="en",
    )
    return f"<!doctype html>\n{page}\n"


def _section(section: Section) -> Markup:
    note = el("p", section.note, class_="note") if section.note else None
    return el("section", el("h2", section.title), note, join(section.body), id=section.anchor)


def _raw(tag: str, text: str) -> Markup:
    """A style or script of this package, exactly as its hash in the policy was taken."""
    return Markup(f"<{tag}>{text}</{tag}>")  # noqa: S704 - files of this package only


@cache
def _asset(names: tuple[str, ...]) -> str:
    folder = files(__package__) / "assets"
    return "".join((folder / name).read_text(encoding="utf-8") for name in names)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
