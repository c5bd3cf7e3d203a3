"""MkDocs hook: links that leave docs/ (to code, examples, benchmarks) become the path's name in the repository."""

from __future__ import annotations

import re
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+([^)#\s]*)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """What MkDocs calls with each page's text before it is rendered."""
    return OUTSIDE.sub(
        lambda link: f"{link[1]} (`{link[2] or '.'}`)" if "../" not in link[1] else f"`{link[2]}`", markdown
    )
