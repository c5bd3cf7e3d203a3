"""``preftune objectives``: the losses there are, or everything about one of them."""

from __future__ import annotations

from typing import Annotated

import typer


def objectives(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Name or import path; none lists all.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/objectives.md.")] = False,
) -> None:
    """List the losses, or print formula, parameters, needs and source of one."""
    from ..objectives import describe

    print(describe.markdown() if markdown else describe.described(name) if name else describe.listed())
