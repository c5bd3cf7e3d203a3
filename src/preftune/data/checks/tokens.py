"""Lengths in tokens, with a tokenizer of the user's (package ``tokenizers``; neither transformers nor torch)."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from .lengths import described
from .parts import Draft, Places
from .seen import Seen

_MOST_CHARACTERS = 200_000  # of one text; far beyond every context, and some tokenizers need quadratic time


class TokenCounts:
    """Counts the tokens of every text, and writes them to the record for the check of truncation.

    The turn markers of a chat template are not counted: a few tokens per turn.
    """

    def __init__(self, path: Path, max_length: int) -> None:
        self._tokenizer = load_tokenizer(path)
        self._max_length = max_length
        self._columns: dict[str, array[int]] = {}

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """The tokenizer's special tokens, such as ``<|im_end|>``, of three characters or more."""
        added = self._tokenizer.get_added_tokens_decoder().values()
        return tuple(token.content for token in added if token.special and len(token.content) > 2)

    def add(self, seen: Seen) -> None:
        """Count."""
        texts = {"prompt": seen.prompt, **{answer.side: answer.text for answer in seen.answers}}
        encodings = self._tokenizer.encode_batch_fast(
            [text[:_MOST_CHARACTERS] for text in texts.values()], add_special_tokens=False
        )
        seen.tokens = {side: len(encoding.ids) for side, encoding in zip(texts, encodings, strict=True)}
        seen.max_tokens = self._max_length
        for side, count in seen.tokens.items():
            self._columns.setdefault(side, array("I")).append(count)

    def drafts(self, places: Places) -> Iterator[Draft]:  # noqa: ARG002 - the shape of a part
        """None of its own: ``truncated`` reads the counts."""
        return iter(())

    def statistics(self) -> Mapping[str, Any]:
        """As the lengths in characters."""
        columns = {side: np.asarray(column) for side, column in self._columns.items() if len(column)}
        return {"tokens": {"unit": "tokens", "max_length": self._max_length, **described(columns)}} if columns else {}


def load_tokenizer(path: Path) -> Any:
    """The fast tokenizer in a folder or a tokenizer.json. Raises DataError."""
    from tokenizers import Tokenizer

    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"{file}: no such file: --tokenizer takes a tokenizer.json, or a model's folder that holds one")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # noqa: BLE001 - the package raises plain Exception
        raise DataError(f"{file}: is no tokenizer that can be read: {error}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
