"""``preftune export``: the tuned model as a folder to keep, serve or push."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import ConfigError
from ..runs.text import visible
from .train import Plain, reporter_for

if TYPE_CHECKING:
    from ..recipe.export import Exported


class Dtype(StrEnum):
    """In what merged weights are written."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's output_dir, or an adapter or model folder.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write; it must not exist.")],
    merge: Annotated[bool, typer.Option("--merge", help="Merge the adapter into a whole model.")] = False,
    dtype: Annotated[Dtype, typer.Option(help="Of merged weights; auto: as the start model stores them.")] = Dtype.AUTO,
    gguf: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a GGUF file, by llama.cpp's converter.")
    ] = None,
    push: Annotated[
        str | None, typer.Option(metavar="REPO", help="Then upload the folder to this repository of the model hub.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a repository that is new private.")] = False,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Run a model's own code.")] = False,
    plain: Plain = False,
) -> None:
    """Write a tuned model with tokenizer, template and card; its logits are compared before it is kept."""
    if dtype is not Dtype.AUTO and not merge:
        raise ConfigError("--dtype is of merged weights; add --merge")
    if private and push is None:
        raise ConfigError("--private goes with --push")
    from ..models.gguf_export import find_converter, write_gguf
    from ..recipe.export import Export
    from ..recipe.export import export as write
    from ..recipe.start import Source
    from ..runs.hub import push as upload

    if gguf is not None and not merge and Source.of(run).adapters:
        raise ConfigError("--gguf is of whole models, and this is an adapter; add --merge")
    converter = None if gguf is None else find_converter()
    request = Export(run, out.expanduser(), merge, dtype.value, trust_remote_code=trust_remote_code)
    done = write(request, reporter_for(plain))
    for line in lines(done):
        sys.stdout.write(f"{visible(line)}\n")
    if gguf is not None and converter is not None:
        write_gguf(converter, done.folder, gguf)
        sys.stdout.write(f"GGUF: {gguf}\n")
    if push is not None:
        address = upload(done.folder, push, message=f"preftune export of {Path(run).name}", private=private or None)
        sys.stdout.write(f"pushed: {address}\n")


def lines(done: Exported) -> Iterator[str]:
    """What was written, and how near it is."""
    what = f"whole model, {done.dtype}" if done.merged else "as the run left it"
    card = "and card" if (done.folder / "README.md").is_file() else "but no card: what it was tuned on is not known"
    yield f"{done.folder}: {what}, with tokenizer, template {card}"
    moved = "" if done.moved is None else f"; tuning moved them by up to {done.moved:.2g}"
    yield f"logits of what was written and of the tuned model differ by at most {done.difference:.2g}{moved}"
    if done.moved and done.difference > 0.1 * done.moved:
        yield (
            f"warning: that is rounding to {done.dtype}, and {done.difference / done.moved:.0%} of what tuning did: "
            "use --dtype float32"
        )
    if done.merged:
        yield f"GGUF for llama.cpp: preftune export ... --merge --gguf FILE, or convert_hf_to_gguf.py {done.folder}"
