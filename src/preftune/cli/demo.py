"""``preftune demo``: the embedded example, with nothing to prepare."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import ConfigError
from .train import Overrides, Plain, run

DEMO_CONFIG = Path(__file__).with_name("demo.yaml")


def demo(
    overrides: Overrides = None,
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Only fetch the embedded model; its folder is the last line printed.")
    ] = False,
    output: Annotated[
        str | None, typer.Option("--output", metavar="DIR", help="Folder for the results (default: output).")
    ] = None,
    plain: Plain = False,
) -> None:
    """Tune the embedded model on the embedded preference pairs: a few minutes on two CPU cores."""
    if prepare:
        if overrides or output is not None or plain:
            raise ConfigError("demo --prepare only fetches the model; it takes no other options or keys")
        _prepare()
        return
    # JSON text is YAML text: a folder name with spaces or colons stays one value.
    folder = [] if output is None else [f"output_dir={json.dumps(output, ensure_ascii=False)}"]
    raise typer.Exit(run(DEMO_CONFIG, [*folder, *(overrides or ())], plain=plain, compare=True))


def _prepare() -> None:
    from ..models.embedded import embedded_model_folder

    folder = embedded_model_folder(note=lambda text: print(text, file=sys.stderr))
    print(folder)
